"""The steps of the search: the settings chosen for one member are an artifact of their own."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name

from pricing.config.tuning import TuningConfig
from pricing.members.fold_rows import FoldInputs, FoldRows
from pricing.members.trees.boosted import BoostedMember
from pricing.members.trees.matrix import EncodedFold
from pricing.members.trees.tree_settings import TreeSettings
from pricing.members.tuning.search import optimize
from pricing.members.tuning.search_result import write_search
from pricing.store.artifacts import key_of, key_parts


def tune_member(
    member: str,
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Sequence[Path],
    settings: TreeSettings,
    tuning: TuningConfig,
    seed: int,
    inputs_digest: str,
    out: Path,
    work: Path,
    threads: int = 1,
) -> None:
    """Search one member's settings by out-of-fold SMAPE; the hold-out is never looked at.

    Parameters
    ----------
    member : str
        ``module:Class``, as `pricing.members.registry` lists it.
    catalogue, folds, features : Path
        Outputs of those steps.
    price_features : sequence of Path
        One folder per fold, in fold order; a trial is judged on the first ``tuning.n_splits`` of them.
    settings : TreeSettings
        The section ``members.NAME``, where the search starts.
    seed : int
        The run's seed.
    inputs_digest : str
        Hash of the outputs read.
    out : Path
        Existing empty folder. Receives settings.toml (the best settings) and search.json (every trial, their SMAPE,
        importances).
    work : Path
        Its folder ``studies`` keeps the study, so that a killed search is resumed and a larger budget continues it.
    threads : int
        Cores.

    Raises
    ------
    ConfigError
        Neither budget is set.
    TrainingError
        No trial finished, or there is nothing to learn from.
    ArtifactError, SchemaError
        An input is missing, damaged or of other rows.
    """
    chosen: type[BoostedMember] = resolve_name(member)
    judged = [
        EncodedFold.encode(FoldRows.read(FoldInputs(catalogue, folds, features, folder), fold), settings)
        for fold, folder in enumerate(price_features[: tuning.n_splits])
    ]
    # of the search only what a trial depends on, so that a larger budget continues the study
    depends = {"member": member, "read": inputs_digest, "seed": seed, "settings": settings, "n_splits": tuning.n_splits}
    study = key_of(key_parts("tune", (__name__, chosen.__module__), depends))
    result = optimize(chosen, judged, settings, tuning, seed=seed, work=work / "studies" / study, threads=threads)
    write_search(result, out)


def take_settings(tuned: Path, out: Path) -> None:
    """Copy the settings alone out of a search's output: a longer search that chooses the same trains nothing again."""
    shutil.copy(tuned / "settings.toml", out)
