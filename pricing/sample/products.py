"""The generated products, a thousand at a time, and the CSV files that they are written to.

Every chunk of rows has random numbers of its own, so a longer catalogue begins with the rows of a shorter one, and
memory does not grow with the rows.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pricing.sample import formula
from pricing.sample.texts import DICE, TITLE_DICE, Product

CHUNK = 1000
TRAIN, TEST = 0, 1
GOOD, ABSENT, CUT, PAGE, UNLINKED = range(5)
"""States of an image."""
VARIANTS = 0.08
"""Share of rows that repeat the product before them in another quantity; half of them show its image too."""
NO_LINK = 0.005
BROKEN = 0.015
"""Share of images that cannot be read: a third each not there, cut off, and a web page under an image's name."""


@dataclass(frozen=True)
class Chunk:
    """CHUNK products, a value or row each."""

    log_price: np.ndarray
    formula: np.ndarray
    grade: np.ndarray
    category: np.ndarray
    image: np.ndarray
    state: np.ndarray
    products: list[Product]


@dataclass
class Tally:
    """Sums over the rows of a part: rows of which all can be known, and the error of the best prediction."""

    known: int = 0
    error: float = 0.0


def draw_chunks(part: int, rows: int, seed: int) -> Iterator[Chunk]:
    """Draw the chunks that so many rows of a part are the beginning of."""
    for number in range(-(-rows // CHUNK)):
        yield _draw(np.random.default_rng([seed, part, number]))


def row_id(part: int, place: int) -> int:
    """Id of a row, which tells nothing of order or part: a one-to-one walk through the numbers below 2**31 - 1."""
    return (2 * place + part + 1) * 1_386_012_347 % (2**31 - 1)


def write_files(folder: Path, files: Mapping[str, Sequence[str]], rows: Iterator[dict[str, object]]) -> None:
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


def _draw(rng: np.random.Generator) -> Chunk:
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
        [GOOD, ABSENT, CUT, PAGE, UNLINKED],
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
    return Chunk(log_price[order], exact[order], grade[order], category[order], image[order], state[order], products)
