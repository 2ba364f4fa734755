"""What a client should know of a model: what it learnt from, when, how far it errs, and what it asks for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pricing.catalogue.currencies import price_sign
from pricing.configuration import PricingConfig
from pricing.run.model import RunModel
from pricing.run.model_folder import ModelRecord, find_model
from pricing.run.scoring import reads_images
from pricing.serve.serve_settings import ServeSettings
from pricing.store.artifacts import read_json


def model_card(
    name: str, folder: Path, config: PricingConfig, record: ModelRecord, models: RunModel, settings: ServeSettings
) -> dict[str, Any]:
    """Describe a model.

    Parameters
    ----------
    name : str
        Of the model.
    folder : Path
        A run's folder, whose metrics.json and run.json give the figures, or a model folder alone, which knows the
        out-of-fold figures only.
    config : PricingConfig
        Of the run.
    record : ModelRecord
        What model.json says.
    models : RunModel
        The models.
    settings : ServeSettings
        What the operator allows.

    Returns
    -------
    dict
        As `pricing.serve.answers.ModelCard` describes it, without ``offers``.
    """
    model = find_model(folder)
    whole = folder != model
    metrics, run = (_read(folder / file) if whole else {} for file in ("metrics.json", "run.json"))
    held = metrics.get("holdout") or {}
    error: dict[str, Any] = {"of": "out_of_fold", "smape": models.trust.mean, "rows": models.trust.rows}
    if held.get("smape") is not None:
        ends = {"low": held.get("smape_low"), "high": held.get("smape_high")}
        error = {"of": "holdout", "smape": held["smape"], **ends, "mdape": held.get("mdape"), "rows": held.get("rows")}
    trained = max((stage["ended"] for stage in run.get("stages", []) if stage.get("ended")),
                  default=(model / "model.json").stat().st_mtime)  # fmt: skip
    train, fetches = run.get("inputs", {}).get("train"), bool(settings.allow_hosts)
    return {
        "model": name,
        "trained": datetime.fromtimestamp(trained, UTC).isoformat(timespec="seconds"),
        "learnt_from": {
            "rows": models.trust.rows, "file": Path(train).name if train else None,
            "prices": (run.get("catalogue") or {}).get("price"),
        },
        "error": error,
        "currency": record.currency or None, "sign": price_sign(record.currency), "decimals": record.decimals,
        "columns": {role: names for role, names in config.catalogue.roles.roles().items()
                    if names and role not in ("price", "group", "time")},
        "units": dict(config.catalogue.roles.amount),
        "limits": {"body": settings.max_body, "rows": settings.max_rows, "characters": settings.max_text},
        "members": {member: len(folds) for member, folds in record.members.items()},
        "images": "fetched from allowed hosts" if reads_images(config) and fetches else "not fetched"
                  if reads_images(config) else "not read",
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError):
        return {}
