"""Thumbnails of the labelled products' images, one file in the model folder.

The file is Arrow IPC: ``sample_id`` (list of str, the products that show the image) and ``image`` (binary, a JPEG). It
is mapped into memory, so that a service holds only the pages that it shows, also after the folder was replaced.
"""

import io
import logging
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
from PIL import Image

from pricing.catalogue.split import LABELLED
from pricing.download.images import Images
from pricing.errors import ArtifactError

THUMBNAILS = "thumbnails.arrow"
SIDE = 96
"""Maximum length of the longest side, in pixels."""
MOST_BYTES = 4096
_QUALITIES = (80, 65, 50, 35, 20, 8)
"""JPEG qualities tried until one is small enough; random black and white pixels take 3.2 KB at 8."""
_SCHEMA = pa.schema({"sample_id": pa.list_(pa.string()), "image": pa.binary()})
_BATCH = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails by product.

    Attributes
    ----------
    images : ChunkedArray of bytes
        JPEGs, mapped into memory.
    places : dict of str to int
        Product id to the place of its image.
    """

    images: pa.ChunkedArray = field(default_factory=lambda: pa.chunked_array([], pa.binary()))
    places: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, model: Path) -> "Thumbnails":
        """Read the thumbnails of a model folder; none where it holds none.

        Raises
        ------
        ArtifactError
            The file is damaged.
        """
        path = model / THUMBNAILS
        if not path.exists():
            return cls()
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)
            if table.schema != _SCHEMA:
                raise pa.ArrowInvalid("other columns")
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{path}: is damaged ({error}); copy the model folder again, or train again") from None
        listed = enumerate(table["sample_id"].to_pylist())
        return cls(table["image"], {sample_id: place for place, ids in listed for sample_id in ids or ()})

    def get(self, sample_id: str) -> bytes | None:
        """Return a product's thumbnail as JPEG, None where it has none."""
        place = self.places.get(sample_id)
        return None if place is None else bytes(self.images[place].as_py())


def write_thumbnails(model: Path, catalogue: Path, images: Images) -> None:
    """Write thumbnails of the labelled products that have an image; same input, same bytes. None, no file.

    Parameters
    ----------
    model : Path
        The model folder; receives thumbnails.arrow, of at most 4 KB per image.
    catalogue : Path
        Output of the catalogue step.
    images : Images
        Images by link. One that cannot be read is left out, with a warning.
    """
    files = images.files()
    shown = pl.read_parquet(catalogue / LABELLED, columns=["sample_id", "image_link"]).filter(
        pl.col("image_link").is_in(list(files))
    )
    # products that share an image share its thumbnail
    by_link = shown.group_by("image_link", maintain_order=True).agg("sample_id")
    if by_link.is_empty():
        return
    with pa.ipc.new_file(str(model / THUMBNAILS), _SCHEMA) as out:
        for part in by_link.iter_slices(_BATCH):
            found = [(ids, small_jpeg(files[link])) for link, ids in part.iter_rows()]
            kept = [{"sample_id": ids, "image": image} for ids, image in found if image is not None]
            out.write_batch(pa.RecordBatch.from_pylist(kept, schema=_SCHEMA))


def small_jpeg(path: Path) -> bytes | None:
    """Return an image as a JPEG of at most `SIDE` pixels and `MOST_BYTES`; None where it cannot be read."""
    try:
        with Image.open(path) as opened:
            # decoded at a half or less where that is enough
            opened.draft("RGB", (SIDE, SIDE))
            image = opened.convert("RGB")
        image.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, Image.DecompressionBombError):
        logger.warning("%s: cannot be read; the model folder has no thumbnail of it", path)
        return None
    for quality in _QUALITIES:
        held = io.BytesIO()
        image.save(held, "JPEG", quality=quality)
        if held.tell() <= MOST_BYTES:
            return held.getvalue()
    raise AssertionError(f"a thumbnail of {held.tell()} bytes at the lowest quality")
