"""The settings that a model is asked for prices with: those of its run, but for what says nothing of other products."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing.configuration import PricingConfig
from pricing.errors import ConfigError, InputError
from pricing.store.artifacts import read_json

_OF_THE_RUN: dict[str, Any] = {
    "images.allow_hosts": (), "images.proxy": None, "catalogue.on_bad_rows": "refuse", "submission.intervals": False,
    "submission.excel_safe": False, "resources.cores": None, "catalogue.separator": None, "catalogue.encoding": None,
    "catalogue.decimal_mark": None, "catalogue.date_order": None,
}  # fmt: skip
"""Settings that are not taken from the run, and what they are instead. A model folder may come from anywhere: the hosts
that it allows must not open the user's own network. Another file may be written in another way: its form is detected.
The decimal marks that columns of numbers were read by are in model.json, and hold where a file proves none."""
_ASKED = ("catalogue", "images", "paths", "resources", "submission")
"""Sections that pricing reads; all others shaped the models."""


def read_scoring_config(model: Path, settings: Mapping[str, Any]) -> PricingConfig:
    """Read the configuration of a model folder, for pricing.

    Parameters
    ----------
    model : Path
        Model folder.
    settings : mapping
        Settings for pricing, as `pricing.configuration.load_config` takes them.

    Raises
    ------
    InputError
        The folder holds no configuration.
    ConfigError
        A setting is unknown or impossible, or one that the models were trained with.
    """
    try:
        trained = PricingConfig.model_validate(read_json(model / "config.json"))
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: is no model folder ({type(error).__name__}); give a run's --output") from None
    config = trained.with_settings(_OF_THE_RUN).with_settings(settings)
    fixed = [
        name for name in PricingConfig.model_fields
        if name not in _ASKED and getattr(config, name) != getattr(trained, name)
    ]  # fmt: skip
    if config.catalogue.columns != trained.catalogue.columns:
        fixed.append("catalogue.columns")
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)}: the models were trained with other settings, which pricing cannot change; it takes "
            f"settings of {', '.join(_ASKED)}, and a file's own names of the columns by --columns"
        )
    return config
