"""The whole configuration tree, and the presets.

Frozen, unknown keys refused, one description per field. A preset is a TOML file in ``pricing/presets`` that a user can
copy and edit. `load_config` alone resolves presets: what runs and records hold is the whole tree. It stands above the
members, whose files declare their own sections; everything below reads single sections of `pricing.config`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import Field, ValidationError, model_validator

from pricing.config.base import Section
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig, ImagesConfig
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.config.ensemble import EnsembleConfig, ReportConfig, SubmissionConfig
from pricing.config.features import FeaturesConfig
from pricing.config.hiding import without_secrets
from pricing.config.paths import PathsConfig
from pricing.config.resources import ResourcesConfig
from pricing.config.tuning import TuningConfig
from pricing.errors import ConfigError
from pricing.members.contract import MemberSettings
from pricing.members.registry import member_class, member_classes, members_section

# the registry makes it of the members' own settings
if TYPE_CHECKING:
    MembersConfig = Any
else:
    MembersConfig = members_section()


class PricingConfig(Section):
    """The whole tree: a value for every setting. `load_config` lays settings over a preset."""

    preset: str | None = None
    """Name of the preset that the tree was made from. It changes nothing; None for a tree without one."""
    seed: int = Field(0, ge=0, lt=2**31)
    """The one seed."""
    paths: PathsConfig = PathsConfig()
    """Where things lie."""
    resources: ResourcesConfig = ResourcesConfig()
    """Cores."""
    catalogue: CatalogueConfig = CatalogueConfig()
    """Reading the catalogue."""
    holdout: HoldoutConfig = HoldoutConfig()
    """Hold-out part."""
    folds: FoldsConfig = FoldsConfig()
    """Folds."""
    images: ImagesConfig = ImagesConfig()
    """Images."""
    features: FeaturesConfig = FeaturesConfig()
    """Features."""
    members: MembersConfig = MembersConfig()
    """Base models."""
    tuning: TuningConfig = TuningConfig()
    """Search for the settings of base models."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Stack and calibration."""
    report: ReportConfig = ReportConfig()
    """Report."""
    submission: SubmissionConfig = SubmissionConfig()
    """Submission."""

    def enabled_members(self) -> dict[str, MemberSettings]:
        """Return the settings of the members that are trained, by name, in the registry's order."""
        without_roles = self.catalogue.roles == CHALLENGE
        return {
            name: settings
            for name, settings in dict(self.members).items()
            if settings.enabled and not (without_roles and member_class(name).needs_roles)
        }

    def allow_host(self, host: str) -> Self:
        """Return the tree with one more host that images may be fetched from."""
        images = self.images.model_copy(update={"allow_hosts": (*self.images.allow_hosts, host)})
        return self.model_copy(update={"images": images})

    def with_settings(self, settings: Mapping[str, Any]) -> "PricingConfig":
        """Return the tree with settings laid over it; takes and raises what `load_config` does."""
        return _validated(_merge(self.model_dump(), _merge({}, settings)))

    @model_validator(mode="after")
    def _folds_for_the_search(self) -> Self:
        asked, there = self.tuning.n_splits, self.folds.n_splits
        if self.tuning.enabled and asked > there:
            raise ValueError(f"tuning.n_splits is {asked}, and folds.n_splits only {there}; make it at most that")
        return self


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("pricing") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(preset: str = "demo", overrides: Mapping[str, Any] | Iterable[str] = ()) -> PricingConfig:
    """Read a preset and lay settings over it.

    Parameters
    ----------
    preset : str
        Name of a preset, or the path of a TOML file in the same form.
    overrides : mapping or iterable of str
        Settings laid over the preset's: a mapping as `_merge` takes it, or texts as `parse_settings` takes them.

    Returns
    -------
    PricingConfig
        The resolved tree; ``preset`` is its label.

    Raises
    ------
    ConfigError
        An unknown preset or key, a wrong type, an impossible value; names the key's full path.
    """
    # its own error, before those of single settings
    below = _read_preset(preset)
    above = _merge({}, overrides) if isinstance(overrides, Mapping) else parse_settings(overrides)
    for source, tree in ((f"preset {preset}", below), ("settings", above)):
        if "preset" in tree:
            raise ConfigError(
                f"{source}: preset is set to {tree['preset']!r}; a preset is chosen by --preset or the parameter "
                "preset alone, remove the key"
            )
    return _validated({"preset": preset, **_merge(below, above)})


def read_columns(source: ColumnsConfig | Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Read the roles of a catalogue's columns; returns every role, as `load_config` takes ``catalogue.columns``.

    Parameters
    ----------
    source : ColumnsConfig, mapping, str or Path
        Roles, or a TOML file of them: the keys of `ColumnsConfig`, by themselves or below ``[catalogue.columns]``.

    Raises
    ------
    ConfigError
        The file cannot be read, a role is unknown, or the roles contradict one another.
    """
    if isinstance(source, ColumnsConfig):
        return source.model_dump()
    named = not isinstance(source, Mapping)
    tree = _read_toml(Path(source)) if isinstance(source, str | Path) else source
    if isinstance(tree.get("catalogue"), Mapping) and set(tree) == {"catalogue"}:
        tree = tree["catalogue"].get("columns", {})
    try:
        return _validated({"catalogue": {"columns": tree}}).catalogue.roles.model_dump()
    except ConfigError as error:
        found = str(error).removeprefix("configuration refused: ").replace("catalogue.columns.", "")
        raise ConfigError(f"{source if named else 'columns'}: {found}") from None


def _validated(tree: Mapping[str, Any]) -> PricingConfig:
    try:
        return PricingConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(describe_validation_error(error)) from None


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the tree of settings written ``key.path=value``, later ones over earlier ones.

    Parameters
    ----------
    settings : iterable of str
        The value is read as TOML, and taken as text where it is none; none and null are None.

    Raises
    ------
    ConfigError
        There is no ``=``, or a key goes on below a value.
    """
    tree: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"setting {setting!r}: expected key.path=value")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = None if text in ("none", "None", "null") else text
        tree = _merge(tree, {key.strip(): value})
    return tree


def describe_validation_error(error: ValidationError) -> str:
    """One line per problem: the key's full path, what was found, what is wrong with it."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(_moved(key, problem["input"]) or f"{key}: unknown key{_nearest(problem['loc'])}")
        elif problem["type"] == "missing":  # of catalogue.columns.id, the one key without a default
            lines.append(f'{key}: no column is named; write id = "NAME", the column with another value in each row')
        elif not key:  # of several keys, which the message names; what was found is the whole tree
            lines.append(problem["msg"].removeprefix("Value error, "))
        else:
            # of a section, whose keys the message names, the values say nothing more
            found = (
                "" if isinstance(problem["input"], Mapping) else f" (found {without_secrets(repr(problem['input']))})"
            )
            lines.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}{found}")
    return "configuration refused: " + "; ".join(lines)


_MOVED = {
    "gbdt.search": "tuning", "gbdt.members": "members.NAME.enabled", "neural.members": "members.NAME.enabled",
    "gbdt.device": "members.NAME.device", "gbdt.seeds": "members.NAME.seeds",
    "gbdt.min_category_rows": "members.NAME.min_category_rows", "resources.gbdt_share": "resources.trees_share",
}  # fmt: skip
"""Keys of earlier versions, and what took their place; members name their own."""


def _moved(key: str, value: Any) -> str:
    """Say where keys of earlier versions went; "" where this one is none of them."""
    places = _MOVED | {
        old: f"members.{name}{below and '.' + below}"
        for name, member in member_classes().items()
        for old, below in member.moved.items()
    }
    lines = []
    for leaf in _leaves(key, value):
        found = [old for old in places if f"{leaf}.".startswith(f"{old}.")]
        if found:
            old = max(found, key=len)
            lines.append(f"{leaf} is now {places[old]}{leaf.removeprefix(old)}")
    return "; ".join(lines)


def _leaves(key: str, value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [key]
    return [leaf for name, below in value.items() for leaf in _leaves(f"{key}.{name}", below)]


def _nearest(location: tuple[int | str, ...]) -> str:
    """The known keys beside an unknown one, the likeliest first."""
    section: Any = PricingConfig
    for name in location[:-1]:
        asked = section.model_fields[str(name)].annotation
        # a section that may be missing is "Section | None"
        section = next(kind for kind in (*get_args(asked), asked) if kind is not type(None))
    known = list(section.model_fields)
    likely = get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {likely[0]}?" if likely else f"; there are {', '.join(known)}"


def _read_preset(preset: str) -> dict[str, Any]:
    if preset.endswith(".toml"):
        source = Path(preset)
    else:
        if preset not in preset_names():
            raise ConfigError(f"no preset {preset!r}; there are {', '.join(preset_names())}, or give a .toml file")
        source = Path(str(resources.files("pricing") / "presets" / f"{preset}.toml"))
    return _read_toml(source)


def _read_toml(source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: is not valid TOML ({error})") from None


_NAMES = ("catalogue", "columns", "amount")
"""Section whose keys are a catalogue's columns, which may hold dots."""


def _merge(below: Mapping[str, Any], above: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[str, Any]:
    """Lay settings over a tree, section by section; keys are nested, dotted (``{"folds.n_splits": 3}``) or both.

    ``at`` is where the tree stands in the whole one. A column's name is never split.
    """
    merged = dict(below)
    for key, value in above.items():
        name, _, rest = (str(key), "", "") if at == _NAMES else str(key).partition(".")
        under = merged.get(name)
        if rest:
            if not isinstance(under, Mapping | None):
                raise ConfigError(f"setting {key!r}: {name} is a value, not a section")
            value = {rest: value}
        section = isinstance(value, Mapping)
        merged[name] = _merge(under if isinstance(under, Mapping) else {}, value, (*at, name)) if section else value
    return merged
