"""Whether a catalogue's prices are still those that a model would give: what `flows.scoring_flows` asks every night.

A priced file is remembered beside it, in ``prices_priced.json``: by the content of the catalogue and of the model, by
the settings, and by its own content.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing.run.beside_prices import beside
from pricing.run.model_folder import find_model
from pricing.store.artifacts import file_digest, key_of, read_json, write_json


def prices_key(model: Path, catalogue: Path, settings: Mapping[str, Any]) -> str:
    """Return what prices are made of, as 32 hexadecimal digits.

    Parameters
    ----------
    model : Path
        A run's output folder or a model folder; its files count by content.
    catalogue : Path
        File of products; counts by content.
    settings : mapping
        All else that prices depend on, as JSON.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    folder = find_model(model)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    models = {name: file_digest(path) for name, path in files.items()}
    return key_of({"catalogue": file_digest(catalogue), "model": models, "settings": dict(settings)})


def is_priced(output: Path, key: str) -> bool:
    """Whether a file of prices is there, whole and made of what the key says."""
    try:
        known = read_json(beside(output, "priced"))
        return bool(known == {"key": key, "prices": file_digest(output)})
    except (OSError, ValueError):
        return False


def remember_prices(output: Path, key: str) -> None:
    """Note what a file of prices was made of."""
    write_json(beside(output, "priced"), {"key": key, "prices": file_digest(output)})
