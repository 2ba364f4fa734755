"""The GBDT stage: one fold of one library, the search of one library, and pricing new rows.

Each function reads finished stage outputs and writes into an existing empty folder; the caller makes that atomic.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.config.base import Section
from pricing.config.gbdt import GBDTConfig
from pricing.errors import ArtifactError, ConfigError, SchemaError, TrainingError
from pricing.features.load import FeatureSet, load_features, load_price_features, read_table
from pricing.gbdt.matrix import ID, FeatureSchema, Matrix
from pricing.gbdt.model import LIBRARIES, GBDTModel, TrainedModel
from pricing.gbdt.objectives import smape_of_logs
from pricing.gbdt.training import train_member

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Labelled rows in catalogue order.

    Attributes
    ----------
    ids : polars.Series, shape (n,)
        sample_id.
    log_price : ndarray, shape (n,)
        Natural log of the price.
    part : ndarray of str, shape (n,)
        "train" or "holdout".
    fold : ndarray of int, shape (n,)
        Fold of a training row, -1 in the hold-out.
    """

    ids: pl.Series
    log_price: NDArray[np.float64]
    part: NDArray[Any]
    fold: NDArray[np.int64]

    def learning(self, fold: int | None) -> NDArray[np.bool_]:
        """Rows that a fold learns from; all of them for the refit (None). Raises TrainingError on an unknown fold."""
        if fold is None:
            return np.ones(len(self.ids), dtype=bool)
        if not (self.fold == fold).any():
            known = sorted(set(self.fold[self.part == "train"].tolist()))
            raise TrainingError(f"fold {fold} has no validation rows; the folds are {known}")
        return (self.part == "train") & (self.fold != fold)


def load_rows(catalogue: Path, folds: Path) -> Rows:
    """Join prices and folds by id.

    Raises
    ------
    ArtifactError
        A table is missing, or the two do not hold the same ids in the same order.
    """
    labelled = read_table(catalogue / "train.parquet").select(ID, "price")
    assigned = read_table(folds / "folds.parquet")
    if not labelled[ID].equals(assigned[ID]):
        raise ArtifactError(
            f"{folds}: {assigned.height} rows that are not the catalogue's {labelled.height} in its order; "
            "assign the folds of this catalogue again"
        )
    return Rows(
        labelled[ID],
        np.log(labelled["price"].to_numpy()),
        assigned["part"].to_numpy(),
        assigned["fold"].cast(pl.Int64).to_numpy(),
    )


def assemble(features: FeatureSet, price_features: pl.DataFrame) -> pl.DataFrame:
    """Tabular and price columns side by side, the table that the trees read.

    Parameters
    ----------
    features : FeatureSet
        n rows.
    price_features : polars.DataFrame, n rows
        ``price_*`` columns; where it has a sample_id, it must be that of ``features``, row by row.

    Raises
    ------
    SchemaError
        The rows differ, or a column stands in both.
    """
    if ID in price_features.columns:
        if not price_features[ID].equals(features.ids):
            raise SchemaError(
                "price features and features hold other sample_ids, or another order; build both from the same rows"
            )
        price_features = price_features.drop(ID)
    if price_features.height != len(features):
        raise SchemaError(f"{price_features.height} rows of price features for {len(features)} rows of features")
    twice = sorted(set(features.tabular.columns) & set(price_features.columns))
    if twice:
        raise SchemaError(f"columns {twice[:5]} stand in both the features and the price features; rename one")
    return features.tabular.hstack(price_features.get_columns())


def load_tables(features: Path, price_features: Path, part: str) -> tuple[pl.Series, pl.DataFrame]:
    """Ids and :func:`assemble` of one part ("train" or "test") of the two stages' outputs."""
    loaded = load_features(features, part)
    return loaded.ids, assemble(loaded, load_price_features(price_features, part, loaded.ids))


def _labelled_table(rows: Rows, features: Path, price_features: Path) -> pl.DataFrame:
    ids, table = load_tables(features, price_features, "train")
    if not ids.equals(rows.ids):
        raise ArtifactError(f"{features}: its rows are not the catalogue's; build the features of this catalogue again")
    return table


def train_fold(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    config: GBDTConfig,
    member: str,
    fold: int | None,
    seed: int,
    out: Path,
    *,
    threads: int = 1,
    rounds: int | None = None,
    params: Path | None = None,
) -> None:
    """Train one library on one fold and predict the rest.

    Parameters
    ----------
    catalogue, folds, features, price_features : Path
        Outputs of those stages; the price features are this fold's.
    config : GBDTConfig
        Settings.
    member : {"lightgbm", "xgboost", "catboost"}
        Which library.
    fold : int or None
        Validation fold; None refits on all labelled rows and needs ``rounds``.
    seed : int
        The run's seed.
    out : Path
        Receives predictions.parquet, member.json, importance.parquet, curves.parquet and model/.
    threads : int
        Threads used.
    rounds : int, optional
        Boosting rounds of the refit: the folds' median best round.
    params : Path, optional
        Output of :func:`tune`, whose settings are laid over the configuration.

    Raises
    ------
    TrainingError, ArtifactError, SchemaError, ConfigError
        See the message.
    """
    started = time.perf_counter()
    settings = with_tuned(member_settings(config, member), params)
    if fold is None and rounds is None:
        raise TrainingError(f"{member}: the refit has no validation part to stop on; give rounds, the folds' median")
    rows = load_rows(catalogue, folds)
    table = _labelled_table(rows, features, price_features)
    learning = rows.learning(fold)
    schema = FeatureSchema.fit(table.filter(learning), config.min_category_rows)
    values = schema.encode(table)
    validating = (rows.part == "train") & (rows.fold == fold) if fold is not None else np.zeros(len(values), dtype=bool)
    trained = train_member(
        member,
        Matrix(values[learning], rows.log_price[learning]),
        Matrix(values[validating], rows.log_price[validating]) if fold is not None else None,
        schema,
        settings,
        seed=seed,
        threads=threads,
        rounds=rounds,
        device=config.device,
    )
    parts = []
    if fold is not None:
        for name, mask in (("valid", validating), ("holdout", rows.part == "holdout")):
            predicted = trained.model.predict_values(values[mask], threads=threads)
            parts.append(_predictions(rows.ids.filter(pl.Series(mask)), name, predicted))
    test_ids, test = load_tables(features, price_features, "test")
    parts.append(_predictions(test_ids, "test", trained.model.predict(test, threads=threads)))
    pl.concat(parts).write_parquet(out / "predictions.parquet")
    valid_smape = None
    if fold is not None:
        valid_smape = smape_of_logs(parts[0]["log_price"].to_numpy(), rows.log_price[validating])
    _write_member(trained, member, fold, valid_smape, settings, int(learning.sum()), out)
    log.info(
        "%s fold %s: %d rows x %d features, %d rounds, valid SMAPE %s, %.1f s on %d threads",
        *(member, fold, learning.sum(), len(schema.names), trained.best_round, valid_smape),
        *(time.perf_counter() - started, threads),
    )


def _predictions(ids: pl.Series, part: str, log_price: NDArray[np.float64]) -> pl.DataFrame:
    return pl.DataFrame(
        {ID: ids, "part": [part] * len(ids), "log_price": log_price},
        schema={ID: pl.String, "part": pl.String, "log_price": pl.Float64},
    )


def _write_member(
    trained: TrainedModel,
    member: str,
    fold: int | None,
    valid_smape: float | None,
    settings: Section,
    rows: int,
    out: Path,
) -> None:
    record = {
        "member": member,
        "fold": fold,
        "best_round": trained.best_round,
        "valid_smape": valid_smape,
        "rows": rows,
        "features": len(trained.model.schema.names),
        "params": settings.model_dump(mode="json"),
    }
    (out / "member.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    trained.model.importance().write_parquet(out / "importance.parquet")
    trained.curves.write_parquet(out / "curves.parquet")
    (out / "model").mkdir()
    trained.model.save(out / "model")


def predict_member(
    model_dir: Path, features: FeatureSet, price_features: pl.DataFrame, *, threads: int = 1
) -> NDArray[np.float64]:
    """Price new rows with a saved model.

    Parameters
    ----------
    model_dir : Path
        The ``model`` folder of a :func:`train_fold` output.
    features : FeatureSet
        n rows.
    price_features : polars.DataFrame, n rows
        The same rows' price features, of the same fold as the model.
    threads : int
        Threads used.

    Returns
    -------
    ndarray, shape (n,), float64
        Log prices.

    Raises
    ------
    ArtifactError
        The model is missing or damaged.
    SchemaError
        The features are not those that the model was trained with.
    """
    return GBDTModel.load(model_dir).predict(assemble(features, price_features), threads=threads)


def tune(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: list[Path],
    config: GBDTConfig,
    member: str,
    seed: int,
    out: Path,
    work: Path,
    threads: int = 1,
) -> None:
    """Search one library's settings by out-of-fold SMAPE; the hold-out is never looked at.

    Parameters
    ----------
    price_features : list of Path
        One folder a fold, in fold order; a trial is judged on the first ``config.search.n_splits`` of them.
    out : Path
        Receives params.json (the best settings and their SMAPE), trials.parquet and importances.json.
    work : Path
        Keeps the study, so that a killed search goes on where it was.

    Other parameters and errors as :func:`train_fold`.
    """
    from pricing.gbdt.search import FoldData, optimize_member, write_search

    rows = load_rows(catalogue, folds)
    judged = []
    for fold, folder in enumerate(price_features[: config.search.n_splits]):
        table = _labelled_table(rows, features, folder)
        learning, validating = rows.learning(fold), (rows.part == "train") & (rows.fold == fold)
        schema = FeatureSchema.fit(table.filter(learning), config.min_category_rows)
        values = schema.encode(table.filter(learning | validating))
        inside = learning[learning | validating]
        labels = rows.log_price[learning | validating]
        judged.append(
            FoldData(schema, Matrix(values[inside], labels[inside]), Matrix(values[~inside], labels[~inside]))
        )
    result = optimize_member(
        member,
        judged,
        member_settings(config, member),
        config.search,
        seed=seed,
        work=work,
        threads=threads,
        device=config.device,
    )
    write_search(result, out)


def member_settings(config: GBDTConfig, member: str) -> Section:
    """The member's own section. Raises ConfigError for an unknown member."""
    if member not in LIBRARIES:
        raise ConfigError(f"gbdt: no member {member!r}; there are {', '.join(LIBRARIES)}")
    section: Section = getattr(config, member)
    return section


def with_tuned(settings: Section, params: Path | None) -> Section:
    """Lay the settings of a search's params.json over a section; raises ArtifactError where they do not fit it."""
    if params is None:
        return settings
    path = params / "params.json" if params.is_dir() else params
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["params"]
        return type(settings).model_validate({**settings.model_dump(), **found})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: holds no settings for {type(settings).__name__} ({error}); search again"
        ) from None
