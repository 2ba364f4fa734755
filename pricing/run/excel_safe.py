"""Cells that a spreadsheet would take for formulas."""

import polars as pl

_FORMULA = r"^([=+\-@\t\r])"
"""Beginnings that Excel, LibreOffice or Google Sheets read as a formula, or skip before one (OWASP, CSV Injection)."""


def excel_safe(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with an apostrophe before every text that a spreadsheet would calculate; numbers stay.

    Ids are escaped too: a program that reads them back must remove the apostrophe.

    Examples
    --------
    >>> excel_safe(pl.DataFrame({"id": ["=1+1", "A-1"], "price": [-1.0, 2.0]})).rows()
    [("'=1+1", -1.0), ('A-1', 2.0)]
    """
    return table.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'${1}"))
