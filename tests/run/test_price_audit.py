"""The price audit over a run in miniature: planted errors, an independent order, and nobody judged by what saw him."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from typer.testing import CliRunner

from pricing.command.inspection import app
from pricing.errors import InputError
from pricing.features.comparables import ComparableIndex
from pricing.run.audit_comparables import no_comparables
from pricing.run.mispriced_causes import name_causes
from pricing.run.price_audit import COLUMNS, _unit_price, audit_run

Plant = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def audited(outputs: Path) -> pl.DataFrame:
    return audit_run(outputs)


@pytest.fixture
def plant(outputs: Path, tmp_path: Path) -> Plant:
    """Audit the run after one product's listed price was multiplied, or its text or amount changed."""

    def planted(sample_id: str, factor: float = 1.0, **changes: str | float | None) -> pl.DataFrame:
        run = tmp_path / f"{sample_id}-{factor}-{len(changes)}"
        shutil.copytree(outputs, run)
        for name in ("oof", "holdout"):
            change(run / "evaluation" / f"{name}.parquet", sample_id, price=pl.col("price") * factor)
        values = {name: pl.lit(value) for name, value in changes.items()}
        change(run / "evaluation" / "products.parquet", sample_id, **values)
        return audit_run(run)

    return planted


def change(path: Path, sample_id: str, **changes: pl.Expr) -> None:
    table = pl.read_parquet(path)
    own = pl.col("sample_id") == sample_id
    cells = {name: pl.when(own).then(value).otherwise(name).cast(table.schema[name]) for name, value in changes.items()}
    table.with_columns(**cells).write_parquet(path)


def of_pack(outputs: Path, pack: int, part: str = "oof") -> str:
    """A product of so many packs whose price the models know best."""
    products = pl.read_parquet(outputs / "evaluation" / "products.parquet")
    named = products.filter(pl.col("title").str.contains(f"(Pack of {pack})", literal=True)).select("sample_id")
    rows = pl.read_parquet(outputs / "evaluation" / f"{part}.parquet").join(named, on="sample_id")
    return str(rows.sort((pl.col("price") / pl.col("stack")).log().abs(), "sample_id")["sample_id"][0])


def test_a_row_per_labelled_product(outputs: Path, audited: pl.DataFrame) -> None:
    assert tuple(audited.columns) == COLUMNS
    tables = {name: pl.read_parquet(outputs / "evaluation" / f"{name}.parquet") for name in ("oof", "holdout")}
    assert audited["sample_id"].is_unique().all()
    for part, name in (("out_of_fold", "oof"), ("holdout", "holdout")):
        found = audited.filter(pl.col("part") == part).sort("sample_id")
        kept = tables[name].sort("sample_id")
        assert found["sample_id"].equals(kept["sample_id"])
        assert found["price"].equals(kept["price"])
        assert found["expected"].equals(kept["stack"].alias("expected"))
    held = audited.filter(pl.col("part") == "holdout").sort("sample_id")
    for end in ("low_95", "high_95"):
        assert held[end].equals(tables["holdout"].sort("sample_id")[end]), "hold-out rows have the hold-out's interval"


def test_the_order_is_that_of_an_independent_computation(outputs: Path, audited: pl.DataFrame) -> None:
    index = ComparableIndex.load(outputs / "model" / "engineer" / "index")
    ids = index.products["sample_id"].to_list()
    products = pl.read_parquet(outputs / "evaluation" / "products.parquet")
    products = products.select("sample_id", "amount", "unit", "packs", "pieces")
    rows = {row["sample_id"]: row for row in audited.join(products, on="sample_id").iter_rows(named=True)}
    cosines = []
    for matrix in index.rows.values():
        dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)
        cosines.append(dense @ dense.T)
    scores = {}
    for place, own in enumerate(ids):
        row = rows[own]
        total: dict[int, float] = {}
        for space in cosines:
            near = sorted((-space[place, other], other) for other in range(len(ids)) if other != place)[:10]
            for cosine, other in near:
                total[other] = total.get(other, 0.0) - cosine / len(cosines)
        asked = sorted(total, key=lambda other: (-round(total[other], 6), other))[:10]
        agree = weights = 0.0
        for other in asked:
            theirs = rows[ids[other]]
            said = theirs["price"]
            if theirs["unit"] == row["unit"]:
                said *= (row["amount"] / theirs["amount"]) ** 0.65
            weight = np.exp(5 * total[other])
            weights += weight
            nearer = abs(np.log(said / row["expected"])) < abs(np.log(said / row["price"]))
            agree += weight * nearer
        others = float(np.median([rows[ids[other]]["packs"] for other in asked]))
        odds = likelier_as_wrong(row, others, [row["price"] for row in rows.values()])
        scores[own] = odds + 3 * np.log(0.25 + agree / weights)
    found = [scores[name] for name in audited["sample_id"]]
    assert np.mean(np.diff(found) <= 1e-6) > 0.98, "but for ties between comparables"
    assert found[0] == max(found)


def likelier_as_wrong(row: dict[str, Any], packs_of_others: float, prices: list[float]) -> float:
    """ln of the likelihood of a wrong price over that of an ordinary one, a product at a time."""
    distance = np.log(row["price"] / row["expected"])
    end = np.log((row["high_95"] if distance > 0 else row["low_95"]) / row["expected"])

    def likelihood(factor: float, weight: float) -> float:
        cents = Counter(round(price * 100) % 100 for price in prices)
        moved = Counter(int(np.round(price * factor * 100)) % 100 for price in prices)
        own = round(row["price"] * 100) % 100
        digits = (moved[own] + 1) / (cents[own] + 1) if factor != 1 else 1.0
        scale = abs(end) / 3
        return weight * digits * float(np.exp(-abs(distance - np.log(factor)) / scale)) / 2 / scale

    causes = [(10, 0.5), (0.1, 0.5), (100, 0.1), (0.01, 0.1)]
    if row["packs"] > 1:
        causes += [(row["packs"], 1), (1 / row["packs"], 1)]
    if row["pieces"] > 1:
        causes += [(1 / row["pieces"], 0.3)]
    if packs_of_others != row["packs"]:
        causes += [(packs_of_others / row["packs"], 0.3)]
    logs = np.log(prices)
    any_price = 2 * stats.norm(logs.mean(), logs.std()).pdf(np.log(row["price"]))
    return float(np.log(sum(likelihood(*cause) for cause in causes) + any_price) - np.log(likelihood(1, 1)))


@pytest.mark.parametrize("part", ["oof", "holdout"])
def test_no_product_is_judged_by_its_own_price(outputs: Path, audited: pl.DataFrame, plant: Plant, part: str) -> None:
    name = of_pack(outputs, 2, part)
    judged = ["expected", "low_95", "high_95", "comparable_price", "unit_price"]
    before, after = (
        table.row(by_predicate=pl.col("sample_id") == name, named=True) for table in (audited, plant(name, 7))
    )
    assert after["price"] == pytest.approx(7 * before["price"])
    assert [after[column] for column in judged] == [before[column] for column in judged]


@pytest.mark.parametrize(
    ("pack", "factor", "cause"),
    [
        (6, 6.0, "pack_misread"),
        (6, 1 / 6, "unit_price_for_pack"),
        (12, 1 / 12, "unit_price_for_pack"),
        (1, 10.0, "decimal_slip"),
        (2, 0.1, "decimal_slip"),
        (1, 0.01, "decimal_slip"),
        (1, 4.2, "other"),
    ],
)
@pytest.mark.parametrize("part", ["oof", "holdout"])
def test_a_planted_error_comes_first_with_its_cause(
    outputs: Path, plant: Plant, pack: int, factor: float, cause: str, part: str
) -> None:
    name = of_pack(outputs, pack, part)
    first = plant(name, factor).row(0, named=True)
    assert (first["sample_id"], first["cause"]) == (name, cause)
    assert "outside the 95 % interval" in first["direction"]
    assert ("above" if factor > 1 else "below") in first["direction"]
    assert len(first["comparable_ids"].split("; ")) >= 3
    theirs = first["comparable_price"]
    assert abs(np.log(theirs / first["expected"])) < abs(np.log(theirs / first["price"]))
    assert first["unit_price"].endswith(" per 100 g")


def test_a_unit_price_has_the_decimals_of_prices() -> None:
    """12.03 for a piece is not "12"; where two decimals say too little of a small one, it has three digits."""
    said = [_unit_price(*cost) for cost in [(12.03, 1, "piece"), (12345.0, 2, "m"), (1.2, 1000, "g"), (2, 5000, "ml")]]
    assert said == ["12.03 per piece", "6,172.50 per m", "0.12 per 100 g", "0.04 per 100 ml"]
    assert _unit_price(0.0123, 1, "piece") == "0.0123 per piece"
    assert _unit_price(12.03, None, "g") is None


def test_a_missing_amount_explains_what_an_amount_like_its_comparables_would(outputs: Path, plant: Plant) -> None:
    name = of_pack(outputs, 1)
    text = "Item Name: Tea\nBullet Point 1: Fine\n"
    found = plant(name, 3.0, amount=None, unit=None, catalog_content=text).filter(pl.col("sample_id") == name)
    assert found["cause"].item() == "missing_amount"
    assert found["unit_price"].item() is None, "nothing is known per unit"


@pytest.mark.parametrize(("price", "cause"), [(129.90, "decimal_slip"), (129.99, "other")])
def test_a_slip_of_the_decimal_mark_leaves_its_digits(price: float, cause: str) -> None:
    """Where prices end in .99, one that ends so was typed as it is: ten times what it looks like or not."""
    usual = [whole + 0.99 for whole in range(4, 64)] + [40.5] * 5
    prices = pl.Series([*usual, price])
    expected = pl.Series([*usual, 12.99])
    products = pl.DataFrame({
        "sample_id": [str(number) for number in range(len(prices))], "price": prices, "expected": expected,
        "low_95": expected / 3, "high_95": expected * 3,
    }).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("amount", "pack", "pieces"))  # fmt: skip
    assert name_causes(products, no_comparables(), 0.65)["cause"][-1] == cause


def test_ordinary_prices_have_no_cause(audited: pl.DataFrame) -> None:
    inside = audited.filter(pl.col("price").is_between("low_95", "high_95"))
    assert inside.height > 0.85 * audited.height
    assert (inside["cause"] == "").all()
    assert inside["direction"].str.ends_with("; inside the 95 % interval").all()


def test_the_command_writes_what_the_pricer_gives(outputs: Path, audited: pl.DataFrame, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(outputs, run)
    (run / "model" / "config.json").write_text("{}")
    done = CliRunner().invoke(app, ["audit", "--run", str(run), "--output", str(tmp_path / "new" / "audit.csv")])
    assert done.exit_code == 0, done.output
    written = pl.read_csv(tmp_path / "new" / "audit.csv", infer_schema=False)
    assert tuple(written.columns) == COLUMNS
    assert written["sample_id"].equals(audited["sample_id"])
    assert np.allclose(written["expected"].cast(pl.Float64), audited["expected"], rtol=0.006)
    low, high = (written[name].cast(pl.Float64) for name in ("low_95", "high_95"))
    assert (low <= audited["low_95"] + 1e-9).all(), "rounded outward"
    assert (high >= audited["high_95"] - 1e-9).all()
    assert f"{audited.height} products" in done.output


def test_a_run_without_hold_out_comparables_and_third_fold_is_audited_too(outputs: Path, tmp_path: Path) -> None:
    """It is a run's last step: what a run may lack must not end it."""
    run = Path(shutil.copytree(outputs, tmp_path / "run"))
    held, oof = (run / "evaluation" / f"{name}.parquet" for name in ("holdout", "oof"))
    table = pl.read_parquet(held).clear()
    table.drop([name for name in table.columns if name.startswith(("low", "high"))]).write_parquet(held)
    pl.read_parquet(oof).with_columns(fold=pl.col("fold") % 2).write_parquet(oof)
    assert audit_run(run)["comparable_price"].is_not_null().all()
    shutil.rmtree(run / "model" / "engineer" / "index")
    found = audit_run(run)
    assert set(found["part"]) == {"out_of_fold"}
    assert found.height == pl.read_parquet(oof).height
    assert (found["comparable_ids"] == "").all()
    assert found["comparable_price"].is_null().all()


def test_a_run_leaves_its_audit_for_the_report(outputs: Path, audited: pl.DataFrame) -> None:
    assert pl.read_parquet(outputs / "evaluation" / "audit.parquet").equals(audited)


def test_a_model_folder_alone_is_refused(outputs: Path) -> None:
    with pytest.raises(InputError, match=r"has no evaluation/.*--output of `pricing run`"):
        audit_run(outputs / "model")
