"""Learn what products cost from their texts and images, and price new ones.

`Pricer` is the one object to begin with. What it needs is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pricing.errors import (
    ArtifactError,
    CatalogueError,
    ConfigError,
    DownloadError,
    InputError,
    PredictionsError,
    PricingError,
    RunError,
    SchemaError,
    TrainingError,
    WeightsError,
)

if TYPE_CHECKING:
    from pricing.configuration import PricingConfig, load_config
    from pricing.pricer import Pricer

__all__ = [
    "ArtifactError", "CatalogueError", "ConfigError", "DownloadError", "InputError", "PredictionsError", "Pricer",
    "PricingConfig", "PricingError", "RunError", "SchemaError", "TrainingError", "WeightsError", "load_config",
]  # fmt: skip

_MODULES = {"Pricer": "pricer", "PricingConfig": "configuration", "load_config": "configuration"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'pricing' has no attribute {name!r}")
    return getattr(import_module(f"pricing.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
