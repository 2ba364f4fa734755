"""How many planted errors the price audit finds, and how often it names their cause.

    python benchmarks/price_audit.py [CATALOGUE.csv] [--columns FILE] [--rows N] [--seeds 3] [--quick] [--floor 80]

Without a catalogue the generated sample is taken. 2 % of the prices are spoilt before anything is trained: a quarter
times the pack that the text states, a quarter divided by it, a quarter with the decimal mark one place off, a quarter
swapped in pairs that differ by a factor of 1.5 or more. Then the cpu preset without images, networks and refit learns
from the spoilt catalogue, and its audit is searched.

Prints per seed the share of planted errors among the first 3 %, by kind, and how many of these have the right cause
(of a swap: `other`), and the same of those alone whose cause is more than `other`. ``--floor`` and ``--causes`` are the
least percentages that let it end with 0. ``--quick`` trains LightGBM and the ridge, with few rounds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from pricing import Pricer
from pricing.catalogue.table_input import read_products
from pricing.config.catalogue import CatalogueConfig
from pricing.features.quantity import quantity_features
from pricing.features.sections import split_sections
from pricing.sample.generate import generate_sample

SHARE, FIRST = 0.02, 0.03
SWAPPED = 1.5
KINDS = ("pack_misread", "unit_price_for_pack", "decimal_slip", "other")
"""Kinds of planted errors, by the cause that is right."""
OFF = {
    "images.enabled": False, "members.multimodal.enabled": False, "members.sparse_mlp.enabled": False,
    "members.column_mlp.enabled": False, "members.gaussian_process.enabled": False, "holdout.refit": False,
}  # fmt: skip
QUICK = {
    "members.xgboost.enabled": False, "members.catboost.enabled": False, "members.lightgbm.seeds": 1,
    "members.lightgbm.rounds": 300, "members.lightgbm.learning_rate": 0.1, "features.spaces": ["words", "characters"],
}  # fmt: skip


def main() -> None:
    """Plant, learn, audit and count, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", nargs="?", type=Path)
    parser.add_argument("--columns", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--floor", type=float)
    parser.add_argument("--causes", type=float, default=50.0)
    options = parser.parse_args()
    floor = options.floor or (60.0 if options.catalogue else 80.0)
    figures = []
    print(
        f"{'seed':<6}{'found %':>8}" + "".join(f"{kind:>21}" for kind in KINDS) + f"{'cause right %':>15}{'named %':>9}"
    )
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.seeds):
            root = Path(name) / str(seed)
            catalogue = options.catalogue
            if catalogue is None:
                catalogue = generate_sample(root / "sample", options.rows or 1500, 1, seed, images=False).train
            settings = {"seed": seed, **OFF, **(QUICK if options.quick else {})}
            pricer = Pricer("cpu", settings, options.columns, root / "artifacts")
            raw = pl.read_csv(catalogue, infer_schema=False, n_rows=options.rows)
            spoilt, kinds = plant(raw, pricer.config.catalogue, seed)
            figures.append(count(pricer.fit(spoilt).audit(), kinds))
            print(f"{seed:<6}{line(figures[-1])}", flush=True)
    mean = np.nanmean(figures, axis=0)
    print(f"{'mean':<6}{line(mean)}")
    if mean[0] < floor or mean[5] < options.causes:
        sys.exit(f"expected {floor:.0f} % found and {options.causes:.0f} % of the causes right")


def plant(raw: pl.DataFrame, config: CatalogueConfig, seed: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """Spoil some prices of a catalogue.

    Parameters
    ----------
    raw : DataFrame
        n rows as text.
    config : CatalogueConfig
        Its roles.
    seed : int
        Of the choice.

    Returns
    -------
    spoilt : DataFrame
        The same rows and columns.
    kinds : dict of str to str
        Id of each spoilt row to the cause that is right.
    """
    roles = config.roles
    assert roles.price is not None
    packs = quantity_features(split_sections(read_products(raw, config).frame))["ipq_pack"].to_numpy()
    price = raw[roles.price].cast(pl.Float64).to_numpy()
    rng = np.random.default_rng(seed)
    each = max(round(SHARE * raw.height / len(KINDS)), 2) // 2 * 2
    order = [int(row) for row in rng.permutation(raw.height)]
    new, kinds = price.copy(), {}

    def take(fits: np.ndarray, number: int, cause: str) -> list[int]:
        taken = [row for row in order if fits[row] and row not in kinds][:number]
        kinds.update(dict.fromkeys(taken, cause))
        return taken

    for cause, up in (("pack_misread", True), ("unit_price_for_pack", False)):
        for row in take(packs > 1, each, cause):
            new[row] = price[row] * packs[row] if up else price[row] / packs[row]
    everywhere = np.ones(raw.height, dtype=bool)
    for number, row in enumerate(take(everywhere, each, "decimal_slip")):
        new[row] = price[row] * 10 if number % 2 else price[row] / 10
    for _ in range(each // 2):
        (one,) = take(everywhere, 1, "other")
        (two,) = take(np.abs(np.log(price / price[one])) >= np.log(SWAPPED), 1, "other")
        new[one], new[two] = price[two], price[one]
    new = np.maximum(new, 0.01)
    spoilt = raw.with_columns(pl.Series(roles.price, [f"{value:.2f}" for value in new]))
    ids = raw[roles.id]
    return spoilt, {ids[row]: cause for row, cause in kinds.items()}


def count(audit: pl.DataFrame, kinds: dict[str, str]) -> list[float]:
    """Percentages: found, found by kind, and right causes among those found, all and those that are named."""
    planted = pl.DataFrame({"sample_id": list(kinds), "kind": list(kinds.values())})
    first = audit.head(round(FIRST * audit.height))
    found = first.join(planted, on="sample_id")
    shares = [found.filter(pl.col("kind") == kind).height / max(planted.filter(pl.col("kind") == kind).height, 1)
              for kind in KINDS]  # fmt: skip
    right = (found["cause"] == found["kind"]).to_numpy()
    named = (found["cause"].is_in(["", "other"])).not_().to_numpy()
    causes = [float(rows.mean()) if rows.size else 0.0 for rows in (right, right[named])]
    return [100 * share for share in (found.height / len(kinds), *shares, *causes)]


def line(figures: list[float]) -> str:
    """One line of the table."""
    kinds = "".join(f"{value:>21.0f}" for value in figures[1:5])
    return f"{figures[0]:>8.0f}{kinds}{figures[5]:>15.0f}{figures[6]:>9.0f}"


if __name__ == "__main__":
    main()
