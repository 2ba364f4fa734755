"""A run's models: read once, they price new products as the run did."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pricing.download.images import Images
from pricing.errors import ArtifactError, InputError, SchemaError
from pricing.metrics.rounding import round_prices
from pricing.run import model as run_model
from pricing.run.model import RunModel
from pricing.run_progress import RunProgress
from tests.features.conftest import make_products
from tests.run.fake_member import Shifted
from tests.run.small_run import MEMBERS, SmallRun


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_model, "member_classes", lambda: MEMBERS)


@pytest.fixture
def model(outputs: Path, members: None) -> RunModel:
    return RunModel.load(outputs / "model", threads=1)


def images_of(small_run: SmallRun) -> Images:
    return Images(pl.read_parquet(small_run.inputs["images"] / "images.parquet"), small_run.inputs["image_folder"])


def test_prices_are_those_of_the_submission_to_the_last_bit(
    small_run: SmallRun, outputs: Path, model: RunModel
) -> None:
    scored = model.predict(small_run.frame, images_of(small_run))
    stack = pl.read_parquet(small_run.inputs["ensemble"] / "test.parquet")
    assert np.array_equal(scored.price, np.exp(stack["stack"].to_numpy()))
    strange = scored.trust["reason"].str.starts_with("unlike anything learnt").to_numpy()
    assert strange.mean() < 0.25
    for name, values in scored.intervals.items():
        assert np.array_equal(values[~strange], np.exp(stack[name].to_numpy())[~strange]), name
    assert list(scored.intervals) == ["low_80", "high_80", "low_95", "high_95"]
    written = pl.read_csv(outputs / "submission.csv", infer_schema=False)["predicted_price"]
    assert round_prices(scored.price, scored.decimals).cast(pl.String).to_list() == written.to_list()
    assert scored.comparables is None


def test_one_row_alone_has_the_price_that_it_has_among_others(small_run: SmallRun, model: RunModel) -> None:
    together = model.predict(small_run.frame)
    for at in (0, 21):
        assert model.predict(small_run.frame[at]).price[0] == together.price[at]


def test_one_row_alone_has_the_trust_that_it_has_among_others(small_run: SmallRun, model: RunModel) -> None:
    together = model.predict(small_run.frame)
    width = np.log(together.intervals["high_80"] / together.intervals["low_80"])
    similar = model.comparables(small_run.frame, 1)["similarity"].to_numpy()
    # of one space the nearest comparable is the one that is listed
    if len(model.engineer.config.spaces) == 1:
        assert together.trust["trust"].to_list() == model.trust.levels(width, similar).tolist()
    for at in range(0, len(small_run.frame), 7):
        assert model.predict(small_run.frame[at]).trust.row(0) == together.trust.row(at)


def test_a_product_unlike_anything_learnt_is_not_priced_without_a_word(small_run: SmallRun, model: RunModel) -> None:
    """A MacBook in a model of groceries was priced 3.71 (2.65 to 5.03), and an empty text as surely."""
    texts = ["Item Name: Apple MacBook Pro laptop computer with retina display", "", "👍"]
    frame = pl.DataFrame({"sample_id": ["m", "e", "t"], "catalog_content": texts, "image_link": ""})
    scored = model.predict(frame, drift=True)
    assert scored.trust["trust"].to_list() == ["low"] * 3
    assert scored.trust["reason"].str.starts_with("unlike anything learnt: ").all()
    assert scored.drift is not None
    assert scored.drift["unlike"] == 1
    known = pl.read_parquet(small_run.inputs["catalogue"] / "labelled.parquet")["price"].to_numpy()[:90]
    middle = np.quantile(known, [0.15, 0.85])
    assert (scored.intervals["low_80"] < middle[0]).all()
    assert (scored.intervals["high_80"] > middle[1]).all()
    assert (scored.intervals["low_95"] <= scored.intervals["low_80"]).all()


def test_drift_is_told_where_it_is_asked_for(small_run: SmallRun, model: RunModel) -> None:
    assert model.predict(small_run.frame).drift is None
    others = make_products(200).frame.tail(80).with_columns(image_link=pl.lit(""))
    drift = model.predict(others, images_of(small_run), drift=True).drift
    assert drift is not None
    assert drift["rows"] == 80
    assert {row["level"] for row in drift["features"]} == {"stable"}
    assert sum(found["share"] for found in drift["trust"].values()) == pytest.approx(1)
    assert 0 <= drift["nearest"]["mean"] <= 1
    assert drift["unseen"]["brand"]["holdout"] is not None


def test_a_second_call_reads_no_file(small_run: SmallRun, model: RunModel) -> None:
    """Models are read once: a service answers in milliseconds, and the folder may be gone by then."""
    images, opened, watching = images_of(small_run), [], False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("open", "os.listdir", "os.scandir"):
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    first = model.predict(small_run.frame, images, comparables=2)
    watching = True
    second = model.predict(small_run.frame, images, comparables=2)
    watching = False
    # in /proc the libraries are found whose threads are held to one
    assert set(opened) <= {"/proc/self/maps", "b'/proc/self/maps'"}
    assert np.array_equal(first.price, second.price)


def test_new_rows_are_encoded_once_per_member(small_run: SmallRun, model: RunModel) -> None:
    before = Shifted.encoded
    model.predict(small_run.frame)
    assert Shifted.encoded == before + 1


def test_images_count(small_run: SmallRun, model: RunModel) -> None:
    assert (model.predict(small_run.frame, images_of(small_run)).price > model.predict(small_run.frame).price).all()


def test_comparables_are_the_runs_labelled_products(small_run: SmallRun, model: RunModel) -> None:
    found = model.predict(small_run.frame, comparables=3).comparables
    assert found is not None
    assert found["sample_id"].unique(maintain_order=True).to_list() == small_run.frame["sample_id"].to_list()
    assert found.group_by("sample_id").len()["len"].max() == 3
    assert set(found["comparable"]) <= {f"p{number}" for number in range(110)}
    # the refit knows the prices of all of them, the hold-out's too
    assert any(int(sample_id[1:]) >= 90 for sample_id in found["comparable"])
    assert model.comparables(small_run.frame, 3).equals(found)
    for fitted in model.price_features.values():
        fitted.spaces = []
    with pytest.raises(SchemaError, match="compared no products"):
        model.comparables(small_run.frame, 3)


def test_every_step_is_told(small_run: SmallRun, model: RunModel) -> None:
    progress = RunProgress()
    model.predict(small_run.frame, progress=progress)
    moment = progress.moment()
    assert moment.done == moment.total == 1 + 4 + 2 * 4
    assert progress._steps[-1].step.words == "pricing with shifted, all rows"


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        ({"format": 2, "members": {}, "threads": {}}, ArtifactError,
         r"model\.json: format 2, this version reads 5; train again with `pricing run`[^\n]*$"),
        ({"members": {}, "threads": {}}, InputError, "is no model folder"),
        ([], InputError, "is no model folder"),
        ({"format": 5, "members": {"oracle": ["fold_0"]}, "price_features": [], "decimals": 2}, ArtifactError,
         "has a member 'oracle', this version has ridge, shifted; train again"),
    ],
)  # fmt: skip
def test_models_of_another_format_are_refused(
    outputs: Path, members: None, tmp_path: Path, record: Any, error: type[Exception], words: str
) -> None:
    """A model laid out differently must not be read as if it were not."""
    folder = Path(shutil.copytree(outputs / "model", tmp_path / "model"))
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(error, match=words):
        RunModel.load(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no model folder"):
        RunModel.load(tmp_path)
