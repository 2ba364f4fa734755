"""Training of the libraries on one fold, for the stage and for notebooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from OLD.GBDT import GBDTConfig, MemberConfig
from scipy import sparse

from pricing.errors import ConfigError, TrainingError
from pricing.members.trees.bag import TrainedBag
from pricing.members.trees.matrix import FeatureSchema, Matrix
from pricing.members.trees.rows import encode_fold
from pricing.members.trees.tree_model import LIBRARIES, TrainedModel
from pricing.metrics.smape import smape_of_logs

log = logging.getLogger(__name__)

SEED_STEP = 1000
"""Between the seeds of one member's models; runs of neighbouring seeds share none."""


def _trainer(member: str) -> Callable[..., TrainedModel]:
    """The member's ``train_*`` function. The imports are written out: a cache key holds only modules that stand so."""
    if member == "lightgbm":
        from pricing.members.lightgbm import train_lightgbm

        return train_lightgbm
    if member == "xgboost":
        from pricing.members.xgboost import train_xgboost

        return train_xgboost
    if member == "catboost":
        from pricing.members.catboost import train_catboost

        return train_catboost
    raise ConfigError(f"gbdt: no member {member!r}; there are {', '.join(LIBRARIES)}")


def train_member(
    member: str, train: Matrix, valid: Matrix | None, schema: FeatureSchema, settings: MemberConfig, **options: Any
) -> TrainedModel:
    """Call the member's ``train_*`` function; parameters, result and errors are that function's."""
    return _trainer(member)(train, valid, schema, settings, **options)


def train_bag(
    member: str,
    train: Matrix,
    valid: Matrix | None,
    schema: FeatureSchema,
    settings: MemberConfig,
    config: GBDTConfig,
    *,
    seed: int,
    threads: int = 1,
    rounds: int | None = None,
) -> TrainedBag:
    """Train one member on one fold, ``config.seeds`` times; a model that found nothing to split on is logged.

    Other parameters, result and errors are those of the member's ``train_*`` function.
    """
    trained = [
        train_member(
            member, train, valid, schema, settings, seed=seed + number * SEED_STEP, threads=threads, rounds=rounds,
            device=config.device,
        )
        for number in range(config.seeds)
    ]  # fmt: skip
    for one in trained:
        if not one.model.importance()["importance"].sum():
            log.warning(
                "%s on %d rows: no tree has a split, so every row gets the same price; allow smaller leaves",
                *(member, len(train)),
            )
    return TrainedBag(trained)


@dataclass(frozen=True)
class GBDTResult:
    """One library on one fold.

    Attributes
    ----------
    trained : TrainedBag
        ``config.seeds`` models; their schema encodes new rows.
    predicted : dict of str to ndarray of shape (rows of the part,), float64
        Log price of the rows of each part but ``learn``.
    smape : float or None
        Of the part ``valid``, in percent; None without one.
    """

    trained: TrainedBag
    predicted: dict[str, NDArray[np.float64]]
    smape: float | None


def train_gbdt_models(
    table: pl.DataFrame,
    log_price: NDArray[np.float64],
    parts: Mapping[str, NDArray[np.bool_]],
    config: GBDTConfig | None = None,
    *,
    tfidf: sparse.csr_matrix | None = None,
    seed: int = 0,
    threads: int = 1,
    rounds: int | None = None,
) -> dict[str, GBDTResult]:
    """Train every library of the configuration on one fold.

    Parameters
    ----------
    table : polars.DataFrame, n rows
        Features: numbers, or text columns for categories.
    log_price : ndarray of shape (n,), float64
        Natural log of the price.
    parts : mapping of str to ndarray of shape (n,), bool
        ``learn``: rows to learn from. ``valid``: rows to stop on; without them ``rounds`` is needed. Any other part is
        predicted alone.
    config : GBDTConfig, optional
        Members and settings.
    tfidf : csr_matrix of shape (n, v), optional
        Terms beside the table, for libraries whose settings read some.
    seed, threads : int
        The same pair gives the same predictions.
    rounds : int, optional
        Number of boosting rounds where there is no part to stop on.

    Returns
    -------
    dict of str to GBDTResult
        By member, in the configuration's order.

    Raises
    ------
    TrainingError
        Lengths differ, no row to learn from, neither ``valid`` nor ``rounds``, or features that never vary.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> from pricing.config import GBDTConfig
    >>> table = pl.DataFrame({"grams": np.arange(1.0, 41.0), "brand": ["a", "b"] * 20})
    >>> even = np.arange(40) % 2 == 0
    >>> config = GBDTConfig(members=("lightgbm",))
    >>> log_price = np.log(table["grams"].to_numpy())
    >>> result = train_gbdt_models(table, log_price, {"learn": even, "valid": ~even}, config)
    >>> result["lightgbm"].predicted["valid"].shape
    (20,)
    """
    config = config or GBDTConfig()
    lengths = {name: len(mask) for name, mask in parts.items()}
    if {table.height, *lengths.values()} != {len(log_price)}:
        raise TrainingError(
            f"{table.height} rows of features, {len(log_price)} prices, parts of {lengths} rows; expected equal numbers"
        )
    if "learn" not in parts or not parts["learn"].any():
        raise TrainingError(f"no row to learn from in the parts {', '.join(parts) or 'given'}; give a part learn")
    if "valid" not in parts and rounds is None:
        raise TrainingError("no part valid to stop on; give one, or rounds, such as the folds' median")
    found: dict[str, GBDTResult] = {}
    for member in config.members:
        settings = getattr(config, member)
        schema, values = encode_fold(table, tfidf, parts["learn"], config.min_category_rows, settings.terms)
        learn = Matrix(values[parts["learn"]], log_price[parts["learn"]])
        valid = Matrix(values[parts["valid"]], log_price[parts["valid"]]) if "valid" in parts else None
        trained = train_bag(member, learn, valid, schema, settings, config, seed=seed, threads=threads, rounds=rounds)
        predicted = {
            name: trained.bag.predict_values(values[mask], threads=threads)
            for name, mask in parts.items()
            if name != "learn"
        }
        smape = smape_of_logs(predicted["valid"], log_price[parts["valid"]]) if valid is not None else None
        found[member] = GBDTResult(trained, predicted, smape)
    return found
