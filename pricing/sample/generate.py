"""The generated sample catalogue: products of several categories with texts, prices, and images or declared columns.

Prices follow the formula stated in :mod:`pricing.sample.formula`; texts are written by
:mod:`pricing.sample.texts`. What the texts do not tell is shown by images (:mod:`pricing.sample.illustrated`) or stands
in columns of its own (:mod:`pricing.sample.declared_sample`).
"""

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from pricing.errors import CatalogueError
from pricing.sample.declared_sample import write_declared
from pricing.sample.illustrated import write_illustrated
from pricing.store.artifacts import read_json, write_json

IMAGE_BASE_URL = "http://images.sample.invalid/"
"""A host that never exists (RFC 2606): serve the images and pass their address as a mirror."""


@dataclass(frozen=True)
class SampleInfo:
    """Where a sample catalogue lies and what can be reached on it.

    Attributes
    ----------
    folder, train, test, truth, floor_file : Path
        The folder, train.csv, test.csv, test_truth.csv (sample_id, price) and floor.json.
    images : Path or None
        Folder of the images, None without.
    roles : Path or None
        columns.toml, the roles of a catalogue with declared columns; None for another one.
    rows, test_rows : int
    floor : float
        Bayes-optimal SMAPE of the train rows, in percent; without images, that of texts alone; with declared columns,
        that of texts and columns.
    """

    folder: Path
    train: Path
    test: Path
    truth: Path
    floor_file: Path
    images: Path | None
    roles: Path | None
    rows: int
    test_rows: int
    floor: float


def generate_sample(
    folder: Path,
    rows: int = 1500,
    test_rows: int = 500,
    seed: int = 0,
    images: bool = True,
    image_base_url: str = IMAGE_BASE_URL,
    declared: bool = False,
) -> SampleInfo:
    """Write a sample catalogue, or take the one that is there if it was made from the same parameters and code.

    The folder gets train.csv, test.csv, test_truth.csv, floor.json, sample.json (what it was made from) and images/
    (JPEG, named as the links end) or columns.toml. It is written beside and renamed into place. A link names what its
    image shows: samples of different seeds share none, and a longer sample has those of a shorter one.

    Parameters
    ----------
    folder : Path
        Does not exist yet, is empty, or holds an earlier sample, which is replaced.
    rows, test_rows : int
        Products with and without a price.
    seed : int
        Same seed, same bytes.
    images : bool
        Draw the images. Without, the links stay, and the floor is that of texts alone.
    image_base_url : str
        What the links begin with.
    declared : bool
        Columns ``grade`` and ``rating`` take the place of links and images.

    Returns
    -------
    SampleInfo

    Raises
    ------
    CatalogueError
        The folder holds something else, or the numbers of rows are impossible.
    """
    if rows < 1 or test_rows < 0:
        raise CatalogueError(f"a sample of {rows} rows and {test_rows} test rows; expected at least 1 and 0")
    recipe = {
        "rows": rows, "test_rows": test_rows, "seed": seed, "images": images, "image_base_url": image_base_url,
        "declared": declared, "code": _code_digest(),
    }  # fmt: skip
    if (folder / "sample.json").exists():
        if _same(folder, recipe):
            return _info(folder, rows, test_rows)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CatalogueError(f"{folder}: holds other files than a sample catalogue; give a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    beside.mkdir()
    try:
        if declared:
            write_declared(beside, rows, test_rows, seed)
        else:
            write_illustrated(beside, rows, test_rows, seed, images, image_base_url)
        sizes = {path.name: path.stat().st_size for path in sorted(beside.iterdir()) if path.is_file()}
        write_json(beside / "sample.json", {"recipe": recipe, "sizes": sizes, "images": _count(beside / "images")})
        if folder.exists():
            shutil.rmtree(folder)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _info(folder, rows, test_rows)


def _code_digest() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in ("declared_sample.py", "drawing.py", "formula.py", "generate.py", "illustrated.py", "products.py",
                 "texts.py", "texts.toml"):  # fmt: skip
        digest.update((here / name).read_bytes())
    return digest.hexdigest()


def _same(folder: Path, recipe: dict[str, object]) -> bool:
    """Whether a folder holds, whole, the sample that a recipe makes."""
    try:
        record = read_json(folder / "sample.json")
        sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except (OSError, ValueError):
        return False
    sizes.pop("sample.json", None)
    return bool(record == {"recipe": recipe, "sizes": sizes, "images": _count(folder / "images")})


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _info(folder: Path, rows: int, test_rows: int) -> SampleInfo:
    floor_file, images, roles = folder / "floor.json", folder / "images", folder / "columns.toml"
    return SampleInfo(
        folder, folder / "train.csv", folder / "test.csv", folder / "test_truth.csv", floor_file,
        images if images.exists() else None, roles if roles.exists() else None, rows, test_rows,
        float(read_json(floor_file)["smape"]),
    )  # fmt: skip
