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
from pricing.run_display import Verbosity, show_progress
from pricing.run_progress import Forecast, Moment, RunProgress, Step
from pricing.store.artifacts import ArtifactStore, Reference, key_parts

ENTRY = "pricing.catalogue.ingest"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def write_output(store: ArtifactStore, stage: str, seconds: float, **inputs: object) -> Reference:
    """An output that took so many seconds to make; a catalogue of 1,000 rows, a quarter of them to price."""

    def make(out: Path) -> None:
        if stage == "catalogue":
            (out / "summary.json").write_text('{"train": {"rows": 750}, "test": {"rows": 250}}', encoding="utf-8")

    made = store.build(stage, "", key_parts(stage, ENTRY, inputs), make)
    record_file = store.path(made) / "artifact.json"
    record = json.loads(record_file.read_text(encoding="utf-8"))
    record["reference"]["ended"] = record["reference"]["started"] + seconds
    record_file.write_text(json.dumps(record), encoding="utf-8")
    return made


def test_a_step_takes_what_it_took_on_this_machine_in_proportion_to_the_rows(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    catalogue = write_output(store, "catalogue", 1.0)
    write_output(store, "features", 20.0, catalogue=catalogue, config=FeaturesConfig())
    write_output(store, "gbdt", 30.0, catalogue=catalogue, member="lightgbm", fold=0, config=FoldsConfig())
    write_output(store, "gbdt", 90.0, catalogue=catalogue, member="lightgbm", fold=0, config=FoldsConfig(n_splits=3))
    forecast = Forecast(store)
    features = Step.of("features", "tables", {"config": FeaturesConfig()})
    assert forecast.seconds(features, 3000) == pytest.approx(60.0)
    slow = Step.of("gbdt", "tables", {"member": "lightgbm", "fold": 1, "config": FoldsConfig(n_splits=3)})
    fast = Step.of("gbdt", "tables", {"member": "lightgbm", "fold": 1, "config": FoldsConfig()})
    other = Step.of("gbdt", "tables", {"member": "lightgbm", "fold": 1, "config": FoldsConfig(n_splits=7)})
    assert forecast.seconds(slow, 1000) == pytest.approx(90.0)
    assert forecast.seconds(fast, 1000) == pytest.approx(30.0)
    assert forecast.seconds(other, 1000) == pytest.approx(90.0)  # other settings: the last run's time
    # what this machine never did: a rate by the rows
    unknown = Step.of("gbdt", "tables", {"member": "catboost", "fold": 1, "config": FoldsConfig()})
    assert forecast.seconds(unknown, 2000) == pytest.approx(2 * forecast.seconds(unknown, 1000)) != 0


def test_a_damaged_store_costs_the_forecast_its_history_alone(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    catalogue = write_output(store, "catalogue", 1.0)
    made = write_output(store, "features", 20.0, catalogue=catalogue)
    (store.path(catalogue) / "summary.json").unlink()
    (store.path(made) / "artifact.json").write_text("{", encoding="utf-8")
    step = Step.of("features", "tables", {})
    assert Forecast(store).seconds(step, 1000) == Forecast(ArtifactStore(tmp_path / "none")).seconds(step, 1000) > 0


def test_the_line_counts_steps_and_expects_the_longer_lane(tmp_path: Path) -> None:
    store, clock = ArtifactStore(tmp_path), Clock()
    catalogue = write_output(store, "catalogue", 1.0)
    write_output(store, "gbdt", 100.0, catalogue=catalogue, member="lightgbm")
    write_output(store, "neural", 400.0, catalogue=catalogue, member="sparse_mlp")
    write_output(store, "ensemble", 60.0, catalogue=catalogue)
    progress = RunProgress(Forecast(store), clock=clock)
    assert str(progress.moment()) == "starting: 0 of 0 steps"
    trees = [progress.submit(Step("gbdt", "lightgbm", str(fold), "tables")) for fold in range(2)]
    network = progress.submit(Step("neural", "sparse_mlp", "refit", "networks"))
    progress.submit(Step("ensemble", lane="tables"))
    assert progress.moment().seconds_left is None  # nobody knows how many rows there are
    progress.rows = 1000
    moment = progress.moment()
    assert moment.doing == ("training lightgbm, fold 0", "training sparse mlp, all rows")
    assert moment.seconds_left == pytest.approx(460)
    clock.now += 90
    assert progress.moment().seconds_left == pytest.approx(370)
    progress.finish(trees[0])
    moment = progress.moment()
    assert moment.doing[0] == "training lightgbm, fold 1"
    assert (moment.done, moment.total) == (1, 4)
    assert moment.share == pytest.approx((100 + 90) / 660)
    end = time.strftime("%H:%M", time.localtime(clock.now + 370))
    assert str(moment) == (
        "training lightgbm, fold 1 | training sparse mlp, all rows: 1 of 4 steps, 29 %, about 6 minutes left, "
        f"ends about {end}"
    )
    clock.now += 400  # longer than expected: it never says that nothing is left of a step at work
    assert progress.moment().seconds_left > 60
    progress.finish(trees[1])
    progress.finish(network)
    assert progress.moment().doing == ("stacking",)


def test_a_lane_may_say_more_of_its_step(tmp_path: Path) -> None:
    progress = RunProgress(Forecast(ArtifactStore(tmp_path)), rows=100)
    first = progress.submit(Step("fetch", lane="networks", share=0.5))
    progress.submit(Step("fetch", lane="networks", share=0.5))
    progress.submit(Step("features", lane="tables"))
    progress.say("networks", "images 12/100, 3/s, 0:00:29 left, failures: none")
    assert progress.moment().doing == ("images 12/100, 3/s, 0:00:29 left, failures: none", "building features")
    progress.finish(first)
    assert progress.moment().doing == ("downloading images", "building features")


def test_a_terminal_has_a_live_line_a_log_has_lines_and_quiet_has_none(tmp_path: Path) -> None:
    progress = RunProgress(Forecast(ArtifactStore(tmp_path)), rows=1000)
    progress.submit(Step("features", lane="tables"))
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
