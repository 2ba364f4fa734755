"""The hyperparameter searches of a run: what they tried, what they chose, and which settings mattered."""

from pathlib import Path
from typing import Any

from pricing.errors import ArtifactError
from pricing.store.artifacts import read_json

_SHOWN = 4
"""Settings named in the table, the most important first."""


def read_searches(folder: Path) -> list[dict[str, Any]]:
    """Read ``search/LIBRARY.json`` as the search stage wrote them; an empty list where there is none.

    Returns
    -------
    list of dict
        member, smape and default_smape (percent, default_smape may be None), params, trials (number, state, smape), and
        ``important``: (name, chosen value, share of SMAPE's variance or None) of a few settings.

    Raises
    ------
    ArtifactError
        A file is not what the search writes.
    """
    found = []
    for path in sorted(folder.glob("search/*.json")):
        try:
            record = read_json(path)
            shares = sorted(record["importances"].items(), key=lambda item: (-item[1], item[0]))
            names = [*shares, *((name, None) for name in sorted(record["params"]) if name not in dict(shares))]
            important = [(name, record["params"][name], share) for name, share in names[:_SHOWN]]
            kept = {name: record[name] for name in ("member", "smape", "default_smape", "params", "trials")}
            float(kept["smape"]), [(trial["state"], trial["number"], trial["smape"]) for trial in kept["trials"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path}: is no record of a search ({error!r}); tune again") from None
        found.append({**kept, "important": important})
    return found
