"""What a finished plan left, and how it is handed to the user."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pricing.configuration import PricingConfig
from pricing.members.predictions import oof_smapes
from pricing.plan.dag import Plan
from pricing.plan.step import Step
from pricing.run.finish import finish_run
from pricing.run.stage_records import (
    copy_missing_images,
    copy_rejected,
    copy_searches,
    describe_catalogue,
    describe_images,
    describe_networks,
)  # fmt: skip
from pricing.store.artifacts import ArtifactStore, Reference, write_json
from pricing.store.stages import Stage

__all__ = ["FinishedPlan"]


@dataclass(frozen=True)
class FinishedPlan:
    """A plan whose steps have ended.

    Attributes
    ----------
    config : PricingConfig
        All settings.
    train, test : Path
        Catalogue files.
    plan : Plan
        All steps, of which those in ``made`` were run.
    made : mapping of Step to Reference or dict
        What each step returned.
    opened : float
        When the run began, Unix time in seconds.
    threads : mapping of str to int
        Cores of each lane.
    """

    config: PricingConfig
    train: Path
    test: Path | None
    plan: Plan
    made: Mapping[Step, Any]
    opened: float
    threads: Mapping[str, int]

    @property
    def store(self) -> ArtifactStore:
        """The artifact store."""
        return ArtifactStore.of(self.config.paths)

    def path(self, name: str) -> Path | None:
        """Return the output of the step of a name; None where it was not run."""
        step = self.plan.find(name)
        return None if step is None or step not in self.made else self.store.path(self.made[step])

    @property
    def outputs(self) -> Path:
        """What `pricing.run.outputs.write_outputs` wrote."""
        found = self.path("outputs")
        assert found is not None
        return found

    def records(self) -> list[dict[str, Any]]:
        """Return one record per output, as run.json has them, in the plan's order."""
        return [self._record(step, made) for step, made in self.made_in_order() if isinstance(made, Reference)]

    def made_in_order(self) -> list[tuple[Step, Any]]:
        """Return steps and what they returned, in the plan's order."""
        return [(step, self.made[step]) for step in self.plan.steps if step in self.made]

    def _record(self, step: Step, made: Reference) -> dict[str, Any]:
        # a run killed between output and Prefect's record leaves an output that is served all the same
        return {"name": made.name, "label": made.label, "stage": made.stage.value, "lane": step.lane.value,
                "seconds": round(made.seconds, 3), "cached": made.ended < self.opened,
                **made.model_dump(include={"started", "ended", "key", "threads", "peak_rss"})}  # fmt: skip

    def members(self, stage: Stage) -> dict[str, dict[str, Path]]:
        """Return a stage's trained members: name to fold name to output."""
        return {
            name: {fold: self.store.path(self.made[step]) for fold, step in folds.items()}
            for name, folds in self.plan.members.items()
            if all(step.stage is stage and step in self.made for step in folds.values())
        }

    def record(self) -> dict[str, Any]:
        """Return what run.json says of every run, of one stage too."""
        catalogue, images = self.path("catalogue"), self.path("images")
        assert catalogue is not None
        networks = {name: folds for stage in Stage for name, folds in self.members(stage).items()}
        return {
            "config": self.config.model_dump(mode="json"), "seed": self.config.seed,
            "inputs": {"train": str(self.train), "test": str(self.test) if self.test else None},
            "stages": self.records(), "catalogue": describe_catalogue(catalogue),
            "images": describe_images(images, self.config.paths.work), "networks": describe_networks(networks),
        }  # fmt: skip

    def finish(self, output: Path) -> dict[str, Any]:
        """Leave the run in the user's folder.

        Returns
        -------
        dict
            ``run`` (run.json) and ``metrics`` (metrics.json).
        """
        return finish_run(self.outputs, output, self.config, self.record(), self.threads)

    def finish_stage(self, stage: Stage, output: Path) -> dict[str, Any]:
        """Leave run.json and, where members were trained or stacked, metrics.json in the user's folder.

        Returns
        -------
        dict
            ``run`` (run.json) and ``metrics`` (metrics.json or None).
        """
        run, metrics = {"stage": stage.value, **self.record()}, self._stage_metrics(stage)
        catalogue, images = self.path("catalogue"), self.path("images")
        assert catalogue is not None
        output.mkdir(parents=True, exist_ok=True)
        copy_searches({name: self.store.path(self.made[step]) for name, step in self.plan.searches.items()
                       if step in self.made}, output)  # fmt: skip
        copy_missing_images(images, output)
        copy_rejected(catalogue, output)
        write_json(output / "run.json", run)
        if metrics:
            write_json(output / "metrics.json", metrics)
        return {"run": run, "metrics": metrics}

    def _stage_metrics(self, stage: Stage) -> dict[str, Any] | None:
        """Return the members' out-of-fold figures; all that the ensemble knows, if it is that stage."""
        catalogue, folds, ensemble = self.path("catalogue"), self.path("folds"), self.path("ensemble")
        if ensemble is not None:
            return dict(json.loads((ensemble / "metrics.json").read_text(encoding="utf-8")))
        members = self.members(stage)
        if not members or catalogue is None or folds is None:
            return None
        outputs = {name: [made[fold] for fold in made if fold != "refit"] for name, made in members.items()}
        return oof_smapes(catalogue, folds, outputs)
