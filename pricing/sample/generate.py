"""The generated sample catalogue: products of several categories with texts, drawn images and prices.

Prices follow the formula stated in :mod:`pricing.sample.formula`; texts are written by
:mod:`pricing.sample.texts`, images drawn by :mod:`pricing.sample.drawing`. Every chunk of rows has random
numbers of its own, so a longer catalogue begins with the rows of a shorter one, and memory does not grow with the rows.
"""

import csv
import hashlib
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pricing.errors import CatalogueError
from pricing.metrics.smape import smape_rows
from pricing.sample import formula
from pricing.sample.drawing import draw_product, not_a_picture, truncated
from pricing.sample.texts import DICE, TITLE_DICE, Product, write_content
from pricing.store.artifacts import read_json, write_json

IMAGE_BASE_URL = "http://images.sample.invalid/"
"""A host that never exists (RFC 2606): serve the images and pass their address as a mirror."""

CHUNK = 1000
VARIANTS = 0.08
"""Share of rows that repeat the product before them in another quantity; half of them show its image too."""
NO_LINK = 0.005
BROKEN = 0.015
"""Share of images that cannot be read: a third each not there, cut off, and a web page under an image's name."""

_TRAIN, _TEST = 0, 1
_GOOD, _ABSENT, _CUT, _PAGE, _UNLINKED = range(5)
_COLUMNS = ("sample_id", "catalog_content", "image_link", "price")


@dataclass(frozen=True)
class SampleInfo:
    """Where a sample catalogue lies and what can be reached on it.

    Attributes
    ----------
    folder, train, test, truth, floor_file : Path
        The folder, train.csv, test.csv, test_truth.csv (sample_id, price) and floor.json.
    images : Path or None
        Folder of the images, None without.
    rows, test_rows : int
    floor : float
        Bayes-optimal SMAPE of the train rows, in percent; without images, that of texts alone.
    """

    folder: Path
    train: Path
    test: Path
    truth: Path
    floor_file: Path
    images: Path | None
    rows: int
    test_rows: int
    floor: float


@dataclass(frozen=True)
class _Chunk:
    """CHUNK products, a value or row each."""

    log_price: np.ndarray
    formula: np.ndarray
    grade: np.ndarray
    category: np.ndarray
    image: np.ndarray
    state: np.ndarray
    products: list[Product]


@dataclass
class _Tally:
    readable: int = 0
    error: float = 0.0


def generate_sample(
    folder: Path,
    rows: int = 1500,
    test_rows: int = 500,
    seed: int = 0,
    images: bool = True,
    image_base_url: str = IMAGE_BASE_URL,
) -> SampleInfo:
    """Write a sample catalogue, or take the one that is there if it was made from the same parameters and code.

    The folder gets train.csv, test.csv, test_truth.csv, images/ (JPEG, named as the links end), floor.json and
    sample.json (what it was made from). It is written beside and renamed into place. A link names what its image
    shows: samples of different seeds share none, and a longer sample has those of a shorter one.

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
        "code": _code_digest(),
    }  # fmt: skip
    if (folder / "sample.json").exists():
        if _same(folder, recipe):
            return _info(folder, rows, test_rows, images)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CatalogueError(f"{folder}: holds other files than a sample catalogue; give a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    beside.mkdir()
    try:
        _write(beside, rows, test_rows, seed, images, image_base_url)
        sizes = {path.name: path.stat().st_size for path in sorted(beside.iterdir()) if path.is_file()}
        write_json(beside / "sample.json", {"recipe": recipe, "sizes": sizes, "images": _count(beside / "images")})
        if folder.exists():
            shutil.rmtree(folder)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _info(folder, rows, test_rows, images)


def _write(folder: Path, rows: int, test_rows: int, seed: int, images: bool, base: str) -> None:
    drawings = folder / "images" if images else None
    if drawings is not None:
        drawings.mkdir()
    tally = _Tally()
    _write_files(folder, {"train.csv": _COLUMNS}, _rows(_TRAIN, rows, seed, drawings, base, tally))
    test = _rows(_TEST, test_rows, seed, drawings, base, _Tally())
    _write_files(folder, {"test.csv": _COLUMNS[:3], "test_truth.csv": ("sample_id", "price")}, test)
    share = tally.readable / rows
    blind = formula.bayes_floor(0.0)
    floor = {
        "smape": formula.bayes_floor(share) if images else blind,
        "smape_without_images": blind,
        "smape_of_the_drawn_noise": tally.error / rows,
        "readable": share if images else 0.0,
        "noise": formula.NOISE,
    }
    write_json(folder / "floor.json", floor)


def _write_files(folder: Path, files: Mapping[str, Sequence[str]], rows: Iterator[dict[str, object]]) -> None:
    """Write CSV files, named with their columns, side by side."""
    with ExitStack() as stack:
        streams = [stack.enter_context((folder / name).open("w", encoding="utf-8", newline="")) for name in files]
        writers = [csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
                   for stream, columns in zip(streams, files.values(), strict=True)]  # fmt: skip
        for writer in writers:
            writer.writeheader()
        for row in rows:
            for writer in writers:
                writer.writerow(row)


def _rows(
    part: int, rows: int, seed: int, drawings: Path | None, base: str, tally: _Tally
) -> Iterator[dict[str, object]]:
    """Draw the rows of one part, and their images."""
    point = formula.expected_smape(formula.GRADES)[1]
    effects = np.array(formula.GRADES)
    for number, chunk in enumerate(_chunks(part, rows, seed)):
        count = min(CHUNK, rows - number * CHUNK)
        readable = (chunk.state == _GOOD) if drawings is not None else np.zeros(CHUNK, dtype=bool)
        best = chunk.formula + np.where(readable, 0.0, point - effects[chunk.grade])
        errors = smape_rows(chunk.log_price, best)[:count]
        tally.readable += int(readable[:count].sum())
        tally.error += float(errors.sum())
        prices = np.round(np.exp(chunk.log_price), 2)
        drawn: set[int] = set()
        for row in range(count):
            place = number * CHUNK + row
            ident = _scatter(2 * place + part)
            image, state = int(chunk.image[row]), int(chunk.state[row])
            shown = (int(chunk.category[row]), int(chunk.grade[row]))
            file = _file_name(state, *shown, seed, part, number, image)
            link = "" if state == _UNLINKED else base + file
            values = (ident, write_content(chunk.products[row]), link, repr(float(prices[row])))
            yield dict(zip(_COLUMNS, values, strict=True))
            if drawings is not None and image not in drawn:
                drawn.add(image)
                rng = np.random.default_rng([seed, part, number, 1 + image])
                _draw(drawings / file, state, *shown, rng)


def _file_name(*what: int) -> str:
    """Name of an image by all that decides what is drawn, the code that draws it among it.

    Under one link there is then one image, whatever was generated before: a downloader may keep what it has.
    """
    return hashlib.sha256(f"{_drawing_digest()} {what}".encode()).hexdigest()[:16] + ".jpg"


@cache
def _drawing_digest() -> str:
    return hashlib.sha256((Path(__file__).parent / "drawing.py").read_bytes()).hexdigest()


def _draw(path: Path, state: int, category: int, grade: int, rng: np.random.Generator) -> None:
    if state == _PAGE:
        path.write_bytes(not_a_picture())
    elif state in (_GOOD, _CUT):
        jpeg = draw_product(category, grade, rng)
        path.write_bytes(truncated(jpeg) if state == _CUT else jpeg)


def _scatter(number: int) -> int:
    """A one-to-one walk through the numbers below 2**31 - 1, so that ids tell nothing about order or part."""
    return (number + 1) * 1_386_012_347 % (2**31 - 1)


def _chunks(part: int, rows: int, seed: int) -> Iterator[_Chunk]:
    for number in range(-(-rows // CHUNK)):
        yield _draw_chunk(np.random.default_rng([seed, part, number]))


def _draw_chunk(rng: np.random.Generator) -> _Chunk:
    """CHUNK products, whatever is used of them, so that cutting a catalogue short changes no row."""
    n = CHUNK
    category = rng.integers(len(formula.CATEGORIES), size=n)
    shelf = np.array([formula.brands_of(kind) for kind in range(len(formula.CATEGORIES))])
    brand = shelf[category, rng.integers(formula.BRANDS_PER_CATEGORY, size=n)]
    words = rng.random((n, len(formula.WORDS))) < np.array(formula.WORD_SHARES)
    title_dice = rng.random((n, TITLE_DICE))
    size_dice, pack = rng.random(n), rng.choice(formula.PACKS, size=n, p=formula.PACK_SHARES)
    grade = rng.integers(len(formula.GRADES), size=n)
    state = rng.choice(
        [_GOOD, _ABSENT, _CUT, _PAGE, _UNLINKED],
        size=n,
        p=[1 - BROKEN - NO_LINK, BROKEN / 3, BROKEN / 3, BROKEN / 3, NO_LINK],
    )
    dice = rng.random((n, DICE))

    variant = rng.random(n) < VARIANTS
    variant[0] = False
    # the product that a variant repeats
    origin = np.maximum.accumulate(np.where(variant, 0, np.arange(n)))
    category, brand, words, title_dice = category[origin], brand[origin], words[origin], title_dice[origin]
    shelves = [formula.CATEGORIES[kind].sizes for kind in category]
    size = np.array([sizes[int(d * len(sizes))] for sizes, d in zip(shelves, size_dice, strict=True)])
    same_image = variant & (rng.random(n) < 0.5)
    image = np.where(same_image, origin, np.arange(n))
    grade, state = grade[image], state[image]
    order = rng.permutation(n)
    exact = formula.log_price_without_noise(category, brand, size * pack, words, grade)
    log_price = exact + formula.NOISE * rng.standard_normal(n)
    names, brands = list(formula.WORDS), list(formula.BRANDS)
    products = [
        Product(
            category=formula.CATEGORIES[category[i]].name,
            brand=brands[brand[i]],
            unit=formula.CATEGORIES[category[i]].unit,
            size=float(size[i]),
            pack=int(pack[i]),
            words=[name for name, there in zip(names, words[i], strict=True) if there],
            title_dice=title_dice[i].tolist(),
            dice=dice[i].tolist(),
        )
        for i in order
    ]
    return _Chunk(log_price[order], exact[order], grade[order], category[order], image[order], state[order], products)


def _code_digest() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in ("drawing.py", "formula.py", "generate.py", "texts.py", "texts.toml"):
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


def _info(folder: Path, rows: int, test_rows: int, images: bool) -> SampleInfo:
    floor_file = folder / "floor.json"
    return SampleInfo(
        folder, folder / "train.csv", folder / "test.csv", folder / "test_truth.csv", floor_file,
        folder / "images" if images else None, rows, test_rows, float(read_json(floor_file)["smape"]),
    )  # fmt: skip
