"""The search stage: the chosen settings of one library are an artifact of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from OLD.GBDT import GBDTConfig

from pricing.members.trees.matrix import Matrix
from pricing.members.trees.rows import encode_fold, labelled_tables, load_rows
from pricing.members.trees.settings import member_settings
from pricing.members.tuning.search import OPTIMIZERS, FoldData
from pricing.members.tuning.search_result import write_search
from pricing.store.tables import fold_parts


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
        Receives settings.toml (the best settings) and search.json (every trial, their SMAPE, importances).
    work : Path
        Keeps the study, so that a killed search goes on where it was.

    Other parameters and errors as :func:`pricing.members.trees.stage.train_fold`.
    """
    settings = member_settings(config, member)
    rows = load_rows(catalogue, folds)
    judged = []
    for fold, folder in enumerate(price_features[: config.search.n_splits]):
        masks = fold_parts(rows.split, fold)
        learning, validating = masks["learn"], masks["valid"]
        tables = labelled_tables(rows, features, folder)
        schema, values = encode_fold(tables.table, tables.tfidf, learning, config.min_category_rows, settings.terms)
        parts = (Matrix(values[part], rows.log_price[part]) for part in (learning, validating))
        judged.append(FoldData(schema, *parts))
    result = OPTIMIZERS[member](
        judged,
        settings,
        config.search,
        seed=seed,
        work=work,
        threads=threads,
        device=config.device,
    )
    write_search(result, out)


def take_settings(found: Path, out: Path) -> None:
    """Copy the settings alone out of a search's output: what training reads, and all that its key should hold."""
    shutil.copy(found / "settings.toml", out)
