"""What of anybody's tables is a model, and what is refused."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pricing.errors import PredictionsError
from pricing.run.prediction_tables import read_pair

ROWS = 40
Edit = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {"sample_id": [f"p{i}" for i in range(ROWS)]}
        | {name: rng.lognormal(3, 1, ROWS) for name in ("price", "m1", "m2")}
    )
    table.write_csv(tmp_path / "oof.csv")
    table.select("m2", "sample_id", "m1").write_csv(tmp_path / "test.csv")
    return tmp_path / "oof.csv", tmp_path / "test.csv"


def edited(path: Path, edit: Edit) -> None:
    edit(pl.read_csv(path)).write_csv(path)


def with_first(name: str, values: list[int] | pl.Series) -> Edit:
    return lambda table: table.select(pl.Series(name, values), pl.all())


def test_models_are_what_is_not_reserved(tables: tuple[Path, Path]) -> None:
    labelled, new, names = read_pair(*tables)
    assert names == ("m1", "m2")
    assert labelled.prices("m1").tolist() == new.prices("m1").tolist()


@pytest.mark.parametrize(
    ("which", "edit", "words"),
    [
        (0, lambda t: t.drop("price"), "has no column 'price', only 'sample_id', 'm1', 'm2'"),
        (0, lambda t: t.drop("sample_id"), "has no column 'sample_id'"),
        (0, lambda t: t.select("sample_id", "price"), "no model's column"),
        (0, lambda t: pl.concat([t, t.head(1)]), "sample_id 'p0' is there more than once"),
        (0, lambda t: t.head(0), "no rows"),
        (1, lambda t: t.drop("m1"), "columns missing: 'm1', unknown: none"),
        (1, lambda t: t.with_columns(m9=1.5), "columns missing: none, unknown: 'm9'"),
        (0, lambda t: t.with_columns(stack=1.0), "cannot be called 'stack'"),
        (1, lambda t: t.with_columns(low_80=1.0), "cannot be called 'low_80'"),
    ],
)
def test_wrong_tables_are_refused(tables: tuple[Path, Path], which: int, edit: Edit, words: str) -> None:
    edited(tables[which], edit)
    with pytest.raises(PredictionsError, match=words):
        read_pair(*tables)


@pytest.mark.parametrize("name", ["m1", "sample_id"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_header_that_is_there_twice_is_refused(tables: tuple[Path, Path], which: int, name: str) -> None:
    """Two columns m1: which is the model? Read on, the second would be a model called m1_duplicated_0."""
    header, *lines = tables[which].read_text().splitlines()
    text = "\n".join([f"{header},{name}", *(f"{line},{line.split(',')[-1]}" for line in lines)])
    tables[which].write_text(text + "\n")
    with pytest.raises(PredictionsError, match=rf"{tables[which].name}: column '{name}' is there more than once"):
        read_pair(*tables)


def test_missing_file_is_refused(tables: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"none\.csv: cannot be read"):
        read_pair(tmp_path / "none.csv", tables[1])


NAMES = (
    "", " ", "Unnamed: 0", "Unnamed: 17", "unnamed: 0", "Unnamed: 0.1", "index", "Index", "level_0",
    "__index_level_0__", "row.names", "rownames", "row_names", "...1",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("files", [(0,), (1,), (0, 1)])
def test_a_row_number_is_known_by_its_name(tables: tuple[Path, Path], name: str, files: tuple[int, ...]) -> None:
    """With any values: of rows that were drawn or sorted, a row number is no longer 0, 1, 2."""
    numbers = np.random.default_rng(1).integers(0, 1000, ROWS)
    for which in files:
        edited(tables[which], with_first(name, pl.Series(numbers)))
    expected = f"{tables[files[0]].name}: column {name!r} (number 1 of "
    with pytest.raises(PredictionsError, match=re.escape(expected) + r"\d\) looks like a row number; write the file"):
        read_pair(*tables)


@pytest.mark.parametrize("name", ["X", "row_id", "my model"])
@pytest.mark.parametrize("first", [0, 1, 300])
@pytest.mark.parametrize("which", [0, 1])
def test_a_row_number_is_known_by_its_values(tables: tuple[Path, Path], name: str, first: int, which: int) -> None:
    numbers = np.arange(first, first + ROWS)
    for values in (numbers, np.random.default_rng(0).permutation(numbers), numbers.astype(float)):
        path = tables[which]
        before = path.read_bytes()
        edited(path, with_first(name, pl.Series(values)))
        with pytest.raises(PredictionsError, match=rf"{path.name}: column '{name}' .*looks like a row number"):
            read_pair(*tables)
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["X", "#", "id", "No.", "rank"])
def test_row_numbers_of_chosen_rows_are_known_by_a_usual_name(tables: tuple[Path, Path], name: str) -> None:
    chosen = pl.Series(np.flatnonzero(np.random.default_rng(0).random(400) < 0.2)[:ROWS])
    for values in (chosen, pl.Series([f" {number}" for number in chosen])):
        pl.read_csv(tables[0]).drop(name, strict=False).insert_column(0, values.alias(name)).write_csv(tables[0])
        with pytest.raises(PredictionsError, match=rf"column '{re.escape(name)}' .*looks like a row number"):
            read_pair(*tables)


def test_rows_that_hold_nothing_are_no_rows(tables: tuple[Path, Path]) -> None:
    tables[0].write_text(tables[0].read_text() + ",,,\n\n")
    assert len(read_pair(*tables)[0].frame) == ROWS


@pytest.mark.parametrize("value", [[1.5], True, date(2026, 1, 1)])
def test_a_column_of_another_type_is_no_model(tables: tuple[Path, Path], tmp_path: Path, value: object) -> None:
    """A date would become the days since 1970."""
    path = tmp_path / "oof.parquet"
    pl.read_csv(tables[0]).with_columns(m1=pl.Series([value] * ROWS)).write_parquet(path)
    with pytest.raises(PredictionsError, match=r"column 'm1' has type .*, expected numbers"):
        read_pair(path, tables[1])[0].prices("m1")


def test_decimals_of_a_warehouse_are_prices(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """BigQuery's BIGNUMERIC is a decimal256, which polars does not know, and its whole numbers may be ids."""
    table = pl.read_csv(tables[0])
    texts = [f"{price:.2f}" for price in table["price"]]
    columns = {name: pa.array(map(Decimal, texts), pa.decimal256(50, 2)) for name in ("price", "m1", "m2")}
    ids = pa.array([Decimal(9007199254740993 + 7 * i) for i in range(ROWS)], pa.decimal128(38, 0))
    path = tmp_path / "oof.parquet"
    pq.write_table(pa.table({"sample_id": ids} | columns), path)
    labelled, _, names = read_pair(path, tables[1])
    assert names == ("m1", "m2")
    assert labelled.frame["sample_id"][0] == "9007199254740993"
    assert labelled.prices("price").tolist() == [float(text) for text in texts]


@pytest.mark.parametrize("suffix", ["parquet", "PARQUET"])
def test_row_numbers_of_parquet_too(tables: tuple[Path, Path], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"oof.{suffix}"
    pl.read_csv(tables[0]).with_row_index("position", offset=1).write_parquet(path)
    with pytest.raises(PredictionsError, match=r"column 'position' \(number 1 of 5\) looks like a row number"):
        read_pair(path, tables[1])


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: t.with_columns(sample_id=pl.int_range(1, pl.len() + 1)),  # ids may count
        lambda t: t.with_columns(m1=pl.col("m1").round(0) + 1),  # whole prices
        lambda t: t.with_columns(m1=pl.int_range(pl.len()) // 2 + 1),  # each twice: no count of rows
        lambda t: t.with_columns(m1=pl.int_range(pl.len()) + 0.5),
        lambda t: t.with_columns(m1=pl.lit(3)),
        lambda t: t.head(9).with_columns(m1=pl.int_range(pl.len()) + 1),  # so few may be chance
        lambda t: t.with_columns(pl.col("m1").sort()),
    ],
)
def test_models_stay_models(tables: tuple[Path, Path], edit: Edit) -> None:
    for path in tables:
        edited(path, edit)
    assert read_pair(*tables)[2] == ("m1", "m2")


@pytest.mark.parametrize("name", ["x", "X1", "row", "indexed", "unnamed", "model 1", "rowing"])
def test_a_model_may_have_such_a_name(tables: tuple[Path, Path], name: str) -> None:
    for path in tables:
        edited(path, lambda table: table.rename({"m1": name}))
    assert name in read_pair(*tables)[2]


def test_row_numbers_without_a_header_of_their_own(tables: tuple[Path, Path]) -> None:
    """As R's write.table writes them: the header has a name less than the rows have fields."""
    header, *lines = tables[0].read_text().splitlines()
    tables[0].write_text("\n".join([header, *(f"{n},{line}" for n, line in enumerate(lines, 1))]) + "\n")
    with pytest.raises(
        PredictionsError, match=r"oof\.csv: has rows of more fields than its header; a row number"
    ) as told:
        read_pair(*tables)
    assert "\n" not in str(told.value)


def test_a_comma_at_the_end_of_each_line_is_no_row_number(tables: tuple[Path, Path]) -> None:
    tables[0].write_text(tables[0].read_text().replace("\n", ",\n"))
    with pytest.raises(
        PredictionsError, match=r"column '' \(number 5 of 5\) has no name and no values; .*comma at the end"
    ):
        read_pair(*tables)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "sep=,\n" + text,
        lambda text: "sep=;\n" + text.replace(",", ";"),
        lambda text: re.sub(r"(?m)^.*$", lambda line: ";".join(f'"{v}"' for v in line[0].split(",")), text.strip()),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_other_separators_are_read_alike(tables: tuple[Path, Path], which: int, change: Callable[[str], str]) -> None:
    expected = [table.frame for table in read_pair(*tables)[:2]]
    tables[which].write_text(change(tables[which].read_text()))
    found = read_pair(*tables)
    assert found[0].frame.equals(expected[0])
    assert found[1].frame.equals(expected[1])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings(tables: tuple[Path, Path], encoding: str) -> None:
    text = tables[0].read_text()
    tables[0].write_text(text, encoding=encoding)
    assert read_pair(*tables)[2] == ("m1", "m2")
