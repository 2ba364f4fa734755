"""What every section of the configuration shares: frozen, and unknown keys refused."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One frozen section of the tree; an unknown key or an impossible value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def only(self, *names: str) -> Self:
        """A copy with these settings, and every other one at its default.

        A stage gets only what it reads, so that its cache key does not change with what it does not.
        """
        return type(self)(**{name: getattr(self, name) for name in names})

    def without(self, *names: str) -> Self:
        """A copy with these settings at their defaults."""
        return self.only(*(name for name in type(self).model_fields if name not in names))
