"""The hold-out: which near-duplicate groups no model sees, chosen by a hash or as the latest ones."""

from hashlib import blake2b

import polars as pl

from pricing.errors import CatalogueError

_DATED = 0.5
"""Minimum share of rows that have a time; of fewer, the latest ones are no later part of the catalogue."""


def holdout_groups(groups: pl.Series, fraction: float) -> set[str]:
    """The near-duplicate groups that are held out: those with the lowest hash of their name.

    No seed takes part, so every run over the same catalogue holds out the same products, and one more product moves
    at most the group at the border.

    Parameters
    ----------
    groups : pl.Series
        Group of each row, String, (n,).
    fraction : float
        Share of the groups, rounded to a whole number of groups, at least one.
    """
    names = sorted(groups.unique().to_list(), key=_hash)
    return set(names[: holdout_size(len(names), fraction)])


def holdout_size(groups: int, fraction: float) -> int:
    """Return how many of so many near-duplicate groups are held out: the nearest whole number, at least one."""
    return max(1, round(fraction * groups))


def latest_groups(groups: pl.Series, times: pl.Series, fraction: float) -> set[str]:
    """The near-duplicate groups that are held out of a catalogue with times: those whose latest row is latest.

    No row that is learnt from is then later than the latest row of any held-out group. Groups of one time are taken in
    the order of their hash. A group without any time is learnt from.

    Parameters
    ----------
    groups : pl.Series
        Group of each row, String, (n,).
    times : pl.Series
        Time of each row, (n,); null where none is known.
    fraction : float
        Share of the rows. The whole number of groups whose rows come nearest to it is taken, at least one.

    Raises
    ------
    CatalogueError
        Less than half of the rows have a time.
    """
    dated = len(times) - times.null_count()
    if dated < _DATED * len(times):
        raise CatalogueError(
            f"{dated} of {len(times)} rows have a time, expected at least {_DATED:.0%}, as the latest rows are held "
            "out; give the others a time, or name no column as time"
        )
    table = pl.DataFrame({"group": groups, "time": times}).group_by("group").agg(pl.len(), pl.col("time").max())
    table = table.drop_nulls("time").with_columns(hash=pl.col("group").map_elements(_hash, return_dtype=pl.Binary))
    table = table.sort("time", "hash", descending=[True, False])
    distance = (table["len"].cum_sum() - fraction * len(groups)).abs()
    return set(table["group"][: (distance.arg_min() or 0) + 1])


def _hash(group: str) -> bytes:
    return blake2b(group.encode(), digest_size=8, person=b"hold-out").digest()
