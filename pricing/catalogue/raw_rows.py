"""The columns of a catalogue that are read, by their roles, and those that are not."""

import difflib
from pathlib import Path

import pyarrow as pa

from pricing.catalogue.propose import HEAD_ROWS, propose_roles
from pricing.catalogue.propose_toml import undeclared
from pricing.catalogue.raw_batch import RawTable
from pricing.catalogue.raw_table import open_table
from pricing.catalogue.roles import raw_columns
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.errors import CatalogueError

_SHOWN = 20
"""Columns of a file that an error lists."""


def open_catalogue(source: Path | pa.Table, labelled: bool, config: CatalogueConfig) -> tuple[RawTable, dict[str, str]]:
    """Open a catalogue and find the columns to read, without reading more than its beginning.

    Parameters
    ----------
    source : Path or Table
        A file of any kind that `open_table` opens, or a table in memory.
    labelled : bool
        Whether a price is needed.
    config : CatalogueConfig
        Roles of the columns, separator and encoding.

    Returns
    -------
    table : RawTable
    wanted : dict of str to str
        The columns that are there: name by role to name in the file.

    Raises
    ------
    CatalogueError
        A file that is missing, empty, of another type, unreadable, or without a needed column. Where it is to be learnt
        from, has not the challenge's columns and no roles are set, it says which roles its columns seem to have.
    """
    needed = _needed(config.roles, labelled)
    table = open_table(source, config, needed)
    missing = [name for name in needed if name not in table.columns]
    if not labelled and set(missing) < set(needed) - {config.roles.id}:
        # of title and texts one is enough to price a product
        missing = []
    if config.columns is None and labelled and not {CHALLENGE.id, *CHALLENGE.text} <= set(table.columns):
        raise CatalogueError(undeclared(propose_roles(table.head(HEAD_ROWS), config), table.name))
    if missing:
        raise CatalogueError(f"{table.name}: {_missing(missing, table, needed, config.roles)}")
    wanted = {role: name for role, name in raw_columns(config.roles, labelled).items() if name in table.columns}
    twice = [name for name in wanted.values() if table.columns.count(name) > 1]
    if twice:
        raise CatalogueError(f"{table.name}: column {twice[0]} stands more than once in the header; keep one of them")
    return table, wanted


def unused_columns(table: RawTable, roles: ColumnsConfig) -> list[str]:
    """Return the columns of a table that no role names, ``ignore`` among the roles."""
    named = {*roles.named(), *roles.ignore, ""}
    return [name for name in dict.fromkeys(table.columns) if name not in named]


def _needed(roles: ColumnsConfig, labelled: bool) -> list[str]:
    """Columns that a file needs: all that a shop's roles name to learn from; to price, id and one of title and texts.

    The challenge's image_link need not be there.
    """
    if labelled and roles != CHALLENGE:
        return roles.named()
    texts = [roles.title, *roles.text] if roles.title else roles.text
    return [roles.id, *texts, *([roles.price] if labelled else [])]


def _missing(missing: list[str], table: RawTable, needed: list[str], roles: ColumnsConfig) -> str:
    found = ", ".join(table.columns[:_SHOWN]) or "none"
    more = len(table.columns) - _SHOWN
    found += f" and {more} more" if more > 0 else ""
    if roles == CHALLENGE:
        images = ", ".join(roles.image)
        wanted = f"expected {', '.join(needed)} and, if there are images, {images}"
        return f"missing columns {', '.join(missing)}; found {found}; {wanted}"
    names = {name.casefold(): name for name in table.columns}
    nearest = {name: difflib.get_close_matches(name.casefold(), names, 1) for name in missing}
    near = "".join(f"; is {name} called {names[close[0]]}?" for name, close in nearest.items() if close)
    file = table.name if table.form.kind != "table" else "FILE"
    return (
        f"missing columns {', '.join(missing)}, which the roles name (catalogue.columns, --columns); "
        f"found {found}{near}; correct the roles, or give a file that has them; pricing columns {file} proposes roles"
    )
