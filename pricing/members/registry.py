"""The members: one line per base model.

A member's file imports neither this module nor another member, so that its cache key is its own code alone. What needs
all of them asks here.
"""

from functools import cache
from importlib import import_module
from typing import Any

from pydantic import Field, create_model

from pricing.config.base import Section
from pricing.members.contract import Member

MEMBERS = (
    "pricing.members.ridge:Ridge",
    "pricing.members.lightgbm:LightGBM",
    "pricing.members.xgboost:XGBoost",
    "pricing.members.catboost:CatBoost",
    "pricing.members.gaussian_process:GaussianProcessMember",
    "pricing.members.sparse_mlp:SparseMLPMember",
    "pricing.members.column_mlp:ColumnMLPMember",
    "pricing.members.multimodal.member:Multimodal",
)

_WORDS = "Settings of the base models, one section each; ``enabled`` says whether one is trained."


@cache
def member_classes() -> dict[str, type[Member[Any]]]:
    """Return every member's class by its name, in the order of `MEMBERS`."""
    found = {}
    for line in MEMBERS:
        module, _, name = line.partition(":")
        member = getattr(import_module(module), name)
        found[member.name] = member
    return found


def member_class(name: str) -> type[Member[Any]]:
    """Return a member's class by its name; KeyError where there is none."""
    return member_classes()[name]


def member_line(name: str) -> str:
    """Return a member's line of `MEMBERS`, ``module:Class``."""
    return MEMBERS[list(member_classes()).index(name)]


def members_section() -> type[Section]:
    """Build the section ``members`` of the configuration from the members' own settings."""
    fields: dict[str, Any] = {
        name: (member.Settings, Field(member.Settings(), description=(member.Settings.__doc__ or name).strip()))
        for name, member in member_classes().items()
    }
    return create_model("MembersConfig", __base__=Section, __doc__=_WORDS, **fields)
