"""Times of a run's steps as a small Gantt chart: one lane per name, bars placed in percent of the run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_BRANCHES = ("gbdt", "neural")
"""Stages that are the two branches."""


def timeline(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lanes in order of first start.

    Parameters
    ----------
    stages : sequence of mapping
        ``name``, ``label``, ``stage``, ``seconds``, ``started`` and ``ended`` (ISO 8601 or seconds since the epoch),
        ``cached``; what came from the cache has the times of the run that made it, and no bar.

    Returns
    -------
    dict
        ``lanes``: ``name``, ``branch`` (gbdt, neural, other), ``seconds`` (sum), ``runs``, ``cached`` (how many of
        them), ``bars`` (``left``, ``width`` in percent, ``label``); ``seconds``: from the first start to
        the last end, 0 where times are missing; ``overlap``: seconds in which both branches were at work.
    """
    lanes: dict[str, dict[str, Any]] = {}
    times = [
        (None, None) if stage.get("cached") else (_moment(stage.get("started")), _moment(stage.get("ended")))
        for stage in stages
    ]
    known = [(start, end) for start, end in times if start is not None and end is not None]
    first = min((start for start, _ in known), default=0.0)
    last = max((end for _, end in known), default=0.0)
    span = max(last - first, 1e-9)
    busy: dict[str, list[tuple[float, float]]] = {branch: [] for branch in _BRANCHES}
    order = sorted(range(len(stages)), key=lambda i: (times[i][0] is None, times[i][0] or 0.0, i))
    for index in order:
        stage, (start, end) = stages[index], times[index]
        name = str(stage.get("name") or stage.get("label") or "stage")
        branch = stage.get("stage") if stage.get("stage") in _BRANCHES else "other"
        lane = lanes.setdefault(
            name, {"name": name, "branch": branch, "seconds": 0.0, "runs": 0, "cached": 0, "bars": []}
        )
        lane["seconds"] += float(stage.get("seconds") or 0.0)
        lane["runs"] += 1
        lane["cached"] += bool(stage.get("cached"))
        if start is None or end is None:
            continue
        if branch in busy:
            busy[branch].append((start, end))
        lane["bars"].append(
            {
                "left": round(100 * (start - first) / span, 3),
                # a bar below half a percent could not be seen
                "width": round(max(0.5, 100 * (end - start) / span), 3),
                "label": f"{stage.get('label') or name}: {end - start:.1f} s",
            }
        )
    return {
        "lanes": list(lanes.values()),
        "seconds": last - first if known else 0.0,
        "overlap": _overlap(*busy.values()),
        "cached": sum(lane["cached"] for lane in lanes.values()),
        "runs": sum(lane["runs"] for lane in lanes.values()),
    }


def _moment(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _overlap(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> float:
    pairs = ((max(x[0], y[0]), min(x[1], y[1])) for x in _merged(a) for y in _merged(b))
    return float(sum(max(0.0, end - start) for start, end in pairs))
