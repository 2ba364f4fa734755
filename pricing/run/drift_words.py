"""Drift and trust of a scored catalogue, in lines for the terminal."""

from collections.abc import Mapping
from typing import Any

from pricing.run.novelty import SHARE
from pricing.run.trust import LEVELS

_SHOWN = 5
"""Maximum number of features that are named."""


def describe_drift(record: Mapping[str, Any]) -> list[str]:
    """Return lines that say how far a catalogue is from the training rows, and how far its prices may be trusted.

    Parameters
    ----------
    record : mapping
        ``drift`` of `pricing.run.model.ScoredPrices`, or the record in NAME_drift.json.

    Returns
    -------
    list of str
        Unknown categories and words; features whose distribution left that of training; shares of the levels of trust.
        Empty for a catalogue without rows.
    """
    if not record["rows"]:
        return []
    lines = ["Drift: " + "; ".join(_unknown(record))]
    features = record["features"]
    if features is None:
        fewest = record["limits"]["rows"]
        lines.append(f"Drift: {record['rows']} rows are too few to compare distributions; {fewest} are needed")
    else:
        # of several columns that say the same, the one that moved most
        moved = list(dict.fromkeys(row["words"] for row in features if row["level"] == "shifted"))
        if moved:
            more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
            what = "1 feature has" if len(moved) == 1 else f"{len(moved)} features have"
            lines.append(f"Drift: {what} left the training's distribution: {'; '.join(moved[:_SHOWN])}{more}")
        else:
            lines.append("Drift: no feature has left the training's distribution")
    trust = record["trust"]
    levels = ", ".join(f"{_percent(trust[level]['share'])} {level}" for level in LEVELS)
    training = ", ".join(_percent(trust[level]["training"]) for level in LEVELS)
    lines.append(f"Trust: {levels} (of the training rows out of fold {training})")
    if record["unlike"] > 0:
        lines.append(
            f"Trust: {_percent(record['unlike'])} unlike anything learnt ({_percent(SHARE)} of the training rows)"
        )
    return lines


def _unknown(record: Mapping[str, Any]) -> list[str]:
    parts = [
        f"{_percent(found['share'])} with unknown {name}{_beside(found['holdout'], _percent, 'of the hold-out')}"
        for name, found in record["unseen"].items()
    ]
    words, nearest = record["unknown_words"], record["nearest"]
    if words["share"] is not None:
        beside = _beside(words["holdout"], _percent, "of the hold-out's")
        parts.append(f"{_percent(words['share'])} of words unknown{beside}")
    if nearest["mean"] is not None:
        beside = _beside(nearest["training"], "{:.2f}".format, "in training")
        parts.append(f"nearest comparables {nearest['mean']:.2f} alike{beside}")
    return parts


def _beside(value: float | None, form: Any, of: str) -> str:
    return "" if value is None else f" ({form(value)} {of})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
