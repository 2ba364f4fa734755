"""The hold-out part and the cross-validation folds."""

from typing import Literal

import numpy as np
import polars as pl

from pricing.catalogue.holdout import holdout_groups, latest_groups
from pricing.errors import CatalogueError


def price_bins(prices: np.ndarray, bins: int) -> np.ndarray:
    """Price quantile of each row, int64 in 0 .. bins - 1, (n,). Equal prices share a bin."""
    edges = np.quantile(prices, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), prices, side="right").astype(np.int64)


def stratified_folds(
    prices: np.ndarray, groups: np.ndarray | None, n_splits: int, bins: int, rng: np.random.Generator
) -> np.ndarray:
    """Assign rows to folds of equal size and equal price distribution, never splitting a group.

    The idea of scikit-learn's StratifiedGroupKFold (largest groups first, each to the fold where the distribution of
    the bins stays most even), with the rows that have no duplicates, nearly all of them, dealt out afterwards in bulk:
    75,000 rows take a fraction of a second.

    Parameters
    ----------
    prices : ndarray of float, (n,)
    groups : ndarray, (n,), or None
        None treats every row as its own group.
    n_splits, bins : int
        Number of folds and of price quantiles.
    rng : numpy Generator
        Breaks ties and shuffles.

    Returns
    -------
    ndarray of int8, (n,)
        Fold of each row, 0 .. n_splits - 1.
    """
    n = len(prices)
    strata = price_bins(prices, bins)  # (n,)
    n_strata = int(strata.max()) + 1
    fold = np.full(n, -1, dtype=np.int8)
    # rows of each fold and bin so far
    counts = np.zeros((n_splits, n_strata))
    target = np.bincount(strata, minlength=n_strata) / n_splits  # (n_strata,)

    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        sizes = np.bincount(codes)
        order = np.argsort(codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)])
        shared = np.flatnonzero(sizes > 1)
        shared = rng.permutation(shared)
        for group in shared[np.argsort(-sizes[shared], kind="stable")]:
            members = order[starts[group] : starts[group + 1]]
            wanted = np.bincount(strata[members], minlength=n_strata)
            # squared distance from the even split, were the group put into each of the folds in turn; (n_splits,)
            change = ((2 * (counts - target) + wanted) * wanted / np.maximum(target, 1)).sum(axis=1)
            change += (2 * counts.sum(axis=1) + len(members)) * len(members) / max(n / n_splits, 1)
            best = int(rng.choice(np.flatnonzero(change <= change.min() + 1e-9)))
            fold[members] = best
            counts[best] += wanted

    for stratum in range(n_strata):
        rows = rng.permutation(np.flatnonzero((strata == stratum) & (fold < 0)))
        # rows that each fold takes
        places = _fill(counts[:, stratum], counts.sum(axis=1), len(rows), rng)
        fold[rows] = np.repeat(np.arange(n_splits, dtype=np.int8), places)
        counts[:, stratum] += places
    return fold


def _fill(height: np.ndarray, total: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Pour `rows` rows into folds of the given heights so that the lowest rise first; ties to the smallest fold."""
    places = np.zeros(len(height), dtype=np.int64)
    level = height.copy()
    while rows:
        lowest = np.flatnonzero(level == level.min())
        above = level[level > level.min()]
        room = int(above.min() - level.min()) if len(above) else rows // len(lowest)
        if room * len(lowest) <= rows and room > 0:
            places[lowest] += room
            level[lowest] += room
            rows -= room * len(lowest)
            continue
        share, rest = divmod(rows, len(lowest))
        places[lowest] += share
        tie = rng.permutation(len(lowest))
        first = tie[np.argsort((total + places)[lowest][tie], kind="stable")][:rest]
        places[lowest[first]] += 1
        rows = 0
    return places


def make_folds(
    frame: pl.DataFrame,
    groups: pl.Series,
    *,
    kind: Literal["grouped", "random"],
    n_splits: int,
    bins: int,
    holdout: float,
    seed: int,
    times: pl.Series | None = None,
) -> pl.DataFrame:
    """Hold-out and folds of labelled rows.

    The hold-out is made of whole groups whatever the kind of folds.

    Parameters
    ----------
    frame : pl.DataFrame
        sample_id and price, n rows.
    groups : pl.Series
        Near-duplicate group of each row, (n,).
    kind : {"grouped", "random"}
        Whether a group stays in one fold.
    n_splits, bins : int
        Folds, and price quantiles they are balanced over.
    holdout : float
        Share of the groups held out; of the rows, where there are times.
    seed : int
        Seed of the folds; the hold-out does not depend on it.
    times : pl.Series, optional
        Time of each row, (n,), null where none is known. The latest groups are then held out.

    Returns
    -------
    pl.DataFrame
        sample_id, group, part ("train" or "holdout"), fold (Int8, -1 in the hold-out), rows as in `frame`.

    Raises
    ------
    CatalogueError
        There are fewer groups to learn from than folds, a fold would stay empty, or too few rows have a time.
    """
    named = holdout_groups(groups, holdout) if times is None else latest_groups(groups, times, holdout)
    held = groups.is_in(list(named)).to_numpy() if frame.height else np.zeros(0, dtype=bool)
    learn = np.flatnonzero(~held)
    units = groups.gather(learn).n_unique() if kind == "grouped" else len(learn)
    if units < n_splits:
        what = "near-duplicate groups" if kind == "grouped" else "rows"
        raise CatalogueError(
            f"{units} {what} are left to learn from after the hold-out, expected at least {n_splits} for as many "
            "folds; give more products or set folds.n_splits lower"
        )
    fold = np.full(frame.height, -1, dtype=np.int8)
    kept = groups.gather(learn).to_numpy() if kind == "grouped" else None
    fold[learn] = stratified_folds(
        frame["price"].to_numpy()[learn], kept, n_splits, bins, np.random.default_rng([seed, 0xF01D])
    )
    if len(np.unique(fold[learn])) < n_splits:
        raise CatalogueError(
            f"only {len(np.unique(fold[learn]))} of {n_splits} folds got any product, the near-duplicate groups are "
            "too few or too large; set folds.n_splits lower"
        )
    return pl.DataFrame(
        {
            "sample_id": frame["sample_id"],
            "group": groups,
            "part": pl.Series(np.where(held, "holdout", "train"), dtype=pl.String),
            "fold": pl.Series(fold, dtype=pl.Int8),
        }
    )
