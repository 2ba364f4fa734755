"""What the frozen parts of the encoders made of texts and images: kept in memory, or in memory-mapped files.

Texts: hidden states below the trained layers, one after the other without padding, or token ids where all layers are
trained. Images: patches of the frozen encoder. Both are bfloat16 bits in uint16 arrays (NumPy has no bfloat16). Equal
texts and equal links are kept once.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.catalogue.split import SPLITS
from pricing.errors import ArtifactError
from pricing.members.multimodal.inputs import KeptImages, KeptTexts, StoredTexts, TokenTexts
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import read_table, reading


@dataclass(frozen=True)
class Activations:
    """What `pricing.members.multimodal.encode.encode_rows` made of n rows.

    Attributes
    ----------
    record : dict
        ``text`` and ``image``: the width of what is kept among others, None where nothing is; ``precision``;
        ``encoders``, see `SavedEncoders`; ``arrays``, their names.
    rows : DataFrame
        ``split`` and ``sample_id`` String; ``text_row`` (the first window), ``text_windows`` and ``image_row`` Int64,
        -1 where there is none.
    arrays : dict of str to ndarray
        ``text_offsets``, ``text_states`` or ``text_tokens``, ``image_patches``, as far as they are read.
    """

    record: dict[str, Any]
    rows: pl.DataFrame
    arrays: dict[str, np.ndarray]

    @classmethod
    def given(cls, prepared: Any) -> "Activations":
        """Return what stands in ``Rows.prepared``: activations themselves, or the folder of an encode step.

        Raises
        ------
        ArtifactError
            There is nothing, or a file of the folder is missing or damaged.
        """
        if isinstance(prepared, Activations):
            return prepared
        if prepared is None:
            raise ArtifactError("the rows are not encoded; give the output of the encode step or of Member.encode")
        with reading(prepared / "encoded.json", "kept activations"):
            record = read_json(prepared / "encoded.json")
            paths = {name: prepared / f"{name}.npy" for name in record["arrays"]}
        arrays = {}
        for name, path in paths.items():
            with reading(path, "kept activations"):
                arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(record, read_table(prepared / "rows.parquet"), arrays)

    def save(self, folder: Path) -> None:
        """Write all but the arrays into the folder in which `new_array` made these."""
        for array in self.arrays.values():
            assert isinstance(array, np.memmap)
            array.flush()
        self.rows.write_parquet(folder / "rows.parquet")
        write_json(folder / "encoded.json", self.record)

    def of(self, split: str) -> "Activations":
        """Return those of one split's rows."""
        return replace(self, rows=self.rows.filter(pl.col("split") == split))

    def texts(self, ids: pl.Series) -> StoredTexts:
        """Hidden states of these rows, in this order, or token ids where the whole encoder is trained."""
        offsets = np.asarray(self.arrays["text_offsets"])
        places = self._positions(ids, "text_row"), self._positions(ids, "text_windows")
        if self.record["text"] is None:
            return TokenTexts(self.arrays["text_tokens"], offsets, *places)
        return KeptTexts(self.arrays["text_states"], offsets, *places)

    def images(self, ids: pl.Series) -> KeptImages:
        """Patches of these rows, in this order."""
        return KeptImages(self.arrays["image_patches"], self._positions(ids, "image_row"))

    def _positions(self, ids: pl.Series, column: str) -> np.ndarray:
        if self.rows["sample_id"].equals(ids):  # new rows, in their order
            return self.rows[column].to_numpy()
        joined = pl.DataFrame({"sample_id": ids}).join(self.rows, on="sample_id", how="left", maintain_order="left")
        lost = joined.filter(pl.col(column).is_null())
        if lost.height:
            raise ArtifactError(f"no activations for sample_id {lost['sample_id'][0]!r}; rebuild the encode step")
        return joined[column].to_numpy()


def split_of(frame: pl.DataFrame) -> str:
    """Return which of the `SPLITS`, which may share ids, rows belong to: labelled ones have ``log_price``."""
    labelled, unlabelled = SPLITS
    return labelled if "log_price" in frame.columns else unlabelled


def new_array(folder: Path | None, name: str, shape: tuple[int, ...], dtype: Any = np.uint16) -> np.ndarray:
    """Return an array of zeros: a memory-mapped ``.npy`` file of an existing folder, in memory without one."""
    if folder is None:
        return np.zeros(shape, dtype)
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
