"""Which step runs when, with which cores, and what a failure costs."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.config.resources import ResourcesConfig
from pricing.errors import RunError, TrainingError
from pricing.members.contract import Lane
from pricing.plan.schedule import Lanes, run_steps
from pricing.plan.step import Step, needed_for
from pricing.run_progress import RunProgress
from pricing.store.stages import Stage

TREES, NETWORKS, DOWNLOAD = Lane.TREES, Lane.NETWORKS, Lane.DOWNLOAD


def step(name: str, lane: Lane = TREES, *needs: Step, stage: Stage = Stage.GBDT, spreads: bool = False) -> Step:
    return Step(stage, name, "module:function", lane, {"needs": list(needs)}, cached=False, spreads=spreads)


class Recorder:
    """Does every step at once, and knows in which order and with how many threads."""

    def __init__(self, failing: str = "") -> None:
        self.failing, self.order, self.threads = failing, [], {}  # type: ignore[var-annotated]

    def __call__(self, step: Step, resolved: Step, lane: Lane, threads: int) -> Future[dict[str, Any]]:
        self.order.append(step.name)
        self.threads[step.name] = threads
        future: Future[dict[str, Any]] = Future()
        if step.name == self.failing:
            future.set_exception(TrainingError(f"{step.name} failed"))
        else:
            future.set_result({"made": step.name, "read": resolved.inputs["needs"]})
        return future


@given(cores=st.integers(1, 64), share=st.floats(0.01, 0.99))
def test_lanes_use_all_cores_and_each_at_least_one(cores: int, share: float) -> None:
    threads = Lanes.of(ResourcesConfig(cores=cores, trees_share=share)).cores()
    assert sum(threads.values()) == cores
    assert min(threads.values()) >= 1
    assert len(threads) == min(cores, 2)


def test_a_step_gets_what_the_steps_before_it_returned() -> None:
    first = step("first")
    second = step("second", NETWORKS, first)
    made = run_steps([first, second], Lanes.of(ResourcesConfig(cores=2)), Recorder())
    assert made[second]["read"] == [made[first]]


def test_a_lane_takes_the_first_step_that_can_be_done() -> None:
    """The network's lane does not wait for the features with its encoding undone."""
    catalogue = step("catalogue")
    features = step("features", TREES, catalogue)
    network = step("network", NETWORKS, features)
    encode = step("encode", NETWORKS, catalogue)
    done = Recorder()
    run_steps([catalogue, features, network, encode], Lanes.of(ResourcesConfig(cores=2)), done)
    assert done.order.index("encode") < done.order.index("network")


def test_the_lanes_work_at_the_same_time_and_take_turns_on_one_core() -> None:
    both = threading.Barrier(2, timeout=20)

    def together(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        return pool.submit(lambda: {"": both.wait()})

    with ThreadPoolExecutor(2) as pool:  # the barrier breaks unless both are at work
        run_steps([step("a"), step("b", NETWORKS)], Lanes.of(ResourcesConfig(cores=2)), together)
    lanes = Lanes.of(ResourcesConfig(cores=1))
    assert {lanes.worker(lane) for lane in Lane} == {TREES}


def test_a_lane_with_room_works_on_several_steps_at_once() -> None:
    """Folds of one member train at the same time where workers allow."""

    class Wide(Lanes):
        def room(self, step: Step) -> int:
            return 3

    together = threading.Barrier(3, timeout=20)

    def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        return pool.submit(lambda: {"": together.wait()})

    with ThreadPoolExecutor(3) as pool:  # the barrier breaks unless three are at work
        folds = [step(str(fold)) for fold in range(6)]
        assert len(run_steps(folds, Wide({TREES: 1}), submit)) == 6


def test_a_worker_that_has_gone_for_good_ends_the_run() -> None:
    class Gone(Lanes):
        def room(self, step: Step) -> int:
            if step in started:
                raise RunError("no worker offers trees")
            return 1

    started: list[Step] = []

    def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        started.append(step)
        return Future()  # which never ends

    with pytest.raises(RunError, match="no worker offers trees"):
        run_steps([step("a")], Gone({TREES: 1}), submit)


def test_an_idle_lane_lends_its_cores_to_a_step_whose_result_does_not_depend_on_them() -> None:
    lanes = Lanes.of(ResourcesConfig(cores=4))
    features = step("features", spreads=True)
    trees = step("trees", TREES, features)
    network = step("network", NETWORKS, features)
    beside = step("beside", TREES, trees, spreads=True)  # the network is at work then
    last = step("last", TREES, beside, network, spreads=True)
    alone, busy = Recorder(), threading.Event()

    def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        if step.name != "network":
            if step.name == "beside":
                busy.set()
            return alone(step, resolved, lane, threads)
        alone(step, resolved, lane, threads)
        return pool.submit(lambda: {"waited": busy.wait(20)})

    with ThreadPoolExecutor(1) as pool:
        run_steps([features, trees, network, beside, last], lanes, submit)
    assert alone.threads == {"features": 4, "trees": 2, "network": 2, "beside": 2, "last": 4}


def test_a_failing_branch_leaves_the_other_done_and_what_needs_it_undone() -> None:
    catalogue = step("catalogue")
    network = step("network", NETWORKS, catalogue)
    more = step("more", NETWORKS, network)
    trees = step("trees", TREES, catalogue)
    ensemble = step("ensemble", TREES, trees, more)
    done = Recorder(failing="network")
    with pytest.raises(TrainingError, match="network failed"):
        run_steps([catalogue, network, more, trees, ensemble], Lanes.of(ResourcesConfig(cores=2)), done)
    assert sorted(done.order) == ["catalogue", "network", "trees"]


def test_a_lane_whose_process_is_gone_is_a_failure_like_any_other() -> None:
    def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        raise RuntimeError("no process")

    with pytest.raises(RuntimeError, match="no process"):
        run_steps([step("a")], Lanes.of(ResourcesConfig(cores=2)), submit)


def test_progress_knows_what_is_at_work_and_what_is_done() -> None:
    progress, seen = RunProgress(), []
    first, second = step("first"), step("second")

    def submit(step: Step, resolved: Step, lane: Lane, threads: int) -> Future[Any]:
        seen.append(str(progress.moment()))
        return Recorder()(step, resolved, lane, threads)

    run_steps([first, second], Lanes.of(ResourcesConfig(cores=2)), submit, progress)
    assert seen == ["first: 0 of 2 steps", "second: 1 of 2 steps"]


def test_a_stage_alone_needs_what_comes_before_it_and_nothing_else() -> None:
    catalogue = step("catalogue", stage=Stage.CATALOGUE)
    images = step("images", DOWNLOAD, catalogue, stage=Stage.DOWNLOAD)
    trees = step("trees", TREES, catalogue)
    network = step("network", NETWORKS, images, stage=Stage.NEURAL)
    steps = [catalogue, images, trees, network]
    assert needed_for(steps, Stage.GBDT) == [catalogue, trees]
    assert needed_for(steps, Stage.NEURAL) == [catalogue, images, network]
