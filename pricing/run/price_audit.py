"""The price audit: every labelled product of a run, the most suspicious price first.

No model that saw a product judges it. A held-out product is judged by its hold-out price and interval. Any other is
judged by its nested out-of-fold price, with an interval whose spread and quantiles come from the other folds alone.

Products are ranked by how much likelier the listed price is as a wrong one than as an ordinary one, which grows with
its distance from the expected price in half intervals, and by whether the comparables agree::

    suspicion = log_factor + 3 ln(0.25 + agreement)

``log_factor`` is that of `pricing.run.mispriced_causes.name_causes`. ``agreement`` is the share of the comparables that
lie nearer to the expected price than to the listed one, each weighted by ``exp(5 cosine)``; 0.5 without comparables.
"""

from pathlib import Path

import numpy as np
import polars as pl

from pricing.ensemble.intervals import fit_intervals
from pricing.ensemble.nested_folds import nesting_folds
from pricing.ensemble.stack import Ensemble
from pricing.errors import InputError
from pricing.features.comparables import ComparableIndex
from pricing.features.price_features import PriceFeatures
from pricing.metrics.rounding import round_around, round_prices
from pricing.report.shown_products import listed_position
from pricing.run.audit_comparables import ask_comparables, no_comparables
from pricing.run.beside_prices import write_csv
from pricing.run.mispriced_causes import name_causes
from pricing.run.model_folder import find_model, read_model_record
from pricing.store.tables import read_table

COLUMNS = (
    "sample_id", "part", "price", "expected", "low_95", "high_95", "direction", "cause", "comparable_ids",
    "comparable_price", "unit_price",
)  # fmt: skip
PARTS = ("holdout", "out_of_fold")
LEVEL = 95
"""Coverage in percent of the interval that a price lies outside or inside of."""
SHOWN = 5
"""Maximum number of comparables that are named."""
_WEIGHT, _DOUBT, _SHARPNESS = 3.0, 0.25, 5.0
"""Of the formula above. docs/audit.md has what other orders find."""
_PER = {"g": (100, "100 g"), "ml": (100, "100 ml"), "piece": (1, "piece"), "m": (1, "m"), "m2": (1, "m2")}
"""Base unit to how many of them a unit price is given for, and how that is written."""


def audit_run(run: Path, threads: int = 1) -> pl.DataFrame:
    """Audit the labelled products of a run.

    Parameters
    ----------
    run : Path
        A run's output folder.
    threads : int
        Number of cores for the search of comparables.

    Returns
    -------
    DataFrame
        One row per labelled product, the most suspicious first, ties by id; the columns `COLUMNS`. ``part`` is one of
        `PARTS`; ``price``, ``expected``, ``low_95``, ``high_95`` are money; ``direction`` says it in words; ``cause``
        as `pricing.run.mispriced_causes.name_causes`. ``comparable_ids`` are those that say so, the nearest first,
        joined by "; ". ``comparable_price`` is the median of all comparables asked, at the product's own amount, and
        ``unit_price`` is that in words per unit ("0.74 per 100 g"); null where nothing compares.

    Raises
    ------
    InputError
        The folder is not that of a run.
    ArtifactError
        A table is missing or damaged, or the model is of another version.
    """
    model = find_model(run)
    record = read_model_record(model)
    if model == run or not (run / "evaluation").is_dir():
        raise InputError(f"{run}: has no evaluation/, which an audit reads; give the --output of `pricing run`")
    judged = pl.concat([judge_holdout(run), judge_out_of_fold(run, Ensemble.load(model / "ensemble"))])
    products = judged.join(_products(run), on="sample_id", how="left", maintain_order="left")
    fitted = PriceFeatures.load(model / "price_features" / record.price_features[0])
    elasticity, index = fitted.config.price_elasticity, model / "engineer" / "index"
    if fitted.spaces and index.is_dir():
        comparables = ask_comparables(ComparableIndex.load(index), products, elasticity, threads)
    else:
        comparables = no_comparables()
    products = products.hstack(name_causes(products, comparables, elasticity))
    return rank(products, comparables)


def write_audit(audit: pl.DataFrame, decimals: int, output: Path, *, safe: bool = False) -> None:
    """Write an audit as CSV, prices rounded as a run rounds them, intervals outward; atomic.

    Parameters
    ----------
    audit : DataFrame
        As `audit_run` gives it.
    decimals : int
        Number of decimals.
    output : Path
        The file.
    safe : bool
        Whether to escape texts that a spreadsheet takes for formulas.
    """
    expected = audit["expected"].to_numpy()
    ends = {
        name: round_around(expected, audit[name].to_numpy(), decimals, upper=name.startswith("high"))
        for name in (f"low_{LEVEL}", f"high_{LEVEL}")
    }
    known = audit["comparable_price"].is_not_null()
    costs = round_prices(audit["comparable_price"].fill_null(1.0).to_numpy(), decimals)
    write_csv(
        audit.with_columns(
            # as it is listed, without the noise of floats
            pl.col("price").round_sig_figs(10), pl.Series("expected", round_prices(expected, decimals)), **ends,
            comparable_price=pl.select(pl.when(known).then(costs)).to_series(),
        ),
        output, safe=safe,
    )  # fmt: skip


def judge_holdout(run: Path) -> pl.DataFrame:
    """Return the held-out products: ``sample_id``, ``part``, ``price``, ``expected``, ``low_95``, ``high_95``."""
    ends = [f"low_{LEVEL}", f"high_{LEVEL}"]
    table = read_table(run / "evaluation" / "holdout.parquet")
    # without a hold-out the table may lack columns
    lacking = [pl.lit(None, pl.Float64).alias(name) for name in ends if name not in table.columns and table.is_empty()]
    return _judged(table.with_columns(lacking), PARTS[0])


def judge_out_of_fold(run: Path, stack: Ensemble) -> pl.DataFrame:
    """Return all other products, as `judge_holdout`; intervals come from the folds that a product is not in."""
    table = read_table(run / "evaluation" / "oof.parquet")
    read = ("price", "stack", *stack.members)
    price, expected, *members = np.log(table.select(read).cast(pl.Float64).to_numpy()).T
    # three folds or more, so that two are left to fit an interval on
    folds = nesting_folds(table["fold"].cast(pl.Int64).to_numpy(), max(3, table["fold"].n_unique()))
    kept = tuple(range(len(members))) if stack.intervals is None else stack.intervals.spread.members
    matrix = np.column_stack(members)
    low, high = np.empty_like(price), np.empty_like(price)
    for fold in np.unique(folds):
        out, rest = folds == fold, folds != fold
        fitted = fit_intervals(matrix[rest], expected[rest], price[rest], folds[rest], kept)
        low[out], high[out] = fitted.around(matrix[out], expected[out])[LEVEL]
    ends = {f"low_{LEVEL}": np.exp(low), f"high_{LEVEL}": np.exp(high)}
    return _judged(table.with_columns(**{name: pl.Series(values) for name, values in ends.items()}), PARTS[1])


def _judged(table: pl.DataFrame, part: str) -> pl.DataFrame:
    money = pl.col("price", "expected", f"low_{LEVEL}", f"high_{LEVEL}").cast(pl.Float64)
    return table.rename({"stack": "expected"}).select("sample_id", pl.lit(part).alias("part"), money)


def _products(run: Path) -> pl.DataFrame:
    """What the texts say of each labelled product: ``amount``, ``unit``, ``pack``, ``pieces``."""
    stated = ["sample_id", "amount", "unit", "packs", "pieces"]
    read = read_table(run / "evaluation" / "products.parquet", stated).rename({"packs": "pack"})
    return read.with_columns(pl.col("amount", "pack", "pieces").cast(pl.Float64).fill_nan(None))


def rank(products: pl.DataFrame, comparables: pl.DataFrame) -> pl.DataFrame:
    """Return n judged products with their comparables in words, the most suspicious first.

    Parameters
    ----------
    products : DataFrame
        n rows: what `judge_holdout` gives, ``amount``, ``unit``, ``cause`` and ``log_factor``.
    comparables : DataFrame
        As `pricing.run.audit_comparables.ask_comparables`.

    Returns
    -------
    DataFrame
        n rows, the columns `COLUMNS`.
    """
    distance = (pl.col("price") / pl.col("expected")).log()
    judged = products.with_columns(distance=distance)
    asked = comparables.join(judged.select("sample_id", "price", "distance"), on="sample_id")
    # how much of the way from the listed to the expected price a comparable goes
    way = (pl.col("price") / pl.col("said")).log() / pl.col("distance")
    asked = asked.with_columns(says_so=way > 0.5, weight=(_SHARPNESS * pl.col("similarity")).exp()).sort("rank")
    theirs = asked.group_by("sample_id", maintain_order=True).agg(
        agreement=pl.col("weight").filter("says_so").sum() / pl.col("weight").sum(),
        comparable_ids=pl.col("comparable").filter("says_so").head(SHOWN).str.join("; "),
        comparable_price=pl.col("said").log().median().exp(),
    )
    suspicion = pl.col("log_factor") + _WEIGHT * (_DOUBT + pl.col("agreement").fill_null(0.5)).log()
    found = judged.join(theirs, on="sample_id", how="left").sort(suspicion, "sample_id", descending=[True, False])
    words = found.select("price", "expected", f"low_{LEVEL}", f"high_{LEVEL}").iter_rows()
    costs = found.select("comparable_price", "amount", "unit").iter_rows()
    return found.with_columns(
        direction=pl.Series([_direction(*row) for row in words], dtype=pl.String),
        comparable_ids=pl.col("comparable_ids").fill_null(""),
        unit_price=pl.Series([_unit_price(*row) for row in costs], dtype=pl.String),
    ).select(COLUMNS)


def _direction(price: float, expected: float, low: float, high: float) -> str:
    side = "inside" if low <= price <= high else "outside"
    return f"{listed_position(price, expected)}; {side} the {LEVEL} % interval"


def _unit_price(price: float | None, amount: float | None, unit: str | None) -> str | None:
    if price is None or not amount or unit not in _PER:
        return None
    count, words = _PER[unit]
    cost = price / amount * count
    # three digits of a small one; two decimals else, as prices have them
    return f"{float(f'{cost:.3g}'):.10g} per {words}" if cost < 0.1 else f"{cost:,.2f} per {words}"
