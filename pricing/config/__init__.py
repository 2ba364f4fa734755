"""The typed configuration tree: everything that the plan calls a hyperparameter or a path.

Frozen, unknown keys refused, one description per field. A preset is a TOML file in ``pricing/presets`` that a user can
copy and edit. `load_config` alone resolves presets: what runs and records hold is the whole tree.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pricing.config.base import Section
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig, ImagesConfig
from pricing.config.ensemble import EnsembleConfig, ReportConfig, SubmissionConfig
from pricing.config.features import FeaturesConfig, PriceFeaturesConfig, TfidfConfig
from pricing.config.gbdt import CatBoostConfig, GBDTConfig, LightGBMConfig, SearchConfig, XGBoostConfig
from pricing.config.neural import NeuralConfig, SparseMLPConfig
from pricing.errors import ConfigError

__all__ = [
    "CatBoostConfig", "CatalogueConfig", "EnsembleConfig", "FeaturesConfig", "FoldsConfig", "GBDTConfig",
    "HoldoutConfig", "ImagesConfig", "LightGBMConfig", "NeuralConfig", "PathsConfig", "PriceFeaturesConfig",
    "PricingConfig", "ReportConfig", "ResourcesConfig", "SearchConfig", "Section", "SparseMLPConfig",
    "SubmissionConfig", "TfidfConfig", "XGBoostConfig", "load_config", "parse_settings",
    "preset_names",
]  # fmt: skip


class PathsConfig(Section):
    """Where things lie; relative paths are relative to the working directory."""

    data: Path = Path("data")
    """Inputs."""
    artifacts: Path = Path("artifacts")
    """Everything the program makes: the store and the work in progress."""

    @property
    def store(self) -> Path:
        """Finished stage outputs, models among them, each in a folder named by its key."""
        return self.artifacts / "store"

    @property
    def models(self) -> Path:
        """The trained models, which are stage outputs like any other."""
        return self.store

    @property
    def work(self) -> Path:
        """Resumable work in progress: picture manifest and pictures, Optuna studies, checkpoints."""
        return self.artifacts / "work"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the networks."""
        return self.work / "checkpoints"

    @property
    def records(self) -> Path:
        """Prefect's own records of task results: small JSON references into the store."""
        return self.artifacts / "records"

    @property
    def logs(self) -> Path:
        """Log files of the runs."""
        return self.artifacts / "logs"


class ResourcesConfig(Section):
    """How the machine is shared. Thread counts are in no cache key, and fixed a task."""

    cores: int | None = Field(None, ge=1)
    """Number of cores that the run may use; None takes what the machine has, at most 64. With 1 the GBDT branch and the
    neural branch take turns in one process."""
    gbdt_share: float = Field(0.5, gt=0, lt=1)
    """Share of the cores that the GBDT branch gets while the neural branch runs."""
    encoder_folds_beside: int = Field(0, ge=0)
    """Folds of the encoder network that are trained on the GBDT branch's cores once it is done with them. With a GPU,
    which all folds would share, leave it at 0."""

    def available(self) -> int:
        """Cores to use: those asked for, else those that this process may run on, at most 64."""
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.cores or min(here, 64)


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
    """Pictures."""
    features: FeaturesConfig = FeaturesConfig()
    """Features."""
    gbdt: GBDTConfig = GBDTConfig()
    """GBDT branch."""
    neural: NeuralConfig = NeuralConfig()
    """Neural branch."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Stack and calibration."""
    report: ReportConfig = ReportConfig()
    """Report."""
    submission: SubmissionConfig = SubmissionConfig()
    """Submission."""

    @model_validator(mode="after")
    def _folds_for_the_search(self) -> Self:
        asked, there = self.gbdt.search.n_splits, self.folds.n_splits
        if self.gbdt.search.enabled and asked > there:
            raise ValueError(f"gbdt.search.n_splits is {asked}, and folds.n_splits only {there}; make it at most that")
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
        Settings laid over the preset's: a mapping as `_expanded` takes it, or texts as `parse_settings` takes them.

    Returns
    -------
    PricingConfig
        The resolved tree; ``preset`` is its label.

    Raises
    ------
    ConfigError
        An unknown preset or key, a wrong type, an impossible value; names the key's full path.
    """
    below = _read_preset(preset)  # its own error, before those of single settings
    above = _expanded(overrides) if isinstance(overrides, Mapping) else parse_settings(overrides)
    for source, tree in ((f"preset {preset}", below), ("settings", above)):
        if "preset" in tree:
            raise ConfigError(
                f"{source}: preset is set to {tree['preset']!r}; a preset is chosen by --preset or the parameter "
                "preset alone, remove the key"
            )
    try:
        return PricingConfig.model_validate({"preset": preset, **_merge(below, above)})
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
        _lay_over(tree, key.strip(), value)
    return tree


def describe_validation_error(error: ValidationError) -> str:
    """One line per problem: the key's full path, what was found, what is wrong with it."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key{_nearest(problem['loc'])}")
        elif not key:  # of several keys, which the message names; what was found is the whole tree
            lines.append(problem["msg"].removeprefix("Value error, "))
        else:
            lines.append(f"{key}: {problem['msg']} (found {problem['input']!r})")
    return "configuration refused: " + "; ".join(lines)


def _nearest(location: tuple[int | str, ...]) -> str:
    """The known keys beside an unknown one, the likeliest first."""
    section: Any = PricingConfig
    for name in location[:-1]:
        section = section.model_fields[str(name)].annotation
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
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: is not valid TOML ({error})") from None


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _expanded(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys, dotted keys (``{"folds.n_splits": 3}``) or both, as a nested tree; later ones over earlier ones."""
    tree: dict[str, Any] = {}
    for key, value in overrides.items():
        _lay_over(tree, str(key), _expanded(value) if isinstance(value, Mapping) else value)
    return tree


def _lay_over(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key; a section is laid over the section that is there."""
    *parents, leaf = key.split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"setting {key!r}: {parent} is a value, not a section")
        tree = child
    under = tree.get(leaf)
    tree[leaf] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
