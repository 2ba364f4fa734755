"""One line says what a run is doing, how far it is, and when it will end."""

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from pricing.config.catalogue import FoldsConfig
from pricing.config.features import FeaturesConfig
from pricing.members.contract import Lane
from pricing.plan.step import Step
from pricing.run_display import Verbosity, show_progress
from pricing.run_progress import Forecast, Moment, ProgressStep, RunProgress
from pricing.store.artifacts import ArtifactStore, Reference, key_parts
from pricing.store.stages import Stage

ENTRY = "pricing.catalogue.ingest"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def write_output(store: ArtifactStore, name: str, seconds: float, **inputs: object) -> Reference:
    """An output that took so many seconds to make; a catalogue of 1,000 rows, a quarter of them to price."""

    def make(out: Path) -> None:
        if name == "catalogue":
            (out / "summary.json").write_text('{"train": {"rows": 750}, "test": {"rows": 250}}', encoding="utf-8")

    made = store.build(Stage.GBDT, name, "", key_parts(name, ENTRY, inputs), make)
    record_file = store.path(made) / "artifact.json"
    record = json.loads(record_file.read_text(encoding="utf-8"))
    record["reference"]["ended"] = record["reference"]["started"] + seconds
    record_file.write_text(json.dumps(record), encoding="utf-8")
    return made


def step(name: str, lane: str = "trees", words: str = "", **inputs: object) -> ProgressStep:
    """A step of this name as the progress shows it; 2 s per 1,000 rows where nothing is known."""
    stage = Stage.ENSEMBLE if name == "ensemble" else Stage.GBDT
    return Step(stage, name, "module:function", Lane(lane), inputs, words=words, seconds=2.0).progress()


def test_a_step_takes_what_it_took_on_this_machine_in_proportion_to_the_rows(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    catalogue = write_output(store, "catalogue", 1.0)
    write_output(store, "features", 20.0, catalogue=catalogue, config=FeaturesConfig())
    write_output(store, "gbdt", 30.0, catalogue=catalogue, member="a", fold=0, settings=FoldsConfig())
    write_output(store, "gbdt", 90.0, catalogue=catalogue, member="a", fold=0, settings=FoldsConfig(n_splits=3))
    forecast = Forecast(store)
    assert forecast.seconds(step("features", config=FeaturesConfig()), 3000) == pytest.approx(60.0)
    slow = step("gbdt", member="a", fold=1, settings=FoldsConfig(n_splits=3))
    fast = step("gbdt", member="a", fold=1, settings=FoldsConfig())
    other = step("gbdt", member="a", fold=1, settings=FoldsConfig(n_splits=7))
    assert forecast.seconds(slow, 1000) == pytest.approx(90.0)
    assert forecast.seconds(fast, 1000) == pytest.approx(30.0)
    assert forecast.seconds(other, 1000) == pytest.approx(90.0)  # other settings: the last run's time
    # what this machine never did: a rate by the rows
    assert forecast.seconds(step("gbdt", member="b", fold=1), 2000) == pytest.approx(4.0)


def test_a_damaged_store_costs_the_forecast_its_history_alone(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    catalogue = write_output(store, "catalogue", 1.0)
    made = write_output(store, "features", 20.0, catalogue=catalogue)
    (store.path(catalogue) / "summary.json").unlink()
    (store.path(made) / "artifact.json").write_text("{", encoding="utf-8")
    assert Forecast(store).seconds(step("features"), 1000) == 2.0


def test_the_line_counts_steps_and_expects_the_longer_lane(tmp_path: Path) -> None:
    store, clock = ArtifactStore(tmp_path), Clock()
    catalogue = write_output(store, "catalogue", 1.0)
    write_output(store, "gbdt", 100.0, catalogue=catalogue, member="lightgbm")
    write_output(store, "neural", 400.0, catalogue=catalogue, member="sparse_mlp")
    write_output(store, "ensemble", 60.0, catalogue=catalogue)
    progress = RunProgress(Forecast(store), clock=clock)
    assert str(progress.moment()) == "starting: 0 of 0 steps"
    trees = [progress.submit(step("gbdt", words=f"trees {fold}", member="lightgbm")) for fold in range(2)]
    network = progress.submit(step("neural", "networks", words="network", member="sparse_mlp"))
    last = progress.submit(step("ensemble", words="stacking"))
    progress.start(trees[0])
    progress.start(network)
    assert progress.moment().seconds_left is None  # nobody knows how many rows there are
    progress.rows = 1000
    moment = progress.moment()
    assert moment.doing == ("trees 0", "network")
    assert moment.seconds_left == pytest.approx(460)
    clock.now += 90
    assert progress.moment().seconds_left == pytest.approx(370)
    progress.finish(trees[0])
    progress.start(trees[1])
    moment = progress.moment()
    assert moment.doing[0] == "trees 1"
    assert (moment.done, moment.total) == (1, 4)
    assert moment.share == pytest.approx((100 + 90) / 660)
    end = time.strftime("%H:%M", time.localtime(clock.now + 370))
    assert str(moment) == (f"trees 1 | network: 1 of 4 steps, 29 %, about 6 minutes left, ends about {end}")
    clock.now += 400  # longer than expected: it never says that nothing is left of a step at work
    assert progress.moment().seconds_left > 60
    progress.finish(trees[1])
    progress.finish(network)
    progress.start(last)
    assert progress.moment().doing == ("stacking",)


def test_a_lane_may_say_more_of_its_step(tmp_path: Path) -> None:
    progress = RunProgress(Forecast(ArtifactStore(tmp_path)), rows=100)
    first = progress.submit(step("fetch", "networks", words="downloading"))
    second = progress.submit(step("fetch", "networks", words="downloading"))
    progress.start(first)
    progress.start(progress.submit(step("features", words="building features")))
    progress.say("networks", "images 12/100, 3/s, 0:00:29 left, failures: none")
    assert progress.moment().doing == ("images 12/100, 3/s, 0:00:29 left, failures: none", "building features")
    progress.finish(first)
    progress.start(second)
    assert progress.moment().doing == ("downloading", "building features")


def test_a_terminal_has_a_live_line_a_log_has_lines_and_quiet_has_none(tmp_path: Path) -> None:
    progress = RunProgress(Forecast(ArtifactStore(tmp_path)), rows=100_000)
    progress.start(progress.submit(step("features", words="building features")))
    said: dict[str, list[str]] = {}
    for name, terminal, verbosity in (
        ("terminal", True, Verbosity.NORMAL), ("log", False, Verbosity.NORMAL), ("verbose", True, Verbosity.VERBOSE),
        ("quiet", True, Verbosity.QUIET),
    ):  # fmt: skip
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        told, lines = threading.Event(), []

        def tell(moment: Moment, told: threading.Event = told) -> None:
            told.set()

        with show_progress(progress, lines.append, (0.01, tell), verbosity=verbosity, console=console, seconds=0.001):
            assert told.wait(20)  # a page elsewhere is told in any case
        said[name] = lines
        drawn = console.file.getvalue()
        assert ("building features" in drawn and "0/1" in drawn) == (name == "terminal"), drawn
    assert not said["terminal"]
    assert not said["quiet"]
    assert said["log"][0].startswith("building features: 0 of 1 steps, 0 %, about")
    assert said["verbose"][0].startswith("building features: 0 of 1 steps")


def test_a_listener_that_fails_stops_no_other(tmp_path: Path) -> None:
    told = threading.Event()

    def fail(moment: Moment) -> None:
        raise OSError("the server is gone")

    with show_progress(RunProgress(), print, (0.001, fail), (0.001, lambda moment: told.set()),
                       verbosity=Verbosity.QUIET):  # fmt: skip
        assert told.wait(20)


def test_images_and_training_are_told_apart_from_the_whole_run(tmp_path: Path) -> None:
    """A run's page shows each of them: an hour of training hid that the images had come to nothing."""
    progress, clock = RunProgress(Forecast(ArtifactStore(tmp_path)), clock=Clock()), Clock()
    progress.clock = clock
    folds = [progress.submit(step("gbdt", member="a", fold=fold, words=f"fold {fold}")) for fold in range(4)]
    shard, last = progress.submit(step("fetch", "download")), progress.submit(step("ensemble"))
    progress.start(shard)
    progress.finish(shard)
    progress.start(folds[0])
    images, training = progress.moment().parts
    assert (images.name, images.share, str(images)) == ("images", 1.0, "done: 1 of 1 steps")
    assert (training.name, training.share, str(training)) == ("training", 0.0, "fold 0: 0 of 4 steps")
    # with the rows known, seconds count: half of the fold's 2 s are over
    progress.rows = 1000
    clock.now += 1.0
    assert progress.moment().parts[1].share == pytest.approx(1 / 8)
    for fold in folds:
        progress.start(fold)
        progress.finish(fold)
    assert str(progress.moment().parts[1]) == "done: 4 of 4 steps"
    assert progress.moment().done == 5
    progress.start(last)
    # a run without images has no such part
    alone = RunProgress()
    alone.submit(step("ensemble"))
    assert alone.moment().parts == ()
