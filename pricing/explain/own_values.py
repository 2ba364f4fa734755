"""What a product itself says under an item: the value of its declared column, or the brand found in its title."""

import polars as pl

from pricing.catalogue.roles import role_name
from pricing.config.columns import ColumnsConfig
from pricing.explain.items import BRAND
from pricing.features.load import FeatureSet
from pricing.features.schema import one_with_role


def own_values(frame: pl.DataFrame, features: FeatureSet, roles: ColumnsConfig) -> dict[str, list[str]]:
    """Return item to its value for each of n products, "" where it has none.

    Parameters
    ----------
    frame : DataFrame
        n rows of the catalogue.
    features : FeatureSet
        Their features.
    roles : ColumnsConfig
        Roles of the catalogue's columns.

    Returns
    -------
    dict of str to list of str
        Categories and amounts as they are written, the latter with their unit where they name none; numbers to ten
        digits.
    """
    found: dict[str, list[str]] = {}
    if (brand := one_with_role(features.schema.columns, "brand")) is not None:
        found[BRAND] = features.tabular[brand].fill_null("").to_list()
    for column in roles.category:
        found[column] = frame[role_name("category", column)].fill_null("").to_list()
    for column, unit in roles.amount.items():
        written = frame[role_name("amount", column)].fill_null("")
        found[column] = [f"{text} {unit}" if text.replace(".", "").isdigit() else text for text in written]
    for column in roles.number:
        numbers = frame[role_name("number", column)]
        found[column] = ["" if number is None else f"{number:.10g}" for number in numbers]
    return found
