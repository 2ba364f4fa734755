"""CSV files in whole blocks and record by record: the same rows, lines and faults."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue import csv_table, raw_batch
from pricing.catalogue.csv_table import CsvTable
from pricing.catalogue.file_form import FileForm
from pricing.catalogue.raw_batch import Rejected
from pricing.config.columns import ColumnsConfig

ROLES = ColumnsConfig(id="id", title="title", price="price", image=("link",))
HEADER = "title,id,link,price"
WANTED = {"id:id": "id", "title:title": "title", "price:price": "price"}


def read(path: Path, form: FileForm) -> tuple[list[tuple[object, ...]], list[Rejected], int]:
    rows: list[tuple[object, ...]] = []
    broken: list[Rejected] = []
    empty = 0
    for batch in CsvTable(path, form).batches(WANTED, ROLES):
        rows += batch.frame.rows()
        broken += batch.broken
        empty += batch.empty
    return rows, broken, empty


def both_ways(path: Path, form: FileForm, size: int) -> tuple[list[tuple[object, ...]], list[Rejected], int]:
    """What is read, after comparing blocks of a size with the strict scan alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "BLOCK_BYTES", size)
        in_blocks = read(path, form)
        patch.setattr(CsvTable, "_whole", lambda *_: None)
        assert in_blocks == read(path, form)
    return in_blocks


pieces = st.sampled_from([
    "tea", "1", "4.5", "", " ", ",", ",,", ";", '"', '""', "\n", "\r\n", "\r", "é", "€", "\0", "\ufeff",
    '"a,b"', '"a\nb"', '"a ""b"""',
    "x,1,,2\n", 'y,"2",,3\r\n', '"z\n",3,http://x/1.jpg,4\n', ",,,\n", "\udcff", '5" pipe,6,,7\n',
])  # fmt: skip


@given(
    content=st.lists(pieces, max_size=40).map("".join), size=st.integers(1, 60), separator=st.sampled_from(",;"),
    above=st.integers(0, 1),
)  # fmt: skip
def test_blocks_of_any_size_are_read_as_the_strict_scan_reads(
    tmp_path_factory: pytest.TempPathFactory, content: str, size: int, separator: str, above: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    lines = ("sep=,\n" * above + HEADER + "\n").replace(",", separator) + content
    path.write_bytes(lines.encode("utf-8", "surrogateescape"))
    both_ways(path, FileForm("CSV", encoding="utf-8", separator=separator, lines_above=above), size)


@given(
    rows=st.lists(st.lists(st.text('ab",;\n\r é', max_size=6), min_size=4, max_size=4), max_size=8),
    size=st.integers(1, 60), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)  # fmt: skip
def test_what_a_writer_writes_needs_no_strict_scan(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], size: int, quoting: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(HEADER + "\n")
        csv.writer(stream, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    form = FileForm("CSV", encoding="utf-8")
    found = both_ways(path, form, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "_BLOCKS", 10**9)
        patch.setattr(csv_table, "BLOCK_BYTES", size)
        patch.setattr(csv_table, "scan_records", None)
        assert read(path, form) == found
    full = [(number, row) for number, row in enumerate(rows, start=1) if any(value.strip() for value in row)]
    assert [row[:4] for row in found[0]] == [(row[1], row[0], row[3], number) for number, row in full]
    assert found[1:] == ([], len(rows) - len(full))


def test_a_bad_row_far_below_is_named_and_all_around_it_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f'"Tea {number}\n",{number},,{number}.5\n' for number in range(1, 5001)]
    rows[3999] = "Tea,4000,,1,2\n"
    path.write_text(HEADER + "\n" + "".join(rows), encoding="utf-8")
    found, broken, empty = both_ways(path, FileForm("CSV", encoding="utf-8"), 10_000)
    assert [row[0] for row in found] == [str(number) for number in range(1, 5001) if number != 4000]
    assert found[-1][3:] == (5000, 9999)
    assert [(entry.row, entry.line, entry.kind) for entry in broken] == [(4000, 8000, "another number of fields")]
    assert empty == 0


def test_separators_at_a_rows_end_are_told_from_those_within_a_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\ntea,1,,2,,\nsalt, fine,2,,3\n", encoding="utf-8")
    _, (ends, within), _ = both_ways(path, FileForm("CSV", encoding="utf-8"), 10_000)
    assert "if the row only ends in separators, remove them" in ends.reason
    assert within.reason.endswith("quote every field that holds separators or line breaks, also prices such as 12,99")


def test_a_record_longer_than_a_block_is_one_record(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "tea\n" * 400
    path.write_text(f'{HEADER}\n"{text}",1,,2\nsalt,2,,3\n', encoding="utf-8")
    for size in (100, 1_000):
        found, _, _ = both_ways(path, FileForm("CSV", encoding="utf-8"), size)
        assert [row[1] for row in found] == [text, "salt"]
    assert raw_batch.BATCH_CHARACTERS > csv_table.BLOCK_BYTES
