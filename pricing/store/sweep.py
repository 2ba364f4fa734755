"""Removes what no run needs any more: outputs, Prefect's records of them, checkpoints of killed trainings."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pricing.config.paths import PathsConfig
from pricing.errors import InputError
from pricing.store.artifacts import ArtifactStore, read_json
from pricing.store.remote import WORK


def sweep(paths: PathsConfig, keep: Sequence[Path]) -> tuple[int, int]:
    """Remove outputs that none of the runs uses, and what belongs to them.

    Parameters
    ----------
    paths : PathsConfig
        Folders, and the address behind them.
    keep : sequence of Path
        Output folders of runs; without any, checkpoints of killed trainings go too (a finished one removes its own).

    Returns
    -------
    tuple of int
        Number of outputs removed, and bytes.

    Raises
    ------
    InputError
        A folder is no run's; nothing was removed.
    """
    keys: set[str] = set()
    for run in keep:
        try:
            keys |= {stage["key"] for stage in read_json(run / "run.json")["stages"]}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{run}: is no run folder ({type(error).__name__}); nothing was removed") from None
    store = ArtifactStore.of(paths)
    removed, size = store.prune(keys)
    if store.shared and not keep:
        size += store.shared.remote.clear(WORK)
    # files of other names are left alone
    for record in paths.records.glob("*"):
        named = re.fullmatch(r"(\w+)-([0-9a-f]{32})", record.name)
        if named and not paths.store.joinpath(*named.groups()).exists():
            record.unlink(missing_ok=True)
    if not keep and paths.checkpoints.exists():
        size += sum(path.stat().st_size for path in paths.checkpoints.rglob("*") if path.is_file())
        shutil.rmtree(paths.checkpoints)
    return removed, size
