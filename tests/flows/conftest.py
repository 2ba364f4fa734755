"""A small catalogue that the whole pipeline runs on in seconds."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from prefect.task_runners import ProcessPoolTaskRunner

from flows.prefect_runner import lane_runner
from pricing.configuration import PricingConfig, load_config
from pricing.sample.generate import SampleInfo, generate_sample

SMALL = {
    "folds": {"n_splits": 2},
    "images": {"enabled": False},
    "members": {
        "lightgbm": {"rounds": 20},
        "xgboost": {"enabled": False},
        "catboost": {"enabled": False},
        "multimodal": {"enabled": False, "text": {"enabled": False}, "image": {"enabled": False}},
    },
    "ensemble": {"bootstrap": 50, "meta_learners": ["smape_linear", "ridge", "trees"]},  # no torch in the trees' lane
    "report": {"dpi": 50, "worst": 2, "driver_rows": 0},
}


def small_config(artifacts: Path, **changes: object) -> PricingConfig:
    """The small configuration; ``changes`` replace single settings, ``a__b__c=value``."""
    tree: dict = {**SMALL, "paths": {"artifacts": str(artifacts)}}
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        node = tree
        for parent in parents:
            node[parent] = dict(node.get(parent, {}))
            node = node[parent]
        node[leaf] = value
    return load_config("demo", tree)


def parameters(config: PricingConfig) -> dict[str, Any]:
    """The parameters of a flow that resolve to this configuration."""
    return {"preset": config.preset, "overrides": config.model_dump(mode="json", exclude={"preset"})}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleInfo:
    """100 rows with prices, 30 without."""
    return generate_sample(tmp_path_factory.mktemp("sample") / "s", rows=100, test_rows=30, images=False)


class LentRunner(ProcessPoolTaskRunner):
    """A lane's pool that goes from a finished run to the next one with its process.

    What the process says is handed on to the run that has it.
    """

    def __init__(self, free: list["LentRunner"], parent: int, threads: int, weights: Path) -> None:
        self.said, self.writer = Pipe(duplex=False)
        new = lane_runner(parent, threads, weights, self.writer)
        super().__init__(new._max_workers, initializer=new._initializer, initargs=new._initargs)
        self.free, self.channel = free, self.writer
        self.hand_on = threading.Thread(target=self._hand_on, daemon=True)
        self.hand_on.start()

    def _hand_on(self) -> None:
        while text := self.said.recv_bytes():
            with suppress(OSError):  # that run has ended
                self.channel.send_bytes(text)

    def __enter__(self) -> "LentRunner":
        self._cached_context = self._cached_env = None  # the run's own, as in a new pool
        return self if self._started else super().__enter__()

    def __exit__(self, *error: object) -> None:
        self.free.append(self)

    def end(self) -> None:
        """What leaving a pool does otherwise."""
        super().__exit__(None, None, None)
        self.writer.send_bytes(b"")
        self.hand_on.join()


@pytest.fixture(scope="session")
def lent_pools(prefect_server: str) -> Iterator[dict[int, list[LentRunner]]]:
    """Pools that are free, by threads."""
    free: dict[int, list[LentRunner]] = {}
    yield free
    for pool in [pool for pools in free.values() for pool in pools]:
        pool.end()


@pytest.fixture(scope="module")
def kept_workers(lent_pools: dict[int, list[LentRunner]]) -> Iterator[None]:
    """Runs of this module share the processes of their lanes.

    Two new ones import Prefect, scikit-learn, LightGBM and torch in 10 s of CPU, three quarters of a small run's.
    """

    def lend(parent: int, threads: int, weights: Path, channel: Connection) -> LentRunner:
        free = lent_pools.setdefault(threads, [])
        pool = free.pop() if free else LentRunner(free, parent, threads, weights)
        pool.channel = channel
        return pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.prefect_runner.lane_runner", lend)
        yield
