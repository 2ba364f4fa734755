"""The one step that trains a member: one fold's rows in; predictions, figures and the model out."""

import logging
import shutil
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from statistics import median_low

from pricing.catalogue.split import fold_words
from pricing.members.contract import Member, MemberSettings, SettingsT
from pricing.members.fold_rows import FoldInputs, FoldRows
from pricing.members.predictions import write_curves, write_predictions
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

logger = logging.getLogger(__name__)


def train_fold(
    member: str,
    catalogue: Path,
    folds: Path,
    features: Path,
    settings: MemberSettings,
    fold: int | None,
    seed: int,
    out: Path,
    *,
    price_features: Path | None = None,
    images: Path | None = None,
    prepared: Path | None = None,
    tuned: Path | None = None,
    fold_models: Sequence[Path] = (),
    image_folder: Path | None = None,
    threads: int = 1,
    resume: Path | None = None,
) -> None:
    """Train one member on one fold and predict the rows that it did not learn from.

    Parameters
    ----------
    member : str
        ``module:Class``, as `pricing.members.registry` lists it.
    catalogue, folds, features, price_features, images, prepared : Path
        Outputs of the steps before, see `FoldInputs`.
    settings : MemberSettings
        The section ``members.NAME``.
    fold : int or None
        Validation fold; None refits on all labelled rows.
    seed : int
        The run's seed.
    out : Path
        Existing empty folder. Receives predictions.parquet, member.json, model/ and, where the member has them,
        curves.parquet and importance.parquet.
    tuned : Path, optional
        Output of a search; its settings.toml is laid over the settings.
    fold_models : sequence of Path
        Outputs of the member's folds, for the refit: it takes their median best round.
    image_folder : Path, optional
        What the files in the table of images are relative to.
    threads : int
        Cores.
    resume : Path, optional
        Folder for checkpoints; a training that was killed continues from those found there.

    Raises
    ------
    TrainingError
        Training diverged, or there is nothing to learn from.
    ArtifactError, SchemaError
        An input is missing, damaged or of other rows.
    """
    started = time.perf_counter()
    chosen: type[Member[MemberSettings]] = resolve_name(member)
    settings = with_tuned(settings, chosen.name, tuned)
    rows = FoldRows.read(FoldInputs(catalogue, folds, features, price_features, images, prepared, image_folder), fold)
    model = chosen(settings, seed=seed, threads=threads).fit(rows, rounds=_median_round(fold_models), resume=resume)
    (out / "model").mkdir()
    model.save(out / "model")
    predicted = {role: (part.ids, model.predict(part)) for role, part in rows.items() if role != "train"}
    valid = rows.valid
    smape = None if valid is None else smape_of_logs(predicted["valid"][1], valid.log_price)
    made = model.describe()
    write_predictions(out, predicted)
    write_curves(out, made.curves)
    if made.importance is not None:
        made.importance.write_parquet(out / "importance.parquet")
    record = {
        "member": chosen.name,
        "fold": fold,
        "best_round": made.best_round,
        "valid_smape": smape,
        "rows": len(rows.train),
        "params": settings.model_dump(mode="json"),
        **made.record,
    }
    write_json(out / "member.json", record)
    if resume is not None:
        # checkpoints of finished folds only fill the disk
        shutil.rmtree(resume, ignore_errors=True)
    logger.info(
        "%s, %s: %d rows, best round %s%s; %.1f s on %d threads",
        chosen.name,
        fold_words(fold),
        len(rows.train),
        made.best_round,
        "" if smape is None else f", SMAPE {smape:.2f}",
        time.perf_counter() - started,
        threads,
    )


def with_tuned(settings: SettingsT, name: str, tuned: Path | None) -> SettingsT:
    """Return a member's settings with those of a search laid over them.

    Raises
    ------
    ArtifactError
        ``tuned`` holds no settings.toml that fits.
    """
    if tuned is None:
        return settings
    path = tuned / "settings.toml"
    with reading(path, f"settings for {name}"):
        found = tomllib.loads(path.read_text(encoding="utf-8"))["members"][name]
        return type(settings).model_validate({**settings.model_dump(), **found})


def _median_round(fold_models: Sequence[Path]) -> int | None:
    """Lower median of the folds' best rounds; None where the member has none."""
    records = [read_json(model / "member.json") for model in fold_models]
    rounds = [int(record["best_round"]) for record in records if record["best_round"]]
    return median_low(rounds) if rounds else None
