"""Opening a catalogue, whatever it is written as: CSV, JSON lines, Parquet, Excel, or a table in memory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pricing.catalogue.csv_table import CsvTable
from pricing.catalogue.file_form import FileForm, form_by_name, open_bytes
from pricing.catalogue.first_bytes import content_problem, text_encoding
from pricing.catalogue.first_line import SAMPLE, read_first_lines
from pricing.catalogue.json_table import JsonTable
from pricing.catalogue.parquet_scan import ArrowTable
from pricing.catalogue.raw_batch import RawTable
from pricing.catalogue.workbook import WorkbookTable
from pricing.config.catalogue import CatalogueConfig
from pricing.errors import CatalogueError

__all__ = ["RawTable", "open_table"]


def open_table(source: Path | pa.Table, config: CatalogueConfig | None = None, needed: Sequence[str] = ()) -> RawTable:
    """Open a catalogue file or table, without reading more than its beginning.

    Parameters
    ----------
    source : Path or Table
        A file whose name says its kind, and whether it is compressed; or a table in memory.
    config : CatalogueConfig, optional
        Separator and encoding, where they are set; the columns' roles are not looked at.
    needed : sequence of str
        Column names by which a CSV file's header and a workbook's sheet are known; without any, the separator is the
        one that all lines agree on, and the sheet the first one with a row.

    Raises
    ------
    CatalogueError
        The file is missing, empty, of another kind than its name says, encrypted, damaged, or its first line is no
        header.

    Examples
    --------
    >>> table = open_table(pa.table({"sku": ["007", "008"], "brand": ["Acme", None]}))
    >>> table.columns
    ['sku', 'brand']
    >>> table.head(2).rows()
    [('007', 'Acme'), ('008', '')]
    """
    config = config or CatalogueConfig()
    if not isinstance(source, Path):
        return ArrowTable(source, FileForm("table"))
    form = form_by_name(source)
    with open_bytes(source, form.compression) as stream:
        head = stream.read(SAMPLE)
    if not head:
        raise CatalogueError(f"{source}: the file is empty; expected a header and one product a row")
    if head.startswith(b"PARE"):
        raise CatalogueError(
            f"{source}: the file is encrypted Parquet, for which no key is known; export it unencrypted"
        )
    if (form.kind == "Parquet") != head.startswith(b"PAR1"):
        found = "" if head.startswith(b"PAR1") else "not "
        raise CatalogueError(
            f"{source}: the content is {found}Parquet, but the name ends in {source.suffix}; "
            "rename the file or export it again"
        )
    if form.kind == "Parquet":
        return ArrowTable(source, form)
    if form.kind == "Excel":
        return WorkbookTable(source, form, needed)
    if form.kind == "JSON lines":
        encoding, mark = text_encoding(head, config.encoding)
        if (what := content_problem(head)) or encoding is None or encoding.startswith("utf-32"):
            what = what or ("binary" if encoding is None else "UTF-32 text")
            raise CatalogueError(f"{source}: the content is {what}, not JSON lines; export it as UTF-8 JSON lines")
        return JsonTable(source, replace(form, encoding=encoding, mark=mark))
    form, problem = read_first_lines(head, form, needed, config.separator, config.encoding)
    if problem:
        raise CatalogueError(f"{source}: {problem}")
    return CsvTable(source, form)
