"""A run that is about to start: its input is read and checked, and its steps are known."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pricing.catalogue.enough import check_learnable
from pricing.catalogue.raw_rows import open_catalogue
from pricing.config.paths import PathsConfig
from pricing.configuration import PricingConfig
from pricing.download.fetch import catalogue_links
from pricing.download.sources import ImageSource
from pricing.errors import ConfigError
from pricing.features.fields import check_units
from pricing.members.contract import Lane
from pricing.members.registry import member_class
from pricing.plan.dag import Plan, make_plan
from pricing.plan.execute import Runtime, execute
from pricing.plan.results import FinishedPlan
from pricing.plan.schedule import Lanes, Processes, Submitted, run_steps
from pricing.plan.step import Step, needed_for
from pricing.run.output_folder import check_folder
from pricing.run_progress import Forecast, RunProgress, catalogue_rows
from pricing.store.artifacts import ArtifactStore, Reference, read_json
from pricing.store.remote import Remote
from pricing.store.stages import Stage

__all__ = ["OpenedRun", "check_machine"]


def check_machine(config: PricingConfig) -> None:
    """Refuse what no run could end well with, before anything is started.

    Raises
    ------
    InputError
        Nothing can be written to the artifacts folder, a library is missing or installed twice, or a unit is unknown.
    ConfigError
        The settings do not go together.
    """
    check_folder(config.paths.local, "paths.cache" if config.paths.address else "--artifacts")
    if config.paths.address:
        Remote(config.paths.address).check()
    if config.resources.runner == "dask" and find_spec("prefect_dask") is None:
        raise ConfigError(
            "resources.runner is dask, which needs the package prefect-dask; install it: "
            'pip install "smart-product-pricing[dask]"'
        )
    if config.resources.runner == "dask" and config.paths.address and config.images.enabled:
        raise ConfigError(
            f"paths.artifacts {config.paths.address} with resources.runner dask and images: a worker cannot list the "
            "images that another one has downloaded; set images.enabled=false, or name a folder that all workers share"
        )
    check_units(config.catalogue.roles.amount)
    for name, settings in config.enabled_members().items():
        member_class(name).check(settings)  # not first after an hour of features


@dataclass
class OpenedRun:
    """A run between its checks and its end; `open` makes one.

    Attributes
    ----------
    config : PricingConfig
        All settings.
    train, test : Path
        Catalogue files.
    source : ImageSource
        Where images come from.
    plan : Plan
        All steps.
    steps : list of Step
        Those that are run.
    opened : float
        Unix time, seconds.
    labelled : int
        Number of labelled rows.
    """

    config: PricingConfig
    train: Path
    test: Path | None
    source: ImageSource
    plan: Plan
    steps: list[Step]
    opened: float
    labelled: int
    lanes: Lanes = field(init=False)
    processes: Processes | None = field(init=False, default=None)
    """The lanes' processes, where they are this machine's; a runner sets it."""
    progress: RunProgress = field(init=False)
    paths: PathsConfig = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = Lanes.of(self.config.resources)
        self.paths = absolute_paths(self.config)
        self.progress = RunProgress(Forecast(ArtifactStore(self.paths.store)))

    @property
    def weights(self) -> Path:
        """Folder that encoders from packages are joined in."""
        return self.paths.work / "weights"

    @classmethod
    def open(
        cls, train: Path, test: Path | None, config: PricingConfig, source: ImageSource,
        *, floor: dict[str, Any] | None = None, stage: Stage | None = None,
    ) -> "OpenedRun":  # fmt: skip
        """Read and check the catalogue, once and before anything is started, and make the steps.

        Parameters
        ----------
        floor : dict, optional
            For metrics.json.
        stage : Stage, optional
            Only this stage and what it needs.

        Raises
        ------
        InputError
            A file cannot be used, holds too little to learn from, or as `check_machine`.
        ConfigError
            The stage has nothing to do.
        """
        opened = time.time()
        check_machine(config)
        train, test = Path(train).absolute(), test and Path(test).absolute()
        for path, labelled in ((train, True), (test, False)):
            if path is not None:
                open_catalogue(path, labelled, config.catalogue)  # before it is hashed
        reading = make_plan(config, train, test, source).steps[0]
        runtime = Runtime(absolute_paths(config), 1, source)
        read = Reference.model_validate(execute(reading, runtime))
        catalogue = runtime.store.path(read)
        if stage is not Stage.DOWNLOAD:
            check_learnable(str(train), catalogue, config.folds, config.holdout)
        links = len(catalogue_links(catalogue)) if config.images.enabled else 0
        plan = make_plan(config, train, test, source, links, floor)
        steps = plan.steps if stage is None else needed_for(plan.steps, stage)
        if not any(stage in (None, step.stage) for step in steps):
            raise ConfigError(_NOTHING.get(stage, f"no enabled member belongs to the stage {stage}"))
        rows = int(read_json(catalogue / "summary.json")["train"]["rows"])
        run = cls(config, train, test, source, plan, steps, opened, rows)
        run.progress.rows = catalogue_rows(runtime.store, read)
        return run

    def run(self, submit: Callable[[Step, Step, Lane, Runtime], Submitted]) -> FinishedPlan:
        """Run the steps; ``submit`` starts one: the step, the same with references, its worker's lane, its runtime.

        Raises
        ------
        Exception
            The first failure, in the plan's order.
        """

        def start(step: Step, resolved: Step, lane: Lane, threads: int) -> Submitted:
            return submit(step, resolved, lane, Runtime(self.paths, threads, self.source))

        timeout = self.config.resources.step_timeout
        made = run_steps(self.steps, self.lanes, start, self.progress, self.processes, timeout)
        return FinishedPlan(self.config, self.train, self.test, self.plan, made, self.opened, self.lanes.cores())


def absolute_paths(config: PricingConfig) -> PathsConfig:
    """Return the paths with a folder of artifacts made absolute, as processes in other folders need it.

    Where it is an address, the cache is every machine's own, relative to its working directory.
    """
    artifacts = config.paths.artifacts
    return config.paths.model_copy(update={"artifacts": artifacts.absolute()} if isinstance(artifacts, Path) else {})


_NOTHING: dict[Stage | None, str] = {
    Stage.TUNE: "the search has no budget; set tuning.trials or tuning.seconds",
    Stage.DOWNLOAD: "images.enabled is off; there is nothing to download",
}
