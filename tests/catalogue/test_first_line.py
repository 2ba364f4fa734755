"""The first line's bytes: what is read, and what to change where it is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.first_line import first_line_problem
from pricing.catalogue.reading import read_catalogue_file
from pricing.errors import CatalogueError

NAMES = ("sample_id", "catalog_content", "price")
HEADER = "sample_id,catalog_content,price\n"
TABLE = HEADER + '1,"tea; green, 8 oz | tin",2\n'
SEMICOLONS = TABLE.replace(",", ";")
TABS = HEADER.replace(",", "\t") + "1\ttea\t2\n"


def problem(folder: Path, content: str | bytes, needed: tuple[str, ...] = NAMES) -> str | None:
    path = folder / "train.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return first_line_problem(path, needed)


READ = {
    "as it should be": TABLE.encode(),
    "a byte order mark": b"\xef\xbb\xbf" + TABLE.encode(),
    "CRLF": TABLE.replace("\n", "\r\n").encode(),
    "CRLF translated twice": TABLE.replace("\n", "\r\r\n").encode(),
    "quoted names": b'"sample_id","catalog_content", "price"\n1,a,2\n',
    "a quoted separator": b'"sample_id","catalog_content","price","size; unit | pack"\n1,a,2,b\n',
    "an unquoted separator in another name": b"sample_id,catalog_content,price,a;b;c;d;e\n1,a,2,b\n",
    "a line break in a name": b'sample_id,catalog_content,price,"size\nunit"\n1,a,2,3\n',
    "an inch sign": b'sample_id,catalog_content,price,5" pipe\n1,a,2,3\n',
    "a column called separately": b"sample_id,catalog_content,price,sep=;\n1,a,2,3\n",
    "names of other scripts": "sample_id,catalog_content,price,größe,価格\n1,a,2,3,4\n".encode(),
    "Latin-1 in a later row": b"sample_id,catalog_content,price\n1,caf\xe9,2\n",
    "a NUL in a later row": b"sample_id,catalog_content,price\n1,a\x00b,2\n",
    "nothing but the header": b"sample_id,catalog_content,price",
    "columns that are missing": b"sample_id,price\n1,2\n",
}


@pytest.mark.parametrize("case", READ)
def test_nothing_is_said_of_a_table_that_can_be_read(tmp_path: Path, case: str) -> None:
    assert problem(tmp_path, READ[case]) is None


# content, what is wrong, what to do
REFUSED: dict[str, tuple[str | bytes, tuple[str, ...], tuple[str, ...]]] = {
    "Excel's line": (f"sep=,\n{TABLE}", ("Excel's line 'sep=,'",), ("remove line 1",)),
    "in capitals, CRLF": (f"SEP=,\r\n{TABLE}", ("Excel's line 'SEP=,'",), ("remove line 1",)),
    "with a mark": ("\ufeffsep=,\n" + TABLE, ("Excel's line 'sep=,'",), ("remove line 1",)),
    "in quotes, with semicolons": (
        f'"sep=;"\n{SEMICOLONS}', ("Excel's line", "semicolons"), ("remove line 1", "with commas")),
    "with semicolons": (f"sep=;\n{SEMICOLONS}", ("Excel's line 'sep=;'", "semicolons"), ("remove line 1", "commas")),
    "with tabs": (f"sep=\t\n{TABS}", ("Excel's line 'sep=\\t'", "tabs"), ("remove line 1", "commas")),
    "with an escaped tab": (f"sep=\\t\n{TABS}", ("Excel's line 'sep=\\t'", "tabs"), ("remove line 1", "commas")),
    "its line saved as a row": (f"sep=,,,\n{TABLE}", ("Excel's line 'sep=,,,'",), ("remove line 1",)),
    "semicolons": (SEMICOLONS, ("semicolons (';')",), ("save the file with commas and decimal points",)),
    "quoted, a comma in a field": (
        '"sample_id";"catalog_content";"price";"size, unit"\n', ("semicolons",), ("with commas",)),
    "unquoted, a comma in a field": ("sample_id;catalog_content;price;size, unit\n", ("semicolons",), ("with commas",)),
    "semicolons, other names": ("id;title;cost\n", ("semicolons",), ("with commas",)),
    "semicolons, other case": ("Sample_ID;Catalog_Content;Price\n", ("semicolons",), ("with commas",)),
    "R's row names": ('"";"sample_id";"catalog_content";"price"\n', ("semicolons",), ("with commas",)),
    "tabs": (TABS, ("tabs",), ("with commas",)),
    "tabs, a comma in a name": ("sample_id\tcatalog_content\tprice\ta,b,c,d\n", ("tabs",), ("with commas",)),
    "bars": (TABLE.replace(",", "|"), ("vertical bars",), ("with commas",)),
    "UTF-16": (TABLE.encode("utf-16"), ("UTF-16",), ("as UTF-8 CSV",)),
    "UTF-16 without a mark": (TABLE.encode("utf-16-le"), ("UTF-16",), ("as UTF-8 CSV",)),
    "UTF-16, big end": (TABLE.encode("utf-16-be"), ("UTF-16",), ("as UTF-8 CSV",)),
    "UTF-32": (TABLE.encode("utf-32"), ("UTF-32",), ("as UTF-8 CSV",)),
    "Excel's Unicode text": (TABS.encode("utf-16"), ("UTF-16", "tabs"), ("as UTF-8 CSV with commas",)),
    "Latin-1 and semicolons": ("sample_id;catalog_content;price;gr\u00f6\u00dfe\n".encode("latin-1"),
                               ("not UTF-8", "semicolons"), ("as UTF-8 CSV with commas",)),
    "old Macintosh": (TABLE.replace("\n", "\r"), ("carriage return alone",), ("line ends LF or CRLF",)),
    "blank lines": (f"\n\r\n{TABLE}", ("it is empty",), ("remove the 2 lines above the header",)),
    "a title": (f"Product list,,\n,,\n{TABLE}", ("'Product list,,'", "line 3"), ("remove the 2 lines",)),
    "a comment": (f"# exported\n{SEMICOLONS}", ("line 2", "semicolons"), ("remove the line above", "with commas")),
    "quoted lines": ('"sample_id,catalog_content,price"\n"1,a,2"\n', ("one pair of quotes",), ("remove the quotes",)),
    "a quote that stays open": ('"sample_id,catalog_content,price\n1,a,2\n', ("not closed",), ("close it",)),
    "blank lines alone": ("\n\n \n", ("nothing but blank lines",), ("expected a header",)),
    "a page": ("<!DOCTYPE html>\n<html>", ("HTML",), ("export it as UTF-8 CSV",)),
    "JSON": ('[{"sample_id": 1}]', ("JSON",), ("export it as UTF-8 CSV",)),
    "a workbook": (b"PK\x03\x04", ("Excel workbook",), ("export it as UTF-8 CSV",)),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1", ("Excel workbook",), ("export it as UTF-8 CSV",)),
    "numbers": (b"\x00\x01\x02\x03abc", ("binary",), ("export it as UTF-8 CSV",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_and_what_to_change_in_one_line(tmp_path: Path, case: str) -> None:
    content, found, advice = REFUSED[case]
    said = problem(tmp_path, content)
    assert said is not None
    assert "\n" not in said
    assert "\t" not in said
    wrong, _, change = said.partition("; ")
    assert all(word in wrong for word in found), said
    assert all(word in change for word in advice), said
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(tmp_path / "train.csv", labelled=True)
    assert str(caught.value) == f"{tmp_path / 'train.csv'}: {said}"


def test_predictions_are_known_by_one_column(tmp_path: Path) -> None:
    assert problem(tmp_path, "sample_id,a\n1,2\n", ("sample_id",)) is None
    assert "semicolons" in (problem(tmp_path, "sample_id;price;a\n1;2;3\n", ("sample_id",)) or "")
    assert "semicolons" in (problem(tmp_path, '"";"sample_id";"a,b"\n', ("sample_id",)) or "")


@given(
    separator=st.sampled_from(",;\t|"),
    others=st.lists(st.text("ab ,;|\t\n\"'é", min_size=1, max_size=6), max_size=3),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_the_separator_is_found_whatever_quoted_names_hold(
    tmp_path_factory: pytest.TempPathFactory, separator: str, others: list[str], mark: str, end: str
) -> None:
    names = [*NAMES, *others]
    quoted = separator.join('"' + name.replace('"', '""') + '"' for name in names)
    said = problem(tmp_path_factory.mktemp("any"), f"{mark}{quoted}{end}{separator.join('1' for _ in names)}{end}")
    assert (said is None) == (separator == ","), said
    if said:
        assert {";": "semicolons", "\t": "tabs", "|": "vertical bars"}[separator] in said
