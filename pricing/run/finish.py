"""A finished run in the user's folder: what the last step wrote, and what belongs to this run alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing.configuration import PricingConfig
from pricing.libraries import module_version
from pricing.members.registry import MEMBERS
from pricing.report.page import build_page
from pricing.run.output_folder import fill_output
from pricing.run.outputs import PARTS
from pricing.store.artifacts import RECORD, read_json, write_json
from pricing.store.codehash import library_versions


def finish_run(
    outputs: Path, output: Path, config: PricingConfig, record: Mapping[str, Any], threads: Mapping[str, int]
) -> dict[str, Any]:
    """Leave a run in the user's folder; it is put together apart and then put in place.

    Parameters
    ----------
    outputs : Path
        Output of `pricing.run.outputs.write_outputs`.
    output : Path
        The user's folder. Receives all of that, model/config.json, run.json and report.html.
    config : PricingConfig
        All settings.
    record : mapping
        What run.json says beside prices, hashes, versions and settings: the steps, their inputs, catalogue and images.
    threads : mapping of str to int
        Cores of each lane.

    Returns
    -------
    dict
        ``run`` (run.json) and ``metrics`` (metrics.json).

    Raises
    ------
    InputError
        The folder holds what would be replaced and is no earlier run, see `pricing.run.output_folder.check_output`.
    """
    run = {
        **record, **read_json(outputs / PARTS / "run.json"), "config": config.model_dump(mode="json"),
        "seed": config.seed, "folds": config.folds.model_dump(), "refit": config.holdout.refit,
        "threads": dict(threads), "versions": _versions(),
    }  # fmt: skip
    with fill_output(output) as beside:
        for entry in outputs.iterdir():
            if entry.name not in (PARTS, RECORD):
                (shutil.copytree if entry.is_dir() else shutil.copy)(entry, beside / entry.name)
        write_json(beside / "model" / "config.json", run["config"])
        write_json(beside / "run.json", run)
        build_page(beside, config.report, outputs / PARTS / "plots")
        metrics = read_json(beside / "metrics.json")
    return {"run": run, "metrics": metrics}


def _versions() -> dict[str, str | None]:
    """Versions of all libraries that shape a run, by the names of their modules."""
    members = (line.partition(":")[0] for line in MEMBERS)
    return {"prefect": module_version("prefect"), **library_versions("pricing.run.outputs", *members)}
