"""A run's model folder: what it holds, written and recognised here.

Layout::

    model.json                  format, folds of the price features and of every member, decimals of prices, currency
    config.json                 the run's configuration
    engineer/                   the feature engineer
    encoders/HASH/              pretrained encoders, once each
    price_features/FOLD/        one fold's features that read prices
    members/NAME/FOLD/          one member's model of one fold; FOLD is fold_0 ... or refit
    ensemble/                   the stack
    trust.json                  the rule of trust
    drift/                      what is known of the training rows
    novelty/                    what is unlike anything learnt, see `pricing.run.novelty`
    widening.json               how intervals of such rows are widened
    background/                 some training rows, which explanations start from
    thumbnails.arrow            thumbnails of the labelled products, where the run had images
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pricing.catalogue.written_numbers import Mark
from pricing.errors import ArtifactError, InputError
from pricing.store.artifacts import read_json, write_json

BACKGROUND = "background"
"""Folder of `pricing.explain.background`."""
_FORMAT = 5
"""4 had nothing of what is unlike anything learnt."""


@dataclass(frozen=True)
class ModelRecord:
    """What model.json says.

    Attributes
    ----------
    price_features : tuple of str
        Folds of the price features, the refit last.
    members : dict of str to tuple of str
        Member to the folds of its models, fold 0 first and the refit last.
    decimals : int
        Decimals that the run rounds its prices to in the files that people read.
    currency : str
        Currency of the prices; "" where none is known.
    marks : dict of str to str
        Column of numbers to the decimal mark that it was read by.
    """

    price_features: tuple[str, ...]
    members: dict[str, tuple[str, ...]]
    decimals: int
    currency: str = ""
    marks: dict[str, Mark] = field(default_factory=dict)


def write_model(
    folder: Path, features: Path, prepared: Mapping[str, Path], price_features: Mapping[str, Path],
    members: Mapping[str, Mapping[str, Path]], ensemble: Path, decimals: int,
    summary: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write the model folder but for its config.json; parameters as in `pricing.run.outputs.write_outputs`.

    ``summary`` is what the catalogue stage says of the files.
    """
    _copy(features / "engineer", folder / "engineer")
    for fold, output in price_features.items():
        _copy(output / "model", folder / "price_features" / fold)
    for name, made in members.items():
        for fold, output in made.items():
            _copy(output / "model", folder / "members" / name / fold)
    # what is frozen lies once, what is trained once per fold; encoders are named by their hash, whoever reads them
    (folder / "encoders").mkdir()
    for output in prepared.values():
        _copy(output / "encoders", folder / "encoders")
    for encoder in (folder / "engineer" / "encoders").glob("*/"):
        _copy(encoder, folder / "encoders" / encoder.name)
        shutil.rmtree(encoder)
    _copy(ensemble / "ensemble", folder / "ensemble")
    record = {
        "format": _FORMAT, "price_features": _ordered(price_features), "decimals": decimals,
        "members": {name: _ordered(made) for name, made in members.items()},
    }  # fmt: skip
    told = {"currency": summary.get("currency"), "marks": summary["train"].get("marks")}
    write_json(folder / "model.json", record | {name: value for name, value in told.items() if value})


def _ordered(folds: Iterable[str]) -> list[str]:
    """Folds by number, the refit last: the order in which predictions are averaged."""
    return sorted(folds, key=lambda fold: (fold == "refit", len(fold), fold))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder that may be missing into another one that may be there; a member's model may hold no file."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)


def find_model(folder: Path) -> Path:
    """Return the model folder of a run's output folder, or the folder itself."""
    return folder / "model" if (folder / "model").is_dir() else folder


def read_model_record(folder: Path) -> ModelRecord:
    """Read model.json.

    Raises
    ------
    InputError
        The folder is no model folder.
    ArtifactError
        It is one of another version.
    """
    path = folder / "model.json"
    try:
        record = read_json(path)
        found = record["format"]
        if found != _FORMAT:
            raise ArtifactError(
                f"{path}: format {found!r}, this version reads {_FORMAT}; train again with `pricing run`, or score "
                "with the version that trained the model"
            )
        members = {str(name): tuple(map(str, folds)) for name, folds in record["members"].items()}
        return ModelRecord(
            tuple(map(str, record["price_features"])), members, int(record["decimals"]), record.get("currency", ""),
            record.get("marks", {}),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: is no model folder ({type(error).__name__}); give a run's --output") from None
