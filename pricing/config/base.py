"""What every section of the configuration shares: frozen, and unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One frozen section of the tree; an unknown key or an impossible value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
