"""Which libraries are installed, by the names that they are imported under.

A module may come from one of several distributions: `xgboost` from xgboost or from xgboost-cpu. What shapes a result is
the module and its version, so that neither keys nor records know the distribution.
"""

from functools import lru_cache
from importlib import metadata

from pricing.errors import ConfigError

__all__ = ["check_one_distribution", "module_version"]


def module_version(module: str) -> str | None:
    """Version of the installed distribution that a top-level module comes from; None where none is known.

    Examples
    --------
    >>> module_version("sklearn") == metadata.version("scikit-learn")
    True
    """
    found = sorted({metadata.version(name) for name in _distributions().get(module, ())})
    return ", ".join(found) or None


@lru_cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def check_one_distribution(full: str, cpu: str) -> None:
    """Refuse two distributions of one module: their files overwrite each other's, and nothing says which ones won.

    Parameters
    ----------
    full, cpu : str
        Names of the distribution for GPUs and of the one without.

    Raises
    ------
    ConfigError
        Both are installed.
    """
    found = []
    for name in (full, cpu):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(found) > 1:
        raise ConfigError(
            f"{' and '.join(found)} are both installed and overwrite each other's files; run `pip uninstall -y {full} "
            f"{cpu}`, then `pip install {cpu}`, or with a GPU `pip install {full}`"
        )
