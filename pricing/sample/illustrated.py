"""The sample catalogue's files where the images show what the texts do not tell: the rows, and the drawn images."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from pricing.metrics.smape import smape_rows
from pricing.sample import formula
from pricing.sample.drawing import draw_product, not_a_picture, truncated
from pricing.sample.products import (
    CHUNK,
    CUT,
    GOOD,
    PAGE,
    TEST,
    TRAIN,
    UNLINKED,
    Tally,
    draw_chunks,
    row_id,
    write_files,
)
from pricing.sample.texts import write_content
from pricing.store.artifacts import write_json

_COLUMNS = ("sample_id", "catalog_content", "image_link", "price")


def write_illustrated(folder: Path, rows: int, test_rows: int, seed: int, images: bool, base: str) -> None:
    """Write train.csv, test.csv, test_truth.csv, floor.json and, where they are asked for, images/.

    Parameters
    ----------
    folder : Path
        Empty folder.
    rows, test_rows, seed, images
        As in `pricing.sample.generate.generate_sample`.
    base : str
        What the links begin with.
    """
    drawings = folder / "images" if images else None
    if drawings is not None:
        drawings.mkdir()
    tally = Tally()
    write_files(folder, {"train.csv": _COLUMNS}, _rows(TRAIN, rows, seed, drawings, base, tally))
    test = _rows(TEST, test_rows, seed, drawings, base, Tally())
    write_files(folder, {"test.csv": _COLUMNS[:3], "test_truth.csv": ("sample_id", "price")}, test)
    share = tally.known / rows
    blind = formula.bayes_floor(0.0)
    floor = {
        "smape": formula.bayes_floor(share) if images else blind,
        "smape_without_images": blind,
        "smape_of_the_drawn_noise": tally.error / rows,
        "readable": share if images else 0.0,
        "noise": formula.NOISE,
    }
    write_json(folder / "floor.json", floor)


def _rows(
    part: int, rows: int, seed: int, drawings: Path | None, base: str, tally: Tally
) -> Iterator[dict[str, object]]:
    """Draw the rows of one part, and their images."""
    point = formula.expected_smape(formula.GRADES)[1]
    effects = np.array(formula.GRADES)
    for number, chunk in enumerate(draw_chunks(part, rows, seed)):
        count = min(CHUNK, rows - number * CHUNK)
        readable = (chunk.state == GOOD) if drawings is not None else np.zeros(CHUNK, dtype=bool)
        best = chunk.formula + np.where(readable, 0.0, point - effects[chunk.grade])
        errors = smape_rows(chunk.log_price, best)[:count]
        tally.known += int(readable[:count].sum())
        tally.error += float(errors.sum())
        prices = np.round(np.exp(chunk.log_price), 2)
        drawn: set[int] = set()
        for row in range(count):
            ident = row_id(part, number * CHUNK + row)
            image, state = int(chunk.image[row]), int(chunk.state[row])
            shown = (int(chunk.category[row]), int(chunk.grade[row]))
            file = _file_name(state, *shown, seed, part, number, image)
            link = "" if state == UNLINKED else base + file
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
    if state == PAGE:
        path.write_bytes(not_a_picture())
    elif state in (GOOD, CUT):
        jpeg = draw_product(category, grade, rng)
        path.write_bytes(truncated(jpeg) if state == CUT else jpeg)
