r"""The sample catalogue's files where two declared columns say what the texts do not tell.

``grade`` is a path such as ``Drinks > Tea > Premium``; ``rating`` is a number from 1 to 5, empty in some rows. The log
price is that of :mod:`pricing.sample.formula` without the image's seal, and with::

    level[last part of grade] + RATING * (rating - 3) / 4

Both are drawn independently of everything else but for two quantities of one product, which share their grade where
they would share their image.

The floor
---------
With both columns and the text known, the best prediction is the median of log price, and the least expected SMAPE that
of a readable image. Without a rating, log price is an even mixture over the ratings, and without both columns one over
ratings and levels. Both are symmetric around their middle, which is then the best prediction.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pricing.metrics.smape import smape_rows
from pricing.sample import formula
from pricing.sample.products import CHUNK, TEST, TRAIN, Tally, draw_chunks, row_id, write_files
from pricing.sample.texts import write_content
from pricing.store.artifacts import write_json

LEVELS = {"Everyday": -0.25, "Select": 0.0, "Premium": 0.25}
"""Effect of each level on the log price; each is as frequent as the others."""
RATING = 0.30
"""Difference of log price between a rating of 5 and one of 1."""
RATINGS = tuple(round(1 + 0.1 * step, 1) for step in range(41))
"""Each is as frequent as the others."""
UNRATED = 0.03
"""Share of rows without a rating; it counts in their price all the same."""
DEPARTMENTS = {
    "coffee": "Drinks", "tea": "Drinks", "chocolate": "Snacks", "nuts": "Snacks", "oil": "Pantry", "sauce": "Pantry",
}  # fmt: skip
ROLES = """\
id = "sample_id"
price = "price"
text = ["catalog_content"]
category = ["grade"]
number = ["rating"]
"""
"""The catalogue's columns.toml."""

_COLUMNS = ("sample_id", "catalog_content", "grade", "rating", "price")


def write_declared(folder: Path, rows: int, test_rows: int, seed: int) -> None:
    """Write train.csv, test.csv, test_truth.csv, columns.toml and floor.json.

    Parameters
    ----------
    folder : Path
        Empty folder.
    rows, test_rows, seed
        As in `pricing.sample.generate.generate_sample`.
    """
    tally = Tally()
    write_files(folder, {"train.csv": _COLUMNS}, _rows(TRAIN, rows, seed, tally))
    test = _rows(TEST, test_rows, seed, Tally())
    write_files(folder, {"test.csv": _COLUMNS[:4], "test_truth.csv": ("sample_id", "price")}, test)
    (folder / "columns.toml").write_text(ROLES, encoding="utf-8")
    rated, ratings, levels = tally.known / rows, _rating_effect(np.array(RATINGS)), list(LEVELS.values())
    known, unrated = (formula.smape_at(offsets, 0.0) for offsets in (np.zeros(1), ratings))
    floor = {
        "smape": rated * known + (1 - rated) * unrated,
        "smape_without_columns": formula.smape_at(np.add.outer(levels, ratings).ravel(), 0.0),
        "smape_of_the_drawn_noise": tally.error / rows,
        "rated": rated,
        "noise": formula.NOISE,
    }
    write_json(folder / "floor.json", floor)


def _rating_effect(rating: np.ndarray) -> np.ndarray:
    return RATING * (rating - 3) / 4


def _rows(part: int, rows: int, seed: int, tally: Tally) -> Iterator[dict[str, object]]:
    names, effects, seals = list(LEVELS), np.array(list(LEVELS.values())), np.array(formula.GRADES)
    for number, chunk in enumerate(draw_chunks(part, rows, seed)):
        count = min(CHUNK, rows - number * CHUNK)
        # 0 is no image's number, so these are no image's random numbers
        rng = np.random.default_rng([seed, part, number, 0])
        rating, rated = rng.choice(RATINGS, size=CHUNK), rng.random(CHUNK) >= UNRATED
        best = chunk.formula + effects[chunk.grade] - seals[chunk.grade] + np.where(rated, _rating_effect(rating), 0.0)
        log_price = best + (chunk.log_price - chunk.formula) + np.where(rated, 0.0, _rating_effect(rating))
        prices = np.round(np.exp(log_price), 2)
        tally.known += int(rated[:count].sum())
        tally.error += float(smape_rows(log_price, best)[:count].sum())
        for row in range(count):
            kind = formula.CATEGORIES[chunk.category[row]].name
            path = f"{DEPARTMENTS[kind]} > {kind.capitalize()} > {names[chunk.grade[row]]}"
            values = (row_id(part, number * CHUNK + row), write_content(chunk.products[row]), path,
                      f"{rating[row]:.1f}" if rated[row] else "", repr(float(prices[row])))  # fmt: skip
            yield dict(zip(_COLUMNS, values, strict=True))
