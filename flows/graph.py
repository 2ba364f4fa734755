"""How stages hang together. The parent flow and the stage flows submit the same tasks through this one graph."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from prefect import Task, get_run_logger
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.utilities.engine import collect_task_run_inputs_sync

from flows.verbosity import chosen
from pricing.config.paths import PathsConfig
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.run_display import show_progress
from pricing.run_progress import Forecast, RunProgress, Step, catalogue_rows
from pricing.store.artifacts import ArtifactStore, Reference
from tasks import stages
from tasks.caching import Runtime
from tasks.channel import listen
from tasks.logs import shorten_expected_errors
from tasks.progress import PUBLISH_SECONDS, progress_artifact
from tasks.workers import ProcessPoolTaskRunner, branch_runner, stop_workers, without_main

TABLES, NEURAL = "tables", "neural"
"""Names of the two branches."""


class Graph:
    """The DAG of one run; a stage is submitted when it is first asked for.

    Two branches, each with a process pool and cores of its own: tables (catalogue, features, GBDT, ensemble) and
    neural (pictures, encoders, networks). A pool takes its tasks in the order of submission, and the tables branch
    waits for the neural one only once its trees are grown, so neither starves nor blocks the other. On one core both
    branches are the same pool, and take turns.
    """

    def __init__(
        self, tables: ProcessPoolTaskRunner, neural: ProcessPoolTaskRunner, train: Path, test: Path | None,
        config: PricingConfig, source: ImageSource, floor: dict | None = None, progress: RunProgress | None = None,
    ) -> None:  # fmt: skip
        self.progress = progress or RunProgress()
        self.train, self.test, self.config, self.floor = train, test, config, floor
        gbdt_threads, neural_threads = split_cores(config)
        paths = PathsConfig(artifacts=config.paths.artifacts.absolute())
        self.runtimes = {
            id(tables): Runtime(paths=paths, threads=gbdt_threads, image_source=source),
            id(neural): Runtime(paths=paths, threads=neural_threads, image_source=source),
        }
        self.tables, self.neural_pool, self.source = tables, neural, source
        self.submitted: list[PrefectFuture] = []
        self.opened = time.time()

    @property
    def runtime(self) -> Runtime:
        """Runtime of the tables branch."""
        return self.runtimes[id(self.tables)]

    @property
    def threads(self) -> dict[str, int]:
        """Threads of each branch; the neural one is left out where it has none of its own. Their sum is the run's."""
        found = {"tables": self.runtime.threads}
        if self.neural_pool is not self.tables:
            found["neural"] = self.runtimes[id(self.neural_pool)].threads
        return found

    def _submit(
        self, runner: ProcessPoolTaskRunner, what: Task, threads: int | None = None, **parameters: Any
    ) -> PrefectFuture:
        runtime = self.runtimes[id(runner)]
        if threads:
            runtime = runtime.model_copy(update={"threads": threads})
        runtime.paths.records.mkdir(parents=True, exist_ok=True)
        placed = what.with_options(result_storage=runtime.paths.records) if what.persist_result else what
        parameters["runtime"] = runtime
        dependencies = {name: collect_task_run_inputs_sync(value) for name, value in parameters.items()}
        future = runner.submit(placed, parameters, dependencies=dependencies)  # type: ignore[arg-type]
        number = self.progress.submit(Step.of(what.name, self._lane(runner), parameters))
        future.add_done_callback(lambda _: self.progress.finish(number))
        self.submitted.append(future)
        return future

    def _lane(self, runner: ProcessPoolTaskRunner) -> str:
        return TABLES if runner is self.tables else NEURAL

    @cached_property
    def catalogue(self) -> PrefectFuture:
        """The catalogue, read and checked."""
        future = self._submit(
            self.tables, stages.read_catalogue, train=self.train, test=self.test, config=self.config.catalogue
        )
        future.add_done_callback(self._count_rows)
        return future

    def _count_rows(self, catalogue: PrefectFuture) -> None:
        with suppress(Exception):  # a catalogue that cannot be read ends the run by itself
            made = Reference.model_validate(catalogue.result())
            self.progress.rows = catalogue_rows(self.runtime.store, made)

    @cached_property
    def folds(self) -> PrefectFuture:
        """Hold-out and folds."""
        config = self.config
        return self._submit(
            self.tables, stages.assign_folds, catalogue=self.catalogue, folds=config.folds, holdout=config.holdout,
            seed=config.seed,
        )  # fmt: skip

    @cached_property
    def images(self) -> PrefectFuture | None:
        """The pictures, fetched in shards."""
        config = self.config.images
        if not config.enabled:
            return None
        count = self._links()
        shards = max(1, -(-count // config.shard_size))
        fetched = None
        for shard in range(shards):
            fetched = self._submit(
                self.neural_pool, stages.fetch_shard, catalogue=self.catalogue, shard=shard, shards=shards,
                before=fetched, config=config,
            )  # fmt: skip
        return self._submit(
            self.neural_pool, stages.collect_images, catalogue=self.catalogue, config=config, origin=self.source.origin,
            fetched=fetched,
        )  # fmt: skip

    def _links(self) -> int:
        from pricing.download.fetch import catalogue_links

        return len(catalogue_links(self.runtime.path(Reference.model_validate(self.catalogue.result()))))

    @cached_property
    def features(self) -> PrefectFuture:
        """Features that read no price."""
        config = self.config
        return self._submit(
            self.tables, stages.build_features, catalogue=self.catalogue, folds=self.folds,
            config=config.features.without("price"),
            seed=config.seed,
        )  # fmt: skip

    @property
    def fold_numbers(self) -> list[int | None]:
        """Folds to train; None is the refit on all labelled rows."""
        folds: list[int | None] = list(range(self.config.folds.n_splits))
        return [*folds, None] if self.config.holdout.refit else folds

    @cached_property
    def price_features(self) -> dict[int | None, PrefectFuture]:
        """Features that read prices, a fold."""
        config = self.config
        return {
            fold: self._submit(
                self.tables, stages.build_price_features, catalogue=self.catalogue, folds=self.folds,
                features=self.features, config=config.features.price, fold=fold, seed=config.seed,
            )
            for fold in self.fold_numbers
        }  # fmt: skip

    @cached_property
    def tuned(self) -> dict[str, PrefectFuture]:
        """The search for settings, by library; nothing without a budget."""
        config = self.config
        if not config.gbdt.search.enabled:
            return {}
        judged_by = [self.price_features[fold] for fold in range(config.gbdt.search.n_splits)]
        return {
            member: self._submit(
                self.tables, stages.tune_gbdt, catalogue=self.catalogue, folds=self.folds, features=self.features,
                price_features=judged_by, member=member, seed=config.seed,
                config=config.gbdt.only("device", "min_category_rows", "search", member),
            )
            for member in config.gbdt.members
        }  # fmt: skip

    @cached_property
    def chosen(self) -> dict[str, PrefectFuture]:
        """The choices of the searches without their histories, by library."""
        return {
            member: self._submit(self.tables, stages.take_settings, tuned=search, member=member)
            for member, search in self.tuned.items()
        }

    @cached_property
    def gbdt(self) -> dict[str, dict[int | None, PrefectFuture]]:
        """The GBDT branch: library by fold."""
        config = self.config
        return {
            member: self._member(
                stages.train_gbdt,
                member,
                self.fold_numbers,
                config=config.gbdt.only("device", "seeds", "min_category_rows", member),
                tuned=self.chosen.get(member),
            )
            for member in config.gbdt.members
        }

    @cached_property
    def encoded(self) -> PrefectFuture:
        """Activations of the encoders' frozen parts."""
        config = self.config.neural
        # of the training only what the encoders run with
        config = config.model_copy(update={"training": config.training.only("precision")})
        return self._submit(
            self.neural_pool, stages.encode, catalogue=self.catalogue, images=self.images,
            config=config.only("device", "encode_batch", "text", "image", "training"),
        )  # fmt: skip

    @cached_property
    def neural(self) -> dict[str, dict[int | None, PrefectFuture]]:
        """The neural branch: network by fold."""
        config = self.config
        made: dict[str, dict[int | None, PrefectFuture]] = {}
        if "multimodal" in config.neural.members:
            # a pool takes its tasks in order: behind the first network this one would wait for the features, which it
            # does not read (5 min of an idle core with `cpu`)
            _ = self.encoded
        for member in config.neural.members:
            refit = member != "multimodal" or config.neural.refit_multimodal
            folds = [fold for fold in self.fold_numbers if fold is not None or refit]
            if member == "multimodal":
                reads: dict[str, Any] = {
                    "images": self.images,
                    "encoded": self.encoded,
                    "config": config.neural.without("members", "refit_multimodal", "sparse_mlp", "gaussian_process"),
                }
            else:
                reads = {"images": None, "encoded": None, "config": config.neural.only("device", member)}
            made[member] = self._member(stages.train_neural, member, folds, **reads)
        return made

    def _pool_of(self, member: str, fold: int | None) -> ProcessPoolTaskRunner:
        # the trees are done long before the encoder network: the Gaussian process takes their cores then, and after it
        # the encoder network's last folds
        late = self.config.folds.n_splits - self.config.resources.encoder_folds_beside
        stays = member == "sparse_mlp" or (member == "multimodal" and (fold is None or fold < late))
        return self.neural_pool if stays else self.tables

    def _member(
        self, what: Task, member: str, folds: list[int | None], **parameters: Any
    ) -> dict[int | None, PrefectFuture]:
        made: dict[int | None, PrefectFuture] = {}
        for fold in folds:
            made[fold] = self._submit(
                self._pool_of(member, fold), what, catalogue=self.catalogue, folds=self.folds, features=self.features,
                price_features=self.price_features[fold], member=member, fold=fold, seed=self.config.seed,
                fold_models=list(made.values()) if fold is None else [], **parameters,
            )  # fmt: skip
        return made

    @cached_property
    def ensemble(self) -> PrefectFuture:
        """Stack and calibration over both branches."""
        members = {"ridge": self.price_features} | self.gbdt | self.neural
        return self._submit(
            self.tables, stages.fit_ensemble, catalogue=self.catalogue, folds=self.folds,
            members={
                name: [model for fold, model in made.items() if fold is not None] for name, made in members.items()
            },
            refits={name: made[None] for name, made in members.items() if None in made},
            config=self.config.ensemble, seed=self.config.seed, floor=self.floor,
            threads=sum(self.threads.values()),  # nothing else is left to run, and its result does not depend on them
        )  # fmt: skip

    def finish(self) -> list[dict[str, Any]]:
        """Wait for everything submitted; one failed branch leaves the other's work done.

        Returns
        -------
        list of dict
            One record a stage: name, label, seconds, started, ended, cached, key, threads, peak_rss.

        Raises
        ------
        Exception
            The first failure, by order of submission, after everything else has ended.
        """
        records, failure = [], None
        for future in self.submitted:
            try:
                result = future.result()
            except Exception as error:
                failure = failure or error
                continue
            if set(result) == set(Reference.model_fields):
                records.append(self._record(Reference.model_validate(result)))
        if failure:
            raise failure
        return records

    def _record(self, reference: Reference) -> dict[str, Any]:
        label = f"{reference.stage} {reference.slot}".strip()
        # a run killed between output and Prefect's record leaves an output that is served all the same
        cached = reference.ended < self.opened
        return {"name": reference.stage, "label": label, "seconds": round(reference.seconds, 3), "cached": cached,
                **reference.model_dump(include={"started", "ended", "key", "threads", "peak_rss"})}  # fmt: skip


def split_cores(config: PricingConfig) -> tuple[int, int]:
    """Cores of the tables branch and of the neural branch: together all of them, each at least one.

    On one core both are that one, so the branches must take turns.
    """
    cores = config.resources.available()
    if cores == 1:
        return 1, 1
    tables = min(cores - 1, max(1, round(cores * config.resources.gbdt_share)))
    return tables, cores - tables


@contextmanager
def open_graph(
    train: Path, test: Path | None, config: PricingConfig, source: ImageSource, floor: dict | None = None
) -> Iterator[Graph]:
    """A graph with a pool per branch, one for both on one core, and its progress on show.

    SIGTERM and an interrupt of this process are passed on to the pools' as SIGTERM.
    """
    shorten_expected_errors()
    signal.siginterrupt(signal.SIGINT, True)  # polars' handler lets a wait for a task go on (SA_RESTART)
    tables, neural = split_cores(config)
    alone = config.resources.available() == 1
    paths = PathsConfig(artifacts=config.paths.artifacts.absolute())
    weights = paths.work / "weights"
    progress = RunProgress(Forecast(ArtifactStore(paths.store)))
    channels = {TABLES: Pipe(duplex=False), NEURAL: Pipe(duplex=False)}
    readers = {lane: reader for lane, (reader, _) in channels.items()}
    shown = show_progress(
        progress, get_run_logger().info, (PUBLISH_SECONDS, progress_artifact("pricing-progress")), verbosity=chosen()
    )
    with (
        without_main(),
        listen(readers, progress.say),  # outside of the pools: with no reader a full pipe would stop a process at work
        branch_runner(tables, weights, channels[TABLES][1]) as tables_pool,
        nullcontext(tables_pool) if alone else branch_runner(neural, weights, channels[NEURAL][1]) as neural_pool,
        shown,
    ):
        try:
            yield Graph(
                tables_pool, neural_pool, train.absolute(), test and test.absolute(), config, source, floor, progress
            )
        except (TerminationSignal, KeyboardInterrupt):  # a notebook's interrupt reaches this process alone
            stop_workers()  # left alone, the pools would wait for the tasks at work to end
            raise
