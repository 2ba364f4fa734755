"""Times as feeds write them: what is written in any style is read back, and an order is proven or refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.reading import read_catalogue_file
from pricing.catalogue.written_times import TimeColumn
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

STYLES = {
    "%Y-%m-%d %H:%M:%S": None, "%Y-%m-%dT%H:%M:%S": None, "%Y/%m/%d %H:%M:%S": None, "%d.%m.%Y %H:%M:%S": None,
    "%d/%m/%Y %H:%M:%S": "day", "%m/%d/%Y %I:%M:%S %p": "month", "%d-%m-%Y, %H:%M:%S": "day",
}  # fmt: skip
times = st.datetimes(datetime(1980, 1, 1), datetime(2099, 12, 31)).map(lambda time: time.replace(microsecond=0))


def read(*written: str, order: Any = None, **more: Any) -> list[datetime | None]:
    column = TimeColumn("shop.csv: column listed", order, **more)
    return column.read(pl.Series(written, dtype=pl.String), lambda place: f"row {place + 1}").to_list()


@given(times, st.sampled_from(sorted(STYLES)))
def test_a_time_is_read_back_in_every_style(time: datetime, style: str) -> None:
    assert read(time.strftime(style), order=STYLES[style]) == [time]


@given(times, st.integers(-14 * 4, 14 * 4))
def test_zones_become_utc(time: datetime, quarters: int) -> None:
    there = time.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=15 * quarters)))
    assert read(there.isoformat(), there.strftime("%Y-%m-%d %H:%M:%S%z")) == [time, time]


def test_zones_by_name_are_those_of_one_place() -> None:
    summer, winter = datetime(2023, 4, 13, 17, 20, 11), datetime(2023, 1, 13, 9, 20)
    assert read("2023-04-13 10:20:11 PDT", "13.04.2023 19:20:11 MESZ") == [summer, summer]
    assert read("01/13/2023 1:20 AM PST", "2023-01-13 10:20 CET", "2023-01-13 10:20 IST") == [winter, winter, None]


@given(times, st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]))
def test_what_is_counted_since_1970_is_read_whatever_the_unit(time: datetime, unit: int) -> None:
    assert read(str(int(time.replace(tzinfo=UTC).timestamp()) * unit)) == [time]


@pytest.mark.parametrize("written", ["", "nan", "soon", "2024-02-31", "31/31/2024", "12:30", "4.99", "2024-13-01", "5"])
def test_what_is_no_time_is_missing(written: str) -> None:
    assert read(written, order="day") == [None]


def test_a_value_above_twelve_or_points_prove_the_order_of_the_column() -> None:
    assert read("03/04/2024", "31/01/2024") == [datetime(2024, 4, 3), datetime(2024, 1, 31)]
    assert read("03/04/2024", "01/31/2024") == [datetime(2024, 3, 4), datetime(2024, 1, 31)]
    assert read("03.04.2024") == [datetime(2024, 4, 3)]
    with pytest.raises(CatalogueError, match=r"'03/04/2024' \(row 2\).*no value tells which.*catalogue.date_order=day"):
        read("2024-01-01", "03/04/2024")
    with pytest.raises(CatalogueError, match="the values are of both kinds"):
        read("31/01/2024", "01/31/2024")
    assert read("03/04/2024", "2024-01-01", needed=False) == [None, datetime(2024, 1, 1)]


def test_times_of_a_parquet_file_are_read_as_they_are(tmp_path: Path) -> None:
    midnight, noon = datetime(2024, 1, 31), datetime(2024, 1, 31, 12)
    config = CatalogueConfig(columns=ColumnsConfig(id="sku", title="name", time="listed"))
    for values, expected in (
        (pl.Series([date(2024, 1, 31)]), midnight), (pl.Series(["2024-01-31"], dtype=pl.Categorical), midnight),
        (pl.Series([noon], dtype=pl.Datetime("ms")), noon), (pl.Series([1706702400]), noon),
        (pl.Series([noon], dtype=pl.Datetime("ns")).dt.replace_time_zone("Europe/Paris"), noon - timedelta(hours=1)),
    ):  # fmt: skip
        table = pl.DataFrame({"sku": ["1"], "name": ["tea"], "price": [1.0], "listed": values})
        table.write_parquet(tmp_path / "shop.parquet")
        read_file = read_catalogue_file(tmp_path / "shop.parquet", labelled=True, config=config)
        assert read_file.frame["time"].to_list() == [expected]
