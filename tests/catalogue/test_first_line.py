"""The first line's bytes: what is read, and what to change where it is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.file_form import FileForm
from pricing.catalogue.first_line import SAMPLE, read_first_lines
from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

NAMES = ("sample_id", "catalog_content", "price")
HEADER = "sample_id,catalog_content,price\n"
TABLE = HEADER + '1,"tea; green, 8 oz | tin",2\n'
SEMICOLONS = HEADER.replace(",", ";") + '1;"tea; green, 8 oz | tin";2\n'
TABS = HEADER.replace(",", "\t") + "1\ttea; green, 8 oz | tin\t2\n"


def first_lines(content: str | bytes, needed: tuple[str, ...] = NAMES) -> tuple[FileForm, str | None]:
    content = content.encode() if isinstance(content, str) else content
    return read_first_lines(content[:SAMPLE], FileForm("CSV"), needed)


def problem(content: str | bytes, needed: tuple[str, ...] = NAMES) -> str | None:
    return first_lines(content, needed)[1]


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
def test_nothing_is_said_of_a_table_that_can_be_read(case: str) -> None:
    assert problem(READ[case]) is None
    assert problem(READ[case], ()) is None


# content, and what is said of it
DETECTED: dict[str, tuple[str | bytes, str]] = {
    "commas": (TABLE, "CSV, separated by commas, UTF-8"),
    "Excel's line": (f"sep=,\n{TABLE}", "CSV, separated by commas, UTF-8"),
    "in capitals, CRLF": (f"SEP=,\r\n{TABLE}", "CSV, separated by commas, UTF-8"),
    "with a mark": ("\ufeffsep=,\n" + TABLE, "CSV, separated by commas, UTF-8"),
    "in quotes, with semicolons": (f'"sep=;"\n{SEMICOLONS}', "CSV, separated by semicolons, UTF-8"),
    "with semicolons": (f"sep=;\n{SEMICOLONS}", "CSV, separated by semicolons, UTF-8"),
    "with tabs": (f"sep=\t\n{TABS}", "CSV, separated by tabs, UTF-8"),
    "with an escaped tab": (f"sep=\\t\n{TABS}", "CSV, separated by tabs, UTF-8"),
    "its line saved as a row": (f"sep=,,,\n{TABLE}", "CSV, separated by commas, UTF-8"),
    "saved again with commas": (f"sep=;,,\n{TABLE}", "CSV, separated by commas, UTF-8"),
    "semicolons": (SEMICOLONS, "CSV, separated by semicolons, UTF-8"),
    "quoted, a comma in a name": (
        '"sample_id";"catalog_content";"price";"size, unit"\n1;"tea; green, 8 oz | tin";2;3\n',
        "CSV, separated by semicolons, UTF-8"),
    "R's row names": ('"";"sample_id";"catalog_content";"price"\n"1";"1";"tea; green, 8 oz | tin";2\n',
                      "CSV, separated by semicolons, UTF-8"),
    "tabs": (TABS, "CSV, separated by tabs, UTF-8"),
    "tabs, a comma in a name": (
        "sample_id\tcatalog_content\tprice\ta,b,c,d\n1\ttea; green, 8 oz | tin\t2\t3\n",
        "CSV, separated by tabs, UTF-8"),
    "bars": ('sample_id|catalog_content|price\n1|"tea; green, 8 oz | tin"|2\n',
             "CSV, separated by vertical bars, UTF-8"),
    "UTF-16": (TABLE.encode("utf-16"), "CSV, separated by commas, UTF-16"),
    "UTF-16 without a mark": (TABLE.encode("utf-16-le"), "CSV, separated by commas, UTF-16"),
    "UTF-16, big end": (TABLE.encode("utf-16-be"), "CSV, separated by commas, UTF-16"),
    "Excel's Unicode text": (TABS.encode("utf-16"), "CSV, separated by tabs, UTF-16"),
}  # fmt: skip


@pytest.mark.parametrize("case", DETECTED)
def test_files_as_spreadsheets_write_them_are_read_alike(tmp_path: Path, case: str) -> None:
    content, said = DETECTED[case]
    form, wrong = first_lines(content)
    assert (str(form), wrong) == (said, None)
    path = tmp_path / "train.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    frame = read_catalogue_file(path, labelled=True).frame
    assert frame.rows() == [("1", "tea; green, 8 oz | tin", None, 2.0)]


def test_a_separator_is_detected_of_names_that_nobody_knows() -> None:
    tables = {"id;title;price\n1;tea, green;2,50\n2;salt, fine;3,10\n": ";", "a,b\n1;2,3;4\n": ",",
              "a\tb\n,\t,\n": "\t",
              "a,b;c\n1,2;3\n1,2;3;4\n5;6,7\n": ",", "title\ntea; green\n": ","}  # fmt: skip
    assert {content: first_lines(content, ())[0].separator for content in tables} == tables


def test_what_is_declared_counts_more_than_what_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("sample_id^catalog_content^price\n1^tea, green^2\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r'carets .* or set catalogue.separator="\^"'):
        read_catalogue_file(path, labelled=True)
    read = read_catalogue_file(path, labelled=True, config=CatalogueConfig(separator="^"))
    assert read.frame["catalog_content"].to_list() == ["tea, green"]
    path.write_bytes("sample_id;catalog_content;price;größe\n1;café 5 €;2;3\n".encode("cp1252"))
    with pytest.raises(CatalogueError, match=r'not UTF-8 .* or set catalogue.encoding="cp1252"'):
        read_catalogue_file(path, labelled=True)
    read = read_catalogue_file(path, labelled=True, config=CatalogueConfig(encoding="cp1252"))
    assert read.frame["catalog_content"].to_list() == ["café 5 €"]
    # the other file of a run may be of another encoding, and says so by its mark
    path.write_text(TABLE, encoding="utf-8-sig")
    assert read_catalogue_file(path, labelled=True, config=CatalogueConfig(encoding="cp1252")).frame.height == 1
    path.write_bytes(TABLE.encode("utf-16-le"))
    assert read_catalogue_file(path, labelled=True, config=CatalogueConfig(encoding="utf-16")).frame.height == 1


def test_a_tab_can_be_declared_in_a_shell() -> None:
    for word in ("tab", "\\t", "\t"):
        assert CatalogueConfig(separator=word).separator == "\t"
    with pytest.raises(ValueError, match="a quote or line end separates no fields"):
        CatalogueConfig(separator='"')


@pytest.mark.parametrize(("encoding", "wrong"), [("utf-16", "\ud800"), ("cp1252", "\udc81"), ("utf-8", "\udcff")])
def test_bytes_that_are_no_text_are_a_bad_row_in_every_encoding(tmp_path: Path, encoding: str, wrong: str) -> None:
    handler = "surrogatepass" if encoding == "utf-16" else "surrogateescape"
    path = tmp_path / "train.csv"
    path.write_bytes(f"{HEADER}1,tea,2\n2,a{wrong},3\n3,salt,4\n".encode(encoding, handler))
    config = CatalogueConfig(encoding=encoding)
    with pytest.raises(CatalogueError, match=rf"1 bad row: row 2 \(line 3\), id '2': it is not {encoding.upper()}"):
        read_catalogue_file(path, labelled=True, config=config)


# content, what is wrong, what to do
REFUSED: dict[str, tuple[str | bytes, tuple[str, ...], tuple[str, ...]]] = {
    "UTF-32": (TABLE.encode("utf-32"), ("UTF-32",), ("as UTF-8 CSV",)),
    "Latin-1 and semicolons": ("sample_id;catalog_content;price;gr\u00f6\u00dfe\n".encode("latin-1"),
                               ("not UTF-8",), ("as UTF-8 CSV", 'catalogue.encoding="cp1252"')),
    "carets": (TABLE.replace(",", "^"), ("carets",), ("with commas", 'catalogue.separator="^"')),
    "old Macintosh": (TABLE.replace("\n", "\r"), ("carriage return alone",), ("line ends LF or CRLF",)),
    "blank lines": (f"\n\r\n{TABLE}", ("it is empty",), ("remove the 2 lines above the header",)),
    "a title": (f"Product list,,\n,,\n{TABLE}", ("'Product list,,'", "line 3"), ("remove the 2 lines",)),
    "a comment": (f"# exported\n{SEMICOLONS}", ("line 2",), ("remove the line above",)),
    "Excel's line alone": ("sep=;\n", ("nothing but Excel's sep= line",), ("expected a header",)),
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
    said = problem(content)
    assert said is not None
    assert "\n" not in said
    assert "\t" not in said
    wrong, _, change = said.partition("; ")
    assert all(word in wrong for word in found), said
    assert all(word in change for word in advice), said
    (tmp_path / "train.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CatalogueError) as caught:
        read_catalogue_file(tmp_path / "train.csv", labelled=True)
    assert str(caught.value) == f"{tmp_path / 'train.csv'}: {said}"


def test_predictions_are_known_by_one_column() -> None:
    assert first_lines("sample_id,a\n1,2\n", ("sample_id",))[0].separator == ","
    assert first_lines("sample_id;price;a\n1;2;3\n", ("sample_id",))[0].separator == ";"
    assert first_lines('"";"sample_id";"a,b"\n', ("sample_id",))[0].separator == ";"


@given(
    separator=st.sampled_from(",;\t|"),
    others=st.lists(st.text("ab ,;|\t\n\"'é", min_size=1, max_size=6), max_size=3),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n"]),
    above=st.booleans(),
)
def test_the_separator_is_found_whatever_quoted_names_hold(
    separator: str, others: list[str], mark: str, end: str, above: bool
) -> None:
    names = [*NAMES, *others]
    quoted = separator.join('"' + name.replace('"', '""') + '"' for name in names)
    line = f"sep={separator}{end}" if above else ""
    form, said = first_lines(f"{mark}{line}{quoted}{end}{separator.join('1' for _ in names)}{end}")
    assert (said, form.separator, form.lines_above) == (None, separator, int(above))


def test_a_title_above_a_table_whose_names_nobody_knows() -> None:
    table = "sku;title;price\n1;tea, green, fine;2,50\n2;salt, fine, grey;3,10\n"
    assert "the header seems to be line 3; remove the 2 lines" in (problem(f"Price list, 2024\n\n{table}", ()) or "")
    assert "line 3" in (problem(f"Price list, 2024\n\n{table}") or ""), "nor those that are needed"
    padded = "Price list,,,\n" + "a,b,c,d\n1,2,3,4\n"
    assert "the header seems to be line 2" in (problem(padded, ()) or "")
    for fine in (table, "title\ntea\n", "a;b\n1,20;2,30\n3,20;4,30\n", "a,b,,\n1,2,3,4\n"):
        assert problem(fine, ()) is None, fine


@pytest.mark.parametrize("needed", [(), ("id", "title", "price")])
def test_a_templates_line_of_what_is_required_is_above_the_header(needed: tuple[str, ...]) -> None:
    above = '"# Required | A unique id","# Required | A title","# Optional | The price"\n'
    said = problem(f"{above}id,title,price\n1,tea,3.50 USD\n", needed)
    assert said is not None
    assert "the header seems to be line 2; remove the line above the header" in said
    assert problem("#id,#title,#price\n1,tea,3.50 USD\n", ()) is None, "a header may begin with the sign"
