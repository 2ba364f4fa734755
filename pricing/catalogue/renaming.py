"""A file to price whose columns have other names than those that the model learned from."""

from pricing.catalogue.roles import role_name
from pricing.config.columns import ColumnsConfig
from pricing.errors import ConfigError

_RENAMED = ("title", "text", "category", "number", "amount", "image")
"""Roles beside the id whose columns a model reads, each of which is renamed place by place."""


def check_renaming(names: ColumnsConfig, model: ColumnsConfig) -> None:
    """Refuse roles of a file that are not those of a model under other names.

    Parameters
    ----------
    names : ColumnsConfig
        Roles as the file calls its columns. Price, group, time and ignore are not asked.
    model : ColumnsConfig
        Roles that the model was trained with.

    Raises
    ------
    ConfigError
        A role has another number of columns, or an amount another unit.
    """
    for role in _RENAMED:
        found, expected = names.roles().get(role, []), model.roles().get(role, [])
        if len(found) != len(expected):
            raise ConfigError(
                f"columns: {role} names {', '.join(found) or 'no column'}, and the model was trained with "
                f"{', '.join(expected) or 'none'}; name one column for each of these, in their order"
            )
    for (own, unit), (column, there) in zip(names.amount.items(), model.amount.items(), strict=True):
        if unit.casefold() != there.casefold():
            raise ConfigError(
                f"columns: amount {own!r} is in {unit}, and the model's {column!r} in {there}; give it in {there}"
            )


def model_names(names: ColumnsConfig, model: ColumnsConfig) -> dict[str, str]:
    """Return the columns of a read catalogue under a file's names to those under the model's; see `check_renaming`."""
    return {
        role_name(role, own): role_name(role, expected)
        for role in ("category", "number", "amount")
        for own, expected in zip(names.roles()[role], model.roles()[role], strict=True)
    }
