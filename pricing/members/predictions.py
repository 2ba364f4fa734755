"""What a trained member leaves: written, read and averaged here, for every member alike.

An output holds predictions.parquet (``sample_id``, ``role``, ``log_price``), member.json, model/ and, where the member
has them, curves.parquet and importance.parquet. Rows are checked by id and never by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.catalogue.split import LABELLED, UNLABELLED, read_split
from pricing.errors import ArtifactError, SchemaError
from pricing.metrics.interval_levels import INTERVAL_COLUMNS
from pricing.metrics.smape import Floats, smape_of_logs
from pricing.store.artifacts import read_json
from pricing.store.tables import read_table, reading

RESERVED = frozenset({"sample_id", "price", "fold", "stack", *INTERVAL_COLUMNS})
"""Columns of the ensemble's own tables, which no member may be called."""


CURVES = {"round": pl.Int32, "split": pl.String, "metric": pl.String, "value": pl.Float64}
"""Columns of curves.parquet; rounds count from 1."""


def write_predictions(out: Path, roles: Mapping[str, tuple[pl.Series, NDArray[np.floating]]]) -> None:
    """Write predictions.parquet.

    Parameters
    ----------
    roles : mapping of str to (Series, ndarray)
        ``valid``, ``holdout`` or ``test`` to the ids and log prices, each of shape (n,).
    """
    schema = {"sample_id": pl.String, "role": pl.String, "log_price": pl.Float64}
    tables = [
        pl.DataFrame({"sample_id": ids, "role": [role] * len(ids), "log_price": values}, schema=schema)
        for role, (ids, values) in roles.items()
    ]
    pl.concat(tables).write_parquet(out / "predictions.parquet")


def write_curves(out: Path, curves: Sequence[Mapping[str, Any]] | pl.DataFrame) -> None:
    """Write curves.parquet (``round``, ``split``, ``metric``, ``value``), if there are any."""
    table = curves if isinstance(curves, pl.DataFrame) else pl.DataFrame(curves, schema=CURVES)
    if table.height:
        table.cast(CURVES).write_parquet(out / "curves.parquet")  # type: ignore[arg-type]


def average_models(folds: Sequence[Floats], refit: Floats | None = None) -> Floats:
    """Return the mean of the fold models, averaged with the refit where there is one.

    The order of the additions is part of the result: prices of a run and of `pricing score` are equal to the last bit.

    Parameters
    ----------
    folds : sequence of ndarray of shape (n,)
        Log prices by each fold's model, fold 0 first.
    refit : ndarray of shape (n,), optional
        Log prices by the model of all labelled rows.
    """
    mean = np.zeros(len(folds[0]))
    for log_price in folds:
        mean += log_price / len(folds)
    return mean if refit is None else (mean + refit) / 2


@dataclass(frozen=True)
class LabelledRows:
    """One part of the labelled rows, in the catalogue's order."""

    ids: pl.Series
    price: Floats
    folds: NDArray[np.int64]
    groups: pl.Series


@dataclass(frozen=True)
class MemberPredictions:
    """One base model's log prices.

    Attributes
    ----------
    oof : ndarray of shape (n_train,)
        Each row by the model that did not see its fold.
    holdout : ndarray of shape (n_holdout,)
        Mean over the fold models.
    test : ndarray of shape (n_test,)
        Mean over the fold models, averaged with the refit where there is one.
    """

    oof: Floats
    holdout: Floats
    test: Floats


def read_labelled(catalogue: Path, folds: Path) -> dict[str, LabelledRows]:
    """The parts ``train`` and ``holdout`` of the labelled rows.

    Raises
    ------
    ArtifactError
        A table is missing, or catalogue and folds do not hold the same rows in the same order.
    """
    prices = read_table(catalogue / LABELLED, ["sample_id", "price"])
    rows = read_split(folds, prices["sample_id"]).with_columns(prices["price"])
    found = {}
    for name in ("train", "holdout"):
        chosen = rows.filter(pl.col("part") == name)
        found[name] = LabelledRows(
            chosen["sample_id"],
            chosen["price"].cast(pl.Float64).to_numpy(),
            chosen["fold"].cast(pl.Int64).to_numpy(),
            chosen["group"],
        )
    return found


def read_test_ids(catalogue: Path) -> pl.Series:
    """Return the ids of the unlabelled rows, in the catalogue's order."""
    return read_table(catalogue / UNLABELLED, ["sample_id"])["sample_id"]


def read_member(
    name: str,
    fold_outputs: list[Path],
    refit: Path | None,
    train: LabelledRows,
    holdout_ids: pl.Series,
    test_ids: pl.Series,
) -> MemberPredictions:
    """Assemble one member from its fold outputs.

    Raises
    ------
    ArtifactError
        A fold is missing, an output is of another member or fold, or its rows are not the expected ones.
    SchemaError
        The member's name is one of the ensemble's own columns.
    """
    if name in RESERVED:
        raise SchemaError(f"a member cannot be called {name!r}, which is a column of the ensemble's tables; rename it")
    labels = sorted(int(fold) for fold in np.unique(train.folds))
    if len(fold_outputs) != len(labels):
        raise ArtifactError(f"member {name}: got {len(fold_outputs)} fold outputs for the folds {labels}")
    oof = np.full(len(train.price), np.nan)
    holdout, test = [], []
    for fold, folder in zip(labels, fold_outputs, strict=True):
        table = _read_predictions(folder, name, fold)
        rows = train.folds == fold
        oof[rows] = _role(table, "valid", train.ids.filter(pl.Series(rows)), folder)
        holdout.append(_role(table, "holdout", holdout_ids, folder))
        test.append(_role(table, "test", test_ids, folder))
    refitted = None if refit is None else _role(_read_predictions(refit, name, None), "test", test_ids, refit)
    return MemberPredictions(oof, average_models(holdout), average_models(test, refitted))


def oof_smapes(catalogue: Path, folds: Path, members: dict[str, list[Path]]) -> dict[str, Any]:
    """What base models reach before any stack: ``models.NAME.oof_smape``, and ``mean.oof_smape`` of their log prices.

    Parameters
    ----------
    catalogue, folds : Path
        Outputs of those stages.
    members : mapping of str to list of Path
        Each member's fold outputs, in the order of the folds.

    Returns
    -------
    dict
        The part of metrics.json that needs no ensemble; SMAPE in percent. The hold-out is not looked at.

    Raises
    ------
    ArtifactError
        As `read_member`.
    """
    parts = read_labelled(catalogue, folds)
    train, holdout = parts["train"], parts["holdout"]
    test_ids = read_test_ids(catalogue)
    log_price = np.log(train.price)
    oof = {
        name: read_member(name, outputs, None, train, holdout.ids, test_ids).oof for name, outputs in members.items()
    }
    return {
        "rows": len(log_price),
        "models": {name: {"oof_smape": smape_of_logs(values, log_price)} for name, values in oof.items()},
        "mean": {"oof_smape": smape_of_logs(np.mean(list(oof.values()), axis=0), log_price)},
    }


def _read_predictions(folder: Path, name: str, fold: int | None) -> pl.DataFrame:
    path = folder / "member.json"
    with reading(path, "a trained member"):
        record = read_json(path)
        found = (record["member"], record["fold"])
    if found != (name, fold):
        raise ArtifactError(f"{path}: is member {found[0]} fold {found[1]}, expected member {name} fold {fold}")
    return read_table(folder / "predictions.parquet", ["sample_id", "role", "log_price"])


def _role(table: pl.DataFrame, role: str, ids: pl.Series, folder: Path) -> Floats:
    """Log prices of one role in the order of the ids given."""
    chosen = table.filter(pl.col("role") == role)
    found = chosen["sample_id"]
    wanted = pl.DataFrame({"sample_id": ids})
    joined = wanted.join(chosen, on="sample_id", how="left", maintain_order="left")
    if len(chosen) != len(ids) or found.n_unique() != len(found) or joined["log_price"].null_count():
        missing = joined.filter(pl.col("log_price").is_null())["sample_id"]
        example = f"; {missing[0]} is missing" if len(missing) else ""
        raise ArtifactError(
            f"{folder / 'predictions.parquet'}: role {role} has {len(chosen)} rows of {found.n_unique()} ids, "
            f"expected {len(ids)}{example}; train the member again"
        )
    values = joined["log_price"].cast(pl.Float64).to_numpy()
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ArtifactError(
            f"{folder / 'predictions.parquet'}: log price {values[bad[0]]} of {ids[int(bad[0])]} is not finite; "
            "training diverged, lower the learning rate"
        )
    return values
