"""The one object, over a run in miniature: what it takes, what it gives, and that it is there at once."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import pricing
from pricing import ConfigError, InputError, Pricer
from pricing.config.columns import ColumnsConfig
from pricing.configuration import PricingConfig
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, CatalogueError
from pricing.plan import local_runner
from pricing.run import model as run_model
from pricing.run.finish import finish_run
from pricing.run.model import RunModel
from pricing.run.price_audit import audit_run
from tests.run.small_run import MEMBERS, SmallRun

OFF = {"images.enabled": False}


@dataclass
class FakePlan:
    """As `pricing.plan.results.FinishedPlan`: the small run's outputs, and what was asked for."""

    outputs: Path
    config: PricingConfig
    asked: dict[str, Any] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        labels = [("gbdt", "gbdt shifted-0", 2.0), ("gbdt", "gbdt shifted-refit", 3.5), ("ensemble", "ensemble", 4.0),
                  ("folds", "folds", 9.0)]  # fmt: skip
        return [{"name": name, "label": label, "seconds": seconds} for name, label, seconds in labels]

    def finish(self, output: Path) -> dict[str, Any]:
        return finish_run(self.outputs, output, self.config, {"stages": self.records()}, {"trees": 1})


@pytest.fixture
def plans(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakePlan]:
    """The plans that were run."""
    done: list[FakePlan] = []

    def run_locally(
        train: Path, test: Path | None, config: PricingConfig, source: ImageSource, **more: Any
    ) -> FakePlan:
        done.append(FakePlan(outputs, config, {"train": train, "test": test, "source": source, **more}))
        return done[-1]

    monkeypatch.setattr(local_runner, "run_locally", run_locally)
    monkeypatch.setattr(run_model, "member_classes", lambda: MEMBERS)
    return done


@pytest.fixture
def fitted(plans: list[FakePlan], tmp_path: Path) -> Pricer:
    return Pricer("demo", OFF, artifacts=tmp_path / "artifacts").fit("train.csv", test="test.csv")


def test_importing_pricing_is_instant() -> None:
    """And imports nothing heavy: a script that only reads settings needs neither torch nor a server."""
    code = (
        "import sys, time; began = time.perf_counter(); import pricing; spent = time.perf_counter() - began\n"
        "heavy = {'torch', 'prefect', 'lightgbm', 'polars', 'numpy', 'pydantic'} & {*sys.modules}\n"
        "print(spent, len(heavy), all(hasattr(pricing, name) for name in pricing.__all__), len(dir(pricing)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, rest = done.stdout.strip().split(" ", 1)
    assert float(spent) < 0.2
    assert rest == f"0 True {len(pricing.__all__)}"
    with pytest.raises(AttributeError, match="no attribute 'Prizer'"):
        _ = pricing.Prizer


def test_settings_are_laid_over_a_preset(tmp_path: Path) -> None:
    pricer = Pricer("demo", {"members.lightgbm.rounds": 7, "folds": {"n_splits": 4}}, artifacts=tmp_path)
    assert (pricer.config.members.lightgbm.rounds, pricer.config.folds.n_splits) == (7, 4)
    assert pricer.config.paths.artifacts == tmp_path
    assert Pricer(settings={"paths": {"artifacts": "elsewhere"}}).config.paths.artifacts == Path("elsewhere")
    preset = tmp_path / "mine.toml"
    preset.write_text("seed = 3")
    assert Pricer(str(preset)).config.seed == 3
    with pytest.raises(ConfigError, match="seeed: unknown key; did you mean seed"):
        Pricer(settings={"seeed": 1})


def test_columns_are_a_dict_roles_or_a_file(tmp_path: Path) -> None:
    named = {"id": "sku", "title": "title", "category": ["brand"], "amount": {"net.weight": "kg"}}
    roles = ColumnsConfig.model_validate(named)
    file = tmp_path / "columns.toml"
    text = 'id = "sku"\ntitle = "title"\ncategory = ["brand"]\namount = {"net.weight" = "kg"}\n'
    file.write_text(text)
    below = tmp_path / "below.toml"
    below.write_text(f"[catalogue.columns]\n{text}")
    for given in (named, roles, file, str(file), below):
        assert Pricer(columns=given).config.catalogue.columns == roles
    settings = {"catalogue.columns": {"id": "asin", "text": ["about"], "group": "family"}}
    assert Pricer(settings=settings, columns=named).config.catalogue.columns == roles, "columns wins"
    assert Pricer(settings=settings).config.catalogue.roles.id == "asin"
    assert Pricer().config.catalogue.roles.id == "sample_id"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": "sku", "titel": "t"}, "columns: titel: unknown key; did you mean title"),
        ({"title": "t"}, 'columns: id: no column is named; write id = "NAME"'),
        ({"id": "sku", "title": "t", "amount": {"weight": "stones"}}, "column 'weight' has the unit 'stones'.* kg, "),
        ("absent.toml", r"absent\.toml: cannot be read"),
        ("broken.toml", r"broken\.toml: is not valid TOML"),
        ("odd.toml", r"odd\.toml: .*column 'sku' is the id and text too"),
    ],
)
def test_roles_that_cannot_be_are_refused_at_once(columns: Any, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("id = sku")
    Path("odd.toml").write_text('id = "sku"\ntext = ["sku"]')
    with pytest.raises(ConfigError, match=said):
        Pricer(columns=columns)


def test_fit_takes_paths_and_tables(plans: list[FakePlan], small_run: SmallRun, tmp_path: Path) -> None:
    pricer = Pricer("demo", OFF, artifacts=tmp_path / "artifacts")
    images = tmp_path / "images"
    images.mkdir()
    assert pricer.fit("train.csv", images=images, floor={"smape": 1.0}) is pricer
    asked = plans[0].asked
    assert (asked["train"], asked["test"], asked["floor"]) == (Path("train.csv"), None, {"smape": 1.0})
    assert asked["source"] == ImageSource.folder(images)
    frame = small_run.frame
    pricer.fit(frame, test=frame.to_arrow(), images="http://127.0.0.1:1")
    pricer.fit(frame.to_pandas())
    files = {plans[1].asked["train"], plans[1].asked["test"], plans[2].asked["train"]}
    assert len(files) == 1, "equal tables are one file, whatever library they are of"
    assert files.pop().is_relative_to(tmp_path / "artifacts" / "work")
    assert plans[1].asked["source"].kind == "mirror"
    with pytest.raises(CatalogueError, match="a catalogue is a path, or a polars"):
        pricer.fit({"sample_id": ["a"]})


def test_nothing_is_priced_before_it_learned(tmp_path: Path, small_run: SmallRun) -> None:
    pricer = Pricer("demo", OFF)
    for ask in (pricer.leaderboard, lambda: pricer.predict(small_run.frame), lambda: pricer.save(tmp_path / "model")):
        with pytest.raises(InputError, match="has learned nothing yet; call fit"):
            ask()
    with pytest.raises(InputError, match="not fitted here"):
        pricer.write(tmp_path / "out")


def test_the_leaderboard(fitted: Pricer, outputs: Path) -> None:
    metrics = json.loads((outputs / "metrics.json").read_text())
    board = fitted.leaderboard()
    assert board.columns == ["model", "oof_smape", "holdout_smape", "holdout_low", "holdout_high", "seconds"]
    assert board["model"].to_list()[2:] == ["mean", "stack"]
    assert board["oof_smape"][:2].is_sorted()
    rows = {row["model"]: row for row in board.iter_rows(named=True)}
    for name in ("ridge", "shifted"):
        assert rows[name]["oof_smape"] == metrics["models"][name]["oof_smape"]
        assert rows[name]["holdout_smape"] == metrics["models"][name]["holdout_smape"]
        assert rows[name]["holdout_low"] is None
    stack = rows["stack"]
    assert stack["oof_smape"] == metrics["stack"]["oof_smape"]
    assert (stack["holdout_smape"], stack["holdout_low"], stack["holdout_high"]) == tuple(
        metrics["holdout"][name] for name in ("smape", "smape_low", "smape_high")
    )
    assert (rows["shifted"]["seconds"], rows["stack"]["seconds"], rows["mean"]["seconds"]) == (5.5, 4.0, None)


def test_predict_gives_unrounded_prices_under_the_catalogues_ids(fitted: Pricer, small_run: SmallRun) -> None:
    found = fitted.predict(small_run.frame, intervals=True)
    assert found.columns == ["sample_id", "price", "low_80", "high_80", "low_95", "high_95"]
    assert found["sample_id"].equals(small_run.frame["sample_id"])
    expected = RunModel.load(fitted._place() / "model", 1).predict(small_run.frame)
    assert np.array_equal(found["price"].to_numpy(), expected.price)
    assert np.array_equal(found["low_95"].to_numpy(), expected.intervals["low_95"])
    plain = fitted.predict(small_run.frame.to_pandas())
    assert plain.equals(found.select("sample_id", "price"))


def test_trust_and_drift(fitted: Pricer, small_run: SmallRun) -> None:
    found = fitted.predict(small_run.frame, trust=True)
    assert found.columns == ["sample_id", "price", "trust", "reason"]
    assert set(found["trust"]) <= {"high", "fair", "low"}
    assert found["reason"].str.len_chars().min() > 0
    drift = fitted.drift(small_run.frame)
    assert drift["rows"] == small_run.frame.height
    assert drift["trust"]["high"]["share"] == (found["trust"] == "high").mean()


def test_the_audit_is_that_of_the_run(fitted: Pricer, outputs: Path) -> None:
    found = fitted.audit()
    assert found.equals(audit_run(outputs))
    assert found.height == len(pl.read_parquet(outputs / "evaluation" / "products.parquet"))


def test_models_are_read_once(fitted: Pricer, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted.predict(small_run.frame)
    monkeypatch.setattr(RunModel, "load", None)
    assert fitted.predict(small_run.frame).equals(first)


def test_comparables(fitted: Pricer, small_run: SmallRun) -> None:
    found = fitted.comparables(small_run.frame.head(3), k=2)
    assert found["sample_id"].to_list() == [name for name in small_run.frame["sample_id"][:3] for _ in range(2)]
    assert found["price"].is_not_null().all()


def test_saved_and_loaded_it_prices_alike(fitted: Pricer, small_run: SmallRun, tmp_path: Path) -> None:
    before = fitted.predict(small_run.frame, intervals=True)
    fitted.save(tmp_path / "model")
    fitted.save(tmp_path / "model")  # over itself, as a second training does
    loaded = Pricer.load(tmp_path / "model", OFF)
    assert loaded.predict(small_run.frame, intervals=True).equals(before)
    loaded.save(tmp_path / "model")
    loaded.save(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "config.json").read_text()) == fitted.config.model_dump(mode="json")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {
        path.name for path in (tmp_path / "model").iterdir()
    }
    with pytest.raises(InputError, match="figures need a run's output folder"):
        loaded.leaderboard()
    (tmp_path / "mine" / "members").mkdir(parents=True)
    with pytest.raises(InputError, match="nothing was touched"):
        fitted.save(tmp_path / "mine")


def test_a_written_run_is_whole_and_can_be_loaded(fitted: Pricer, small_run: SmallRun, tmp_path: Path) -> None:
    fitted.write(tmp_path / "out")
    assert {"run.json", "report.html", "submission.csv", "metrics.json", "model", "plots", "evaluation"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    loaded = Pricer.load(tmp_path / "out")
    assert loaded.leaderboard().equals(fitted.leaderboard())
    assert loaded.predict(small_run.frame).equals(fitted.predict(small_run.frame))
    with pytest.raises(InputError, match="not fitted here"):
        loaded.write(tmp_path / "again")


def test_a_model_from_anywhere_opens_no_host_and_keeps_the_header(plans: list[FakePlan], tmp_path: Path) -> None:
    """Its hosts were allowed in another network than the user's."""
    settings = {
        "images": {"allow_hosts": ["10.0.0.1"], "proxy": "http://proxy.example.com:3128", "side": 99},
        "catalogue.on_bad_rows": "quarantine", "submission": {"price_column": "price", "intervals": True},
        "resources.cores": 7,
    }  # fmt: skip
    Pricer("demo", settings, artifacts=tmp_path / "a").fit("train.csv").save(tmp_path / "model")
    config = Pricer.load(tmp_path / "model", artifacts=tmp_path / "b").config
    assert (config.images.allow_hosts, config.images.proxy, config.images.side) == ((), None, 99)
    assert (config.submission.price_column, config.submission.intervals) == ("price", False)
    assert (config.catalogue.on_bad_rows, config.resources.cores) == ("refuse", None)
    assert config.paths.artifacts == tmp_path / "b"
    asked = {"images.allow_hosts": ["127.0.0.1"], "submission.price_column": "p"}
    config = Pricer.load(tmp_path / "model", asked).config
    assert (config.images.allow_hosts, config.submission.price_column) == (("127.0.0.1",), "p")
    with pytest.raises(ConfigError, match=r"submission\.price_column: "):
        Pricer.load(tmp_path / "model", {"submission.price_column": "low_80"})


def test_what_is_no_model_is_refused_before_anything_is_read(fitted: Pricer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no model folder"):
        Pricer.load(tmp_path)
    fitted.save(tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(InputError, match="is no model folder"):
        Pricer.load(tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text('{"format": 2, "members": {}, "threads": {}}')
    with pytest.raises(ArtifactError, match="train again"):
        Pricer.load(tmp_path / "model")


def test_a_file_is_priced_as_the_run_priced_it(
    fitted: Pricer, small_run: SmallRun, outputs: Path, tmp_path: Path
) -> None:
    small_run.frame.write_csv(tmp_path / "new.csv")
    scored = fitted.price_file(tmp_path / "new.csv", tmp_path / "prices.csv", comparables=2, explain=True)
    written = pl.read_csv(tmp_path / "prices.csv")
    assert written["sample_id"].equals(small_run.frame["sample_id"])
    assert written["predicted_price"].to_numpy() == pytest.approx(
        fitted.predict(small_run.frame)["price"].to_numpy(), rel=0.01
    )
    assert scored.comparables is not None
    assert scored.comparables.exists()
    explained = pl.read_csv(tmp_path / "prices_explained.csv")
    assert scored.explained == tmp_path / "prices_explained.csv"
    assert explained["sample_id"].unique(maintain_order=True).equals(small_run.frame["sample_id"])
    assert explained.columns[:5] == ["sample_id", "item", "log_contribution", "percent", "money"]
    added = explained.group_by("sample_id", maintain_order=True).agg(pl.col("money").sum())["money"].to_numpy()
    prices = explained.unique("sample_id", maintain_order=True)
    assert added == pytest.approx((prices["price"] - prices["base"]).to_numpy(), abs=0.02)


def test_explanations_are_of_the_prices_that_it_predicts(
    fitted: Pricer, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained = fitted.explain(small_run.frame).unique("sample_id", maintain_order=True)
    assert explained["price"].equals(fitted.predict(small_run.frame)["price"])
    # what does not depend on the products is read once
    monkeypatch.setattr("pricing.explain.background.read_table", None)
    assert fitted.explain(small_run.frame[:1])["sample_id"].unique().to_list() == [small_run.frame["sample_id"][0]]


def test_a_loaded_model_prices_a_table_with_other_names(fitted: Pricer, small_run: SmallRun, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    names = {"id": "asin", "text": ["about"], "image": ["photo"]}
    loaded = Pricer.load(tmp_path / "model", OFF, columns=names)
    other = small_run.frame.select(asin="sample_id", about="catalog_content", photo="image_link")
    expected = fitted.predict(small_run.frame)
    assert loaded.predict(other).equals(expected)
    other.write_csv(tmp_path / "other.csv")
    loaded.price_file(tmp_path / "other.csv", tmp_path / "prices.csv")
    assert pl.read_csv(tmp_path / "prices.csv")["sample_id"].equals(expected["sample_id"])
    with pytest.raises(CatalogueError, match="missing columns asin, about"):
        loaded.predict(small_run.frame)
    with pytest.raises(ConfigError, match="category names brand, and the model was trained with none"):
        Pricer.load(tmp_path / "model", columns={**names, "category": ["brand"]})


def test_images_are_looked_at_where_the_models_read_them(
    plans: list[FakePlan], small_run: SmallRun, tmp_path: Path
) -> None:
    pricer = Pricer("demo", artifacts=tmp_path / "artifacts").fit("train.csv")
    assert pricer.reads_images
    folder = tmp_path / "images"
    folder.mkdir()
    for sample_id in ("p111", "p113"):
        shutil.copy(small_run.inputs["image_folder"] / "aa" / f"{sample_id}.jpg", folder)
    with_images = pricer.predict(small_run.frame, images=folder)
    without = Pricer("demo", OFF).fit("train.csv").predict(small_run.frame)
    assert (with_images["price"] != without["price"]).all()
