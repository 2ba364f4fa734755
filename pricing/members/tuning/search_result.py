"""What a search leaves: the chosen settings, every trial, and how much each setting mattered."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pricing.errors import TrainingError
from pricing.store.artifacts import write_json


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    member : str
        The member's name.
    params : dict
        The best trial's settings, by the names of the member's configuration section.
    smape : float
        Its SMAPE over the validation rows of all folds judged, in percent. The best of many trials on the same rows:
        it flatters.
    default_smape : float or None
        The same for the settings that the search started from.
    rounds : int
        The median best round of the best trial's folds.
    trials : list of dict
        number, state ("complete" or "pruned"), smape (of the folds judged until then) and settings, in the order they
        were started.
    importances : dict of str to float
        Share of each setting in the variance of SMAPE (fANOVA); empty with few finished trials.
    """

    member: str
    params: dict[str, Any]
    smape: float
    default_smape: float | None
    rounds: int
    trials: list[dict[str, Any]]
    importances: dict[str, float]


def finished_trials(study: Any) -> list[Any]:
    """Complete and pruned trials in the order they were started. Failed ones were killed, and count for nothing."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def read_study(
    member: str, study: Any, names: list[str], *, seed: int, limit: int | None = None, least: int = 2
) -> SearchResult:
    """Read the outcome off a study.

    Parameters
    ----------
    names : list of str
        The settings searched.
    seed : int
        Of the importances' forest.
    limit : int, optional
        Only so many trials count: a study may hold more from an earlier, larger budget.
    least : int
        Complete trials without which no importance is computed.

    Raises
    ------
    TrainingError
        No trial finished.
    """
    import optuna
    from optuna.trial import TrialState

    counted = finished_trials(study)[:limit]
    complete = [trial for trial in counted if trial.state == TrialState.COMPLETE]
    if not complete:
        raise TrainingError(f"{member}: no trial of the search finished; give it more trials or more seconds")
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    start = [trial.value for trial in complete if trial.user_attrs.get("defaults")]
    trials = [
        {
            # Optuna's own numbers count killed trials too, and so depend on luck
            "number": number,
            "state": trial.state.name.lower(),
            "smape": trial.user_attrs.get("smape", trial.value),
            "settings": {name: trial.params[name] for name in names},
        }
        for number, trial in enumerate(counted)
    ]
    importances: dict[str, float] = {}
    if len(complete) >= least and len({trial.value for trial in complete}) > 1:
        counting = optuna.create_study(direction="minimize")
        counting.add_trials(complete)
        found = optuna.importance.get_param_importances(
            counting, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed)
        )
        importances = {name: float(share) for name, share in found.items()}
    return SearchResult(
        member,
        dict(best.params),
        float(best.value),
        float(start[0]) if start else None,
        int(best.user_attrs["rounds"]),
        trials,
        importances,
    )


def write_search(result: SearchResult, out: Path) -> None:
    """Write settings.toml (what training reads, and a preset takes) and search.json (what the report reads)."""
    # strings and numbers look alike in JSON and in TOML
    lines = [f"{name} = {json.dumps(value)}" for name, value in sorted(result.params.items())]
    settings = "\n".join([f"[members.{result.member}]", *lines, ""])
    (out / "settings.toml").write_text(settings, encoding="utf-8")
    write_json(out / "search.json", asdict(result))
