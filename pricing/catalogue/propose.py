"""Roles for the columns of an undescribed table, from their names and first values."""

from dataclasses import dataclass, field, replace

import polars as pl

from pricing.catalogue.column_facts import column_facts
from pricing.catalogue.prices import PriceColumn
from pricing.catalogue.propose_rules import RULES, Found, ProposedColumn
from pricing.catalogue.text_formulas import without_formulas
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import CHALLENGE
from pricing.errors import CatalogueError

HEAD_ROWS = 5000
"""Rows that are looked at."""
_UNREAD = 0.02
"""Share of prices that cannot be read from which on it is said."""


@dataclass
class Proposal:
    """Proposed roles of a table's columns.

    Attributes
    ----------
    columns : list of ProposedColumn
        In the table's order.
    lacking : dict of str to str
        Role that is needed and was not found, to what is to be done.
    """

    columns: list[ProposedColumn] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)

    def of(self, role: str) -> list[ProposedColumn]:
        """Return the columns of a role."""
        return [column for column in self.columns if column.role == role]

    @property
    def is_challenge(self) -> bool:
        """Whether the table has the challenge's columns and no others, so that nothing needs to be declared."""
        names = {column.facts.name for column in self.columns}
        return {CHALLENGE.id, *CHALLENGE.text} <= names <= set(CHALLENGE.named())


def propose_roles(head: pl.DataFrame, config: CatalogueConfig | None = None) -> Proposal:
    """Propose what a table's columns are.

    Parameters
    ----------
    head : DataFrame
        The first rows, some thousand of them, all columns String; "" where a value is missing.
    config : CatalogueConfig, optional
        Decimal mark and currency, where they are declared.
    """
    head = head.with_columns(without_formulas(values)[0] for values in head)
    facts = [column_facts(values) for values in head]
    found = Found({column.name: column for column in facts})
    for rule in RULES:
        rule(found)
    if price := found.price():
        _read_prices(found, head[price.name], config or CatalogueConfig())
    return Proposal([found.roles[column.name] for column in facts], found.lacking)


def _read_prices(found: Found, values: pl.Series, config: CatalogueConfig) -> None:
    """Doubt the price where reading it will be refused: two currencies, no certain decimal mark, many bad rows."""
    said = ""
    try:
        prices = PriceColumn("", config)
        read = prices.read(values, lambda row: f"row {row + 1}")
        prices.check()
        unread = (read["number"].is_null() & ~read["unpriced"]).arg_true()
        if len(unread) > _UNREAD * len(values):
            said = f"{len(unread):,} of the first {len(values):,} values are no prices, such as {values[unread[0]]!r}"
    except CatalogueError as error:
        said = str(error).removeprefix(f": column {config.roles.price}: ")
    if said:
        found.roles[values.name] = replace(found.roles[values.name], unsure=said)
