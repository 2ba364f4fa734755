"""The ensemble stage of a run: members' outputs in; stack, tables and figures out."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.figures import describe_holdout, describe_training
from pricing.ensemble.learners import best_constant
from pricing.ensemble.stacking import train_ensemble
from pricing.errors import ArtifactError
from pricing.members.predictions import read_labelled, read_member, read_test_ids
from pricing.metrics.price_metrics import log_to_price
from pricing.store.artifacts import write_json

logger = logging.getLogger(__name__)


def fit_ensemble(
    catalogue: Path,
    folds: Path,
    members: dict[str, list[Path]],
    refits: dict[str, Path],
    config: EnsembleConfig,
    seed: int,
    out: Path,
    *,
    floor: dict[str, Any] | None = None,
    threads: int = 1,
) -> None:
    """Stack the base models and measure the stack on rows that nothing was fitted on.

    Parameters
    ----------
    catalogue, folds : Path
        Outputs of these stages.
    members : dict of str to list of Path
        Member to its fold outputs, fold 0 first.
    refits : dict of str to Path
        Member to the output of its refit on all labelled rows, where there is one.
    out : Path
        Empty folder. It gets ``oof.parquet`` and ``holdout.parquet`` (prices), ``test.parquet`` (natural log prices),
        ``ensemble/`` and ``metrics.json``. In oof.parquet, ``stack`` is nested: by an ensemble that never saw the fold.
    floor : dict, optional
        Put into metrics.json as it is: what the noise of a generated catalogue leaves to anybody.

    Raises
    ------
    ArtifactError
        An input is missing or its rows are not the expected ones.
    """
    if not members:
        raise ArtifactError("the ensemble needs at least one member; no branch trained any")
    unknown = sorted(set(refits) - set(members))
    if unknown:
        raise ArtifactError(f"refits of {', '.join(unknown)}, which have no fold outputs")
    labelled = read_labelled(catalogue, folds)
    train, holdout = labelled["train"], labelled["holdout"]
    test_ids = read_test_ids(catalogue)
    # not the order in which branches happened to end
    names = tuple(sorted(members))
    read = {n: read_member(n, members[n], refits.get(n), train, holdout.ids, test_ids) for n in names}
    log_price = np.log(train.price)
    matrix = np.column_stack([read[name].oof for name in names])
    trained = train_ensemble(matrix, log_price, train.folds, names, config, seed, threads=threads)
    held = {name: read[name].holdout for name in names}
    new = {name: read[name].test for name in names}
    # what ships is matched to rows like those that it will price: their members hold the refits
    ensemble = trained.ensemble.matched(new if len(test_ids) else held)
    ensemble.save(out / "ensemble")
    # the hold-out's members do not, and agree otherwise; so it is judged as the test rows are priced: by the same
    # ensemble, matched to the rows themselves, without their prices
    judged = ensemble.matched(held)

    oof = {name: read[name].oof for name in names}
    metrics = describe_training(
        trained, oof, train.price, resamples=config.bootstrap, seed=seed, groups=train.groups.to_numpy()
    )
    base = {"sample_id": train.ids, "fold": pl.Series(train.folds, dtype=pl.Int8), "price": train.price}
    prices = {name: log_to_price(values) for name, values in oof.items()}
    pl.DataFrame({**base, **prices, "stack": log_to_price(trained.oof)}).write_parquet(out / "oof.parquet")

    stack = judged.predict(held)
    ends = judged.predict_intervals(held, stack)
    if len(holdout.price):
        describe_holdout(
            metrics,
            held,
            stack,
            holdout.price,
            best_constant(log_price),
            holdout.groups.to_numpy(),
            ends,
            resamples=config.bootstrap,
            seed=seed,
        )
    prices = {name: log_to_price(values) for name, values in held.items()}
    prices |= {"stack": log_to_price(stack)} | {name: log_to_price(values) for name, values in ends.items()}
    pl.DataFrame({"sample_id": holdout.ids, "price": holdout.price, **prices}).write_parquet(out / "holdout.parquet")

    stack = ensemble.predict(new)
    ends = ensemble.predict_intervals(new, stack)
    pl.DataFrame({"sample_id": test_ids, **new, "stack": stack, **ends}).write_parquet(out / "test.parquet")
    if floor is not None:
        metrics["floor"] = floor
    write_json(out / "metrics.json", metrics)
    logger.info(
        "stack of %d members on %d rows: %s, calibration %s, decision %s, nested out-of-fold SMAPE %.2f, hold-out %s",
        len(names),
        len(train.price),
        *(metrics["stack"][name] for name in ("choice", "calibration", "decision")),
        metrics["stack"]["oof_smape"],
        f"{metrics['holdout']['smape']:.2f}" if "holdout" in metrics else "none",
    )
