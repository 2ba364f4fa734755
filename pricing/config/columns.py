"""What each column of a catalogue is: the section ``catalogue.columns``."""

from typing import Self

from pydantic import Field, model_validator

from pricing.config.base import Section


class ColumnsConfig(Section):
    """Roles of a catalogue's columns. A column that is not named is not used."""

    id: str = Field(min_length=1)
    """Column of the product's id."""
    price: str = Field("price", min_length=1)
    """Column of the price. Files to price need none."""
    title: str | None = None
    """Column of the product's name. None takes the title from the first text, by its `Item Name:` line or first
    line."""
    text: tuple[str, ...] = ()
    """Columns of texts: descriptions, bullet points."""
    category: tuple[str, ...] = ()
    """Columns of categories, such as brand or colour. A path such as `A > B > C` or `A/B/C` is split into its
    levels."""
    number: tuple[str, ...] = ()
    """Columns of numbers, such as a rating."""
    amount: dict[str, str] = Field(default_factory=dict)
    """Columns of numbers that scale the price, each with its unit, such as kg. A value that names a unit of its own
    keeps it."""
    image: tuple[str, ...] = ()
    """Columns of image links. A field may hold several links; the first that can be had counts."""
    group: str | None = None
    """Column whose equal values stay on one side of every split. None groups near-duplicates only."""
    time: str | None = None
    """Column of a date or time. The hold-out is then the latest part. None chooses it by a hash."""
    ignore: tuple[str, ...] = ()
    """Columns that are not used and not listed as unused."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if not self.title and not self.text:
            raise ValueError("neither title nor text names a column; name at least one of them")
        roles = self.roles()
        for kind in ("id", "price"):
            name = getattr(self, kind)
            others = [role for role, names in roles.items() if name in names and role != kind]
            if others:
                raise ValueError(f"column {name!r} is the {kind} and {others[0]} too; give it one role")
        for role, names in roles.items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"column {twice[0]!r} stands twice in {role}; name it once")
        return self

    def roles(self) -> dict[str, list[str]]:
        """Return the columns of each role, without ``ignore``."""
        single = {role: [name] for role in ("id", "price", "title", "group", "time") if (name := getattr(self, role))}
        return single | {role: list(getattr(self, role)) for role in ("text", "category", "number", "amount", "image")}

    def named(self) -> list[str]:
        """Return the names of all columns that are read, each once."""
        return list(dict.fromkeys(name for names in self.roles().values() for name in names))


CHALLENGE = ColumnsConfig(id="sample_id", price="price", text=("catalog_content",), image=("image_link",))
"""The columns of the Amazon ML Challenge 2025, for catalogues without roles of their own."""
