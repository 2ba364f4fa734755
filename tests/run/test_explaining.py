"""Why a price: a run's models explained, against what the products were made of."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.ensemble.calibration import Calibration
from pricing.ensemble.decision import Decision
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.stack import Ensemble
from pricing.errors import ArtifactError
from pricing.explain.background import MOST_ROWS, Background
from pricing.explain.items import AMOUNT, BRAND, COMPARABLES, FINISH, LINEAR, TEXT, TITLE
from pricing.members.contract import Contributions
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.lightgbm import LightGBM, LightGBMSettings
from pricing.members.ridge import Ridge, RidgeSettings
from pricing.members.sparse_mlp import SparseMLPMember, SparseMLPSettings
from pricing.run import model as run_model
from pricing.run.explaining import Explainer
from pricing.run.model import RunModel
from tests.features.conftest import BRANDS, make_products
from tests.run.small_run import MEMBERS, SmallRun


@pytest.fixture
def model(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> RunModel:
    monkeypatch.setattr(run_model, "member_classes", lambda: MEMBERS)
    return RunModel.load(outputs / "model", threads=1)


def check_sums(table: pl.DataFrame, price: np.ndarray) -> None:
    """Contributions of each product add up before any rounding, in log price and in money."""
    by_product = table.group_by("sample_id", maintain_order=True).agg(
        pl.col("log_contribution", "money").sum(), pl.col("price", "base").first()
    )
    assert by_product["price"].to_numpy() == pytest.approx(price, rel=1e-12)
    log, money, whole, base = (by_product[name].to_numpy() for name in ("log_contribution", "money", "price", "base"))
    assert np.abs(log - np.log(whole / base)).max() < 1e-6
    assert money == pytest.approx(whole - base, abs=1e-6)
    assert table["percent"].to_numpy() == pytest.approx(100 * np.expm1(table["log_contribution"].to_numpy()))


def test_contributions_of_a_whole_stack_add_up(small_run: SmallRun, model: RunModel) -> None:
    table = Explainer(model).explain(small_run.frame)
    check_sums(table, model.predict(small_run.frame).price)
    assert table["sample_id"].unique(maintain_order=True).equals(small_run.frame["sample_id"])
    assert LINEAR not in table["item"]
    for _, rows in table.group_by("sample_id"):
        assert (np.diff(np.abs(rows["log_contribution"].to_numpy())) <= 0).all()


def test_a_row_is_explained_as_it_is_among_others(small_run: SmallRun, model: RunModel) -> None:
    explainer = Explainer(model)
    alone = explainer.explain(small_run.frame[3]).sort("item")
    among = explainer.explain(small_run.frame).filter(pl.col("sample_id") == small_run.frame["sample_id"][3])
    together = alone.join(among, on="item", how="full", coalesce=True)
    difference = together["log_contribution"].fill_null(0) - together["log_contribution_right"].fill_null(0)
    assert np.abs(difference.to_numpy()).max() < 1e-9


def test_what_calibration_adds_is_an_item_of_its_own(small_run: SmallRun, model: RunModel) -> None:
    moved = replace(model, ensemble=replace(
        model.ensemble, calibration=Calibration("affine", offset=0.25), decision=Decision(), bounds=(-50.0, 50.0)
    ))  # fmt: skip
    table = Explainer(moved).explain(small_run.frame)
    check_sums(table, moved.predict(small_run.frame).price)
    finish = table.filter(pl.col("item") == FINISH)["log_contribution"].to_numpy()
    assert finish == pytest.approx(np.full(small_run.frame.height, 0.25))


def test_the_share_that_is_exact_is_that_of_the_members_that_can_tell(small_run: SmallRun, model: RunModel) -> None:
    """The ridge can, the made-up member cannot."""
    mean = LinearModel(0.0, np.array([0.7 if name == "ridge" else 0.3 for name in model.ensemble.members]))
    stack = replace(model.ensemble, learners={"mean": mean}, weights={"mean": 1.0})
    table = Explainer(replace(model, ensemble=stack)).explain(small_run.frame[:2])
    assert table["exact"].to_list() == pytest.approx([0.7] * table.height)


def test_words_of_an_item_add_up_to_it(small_run: SmallRun, model: RunModel) -> None:
    table = Explainer(model).explain(small_run.frame)
    named = table.filter(pl.col("words").list.len() > 0)
    assert set(named["item"]) <= {TITLE, TEXT}
    assert not named.is_empty()
    for item in named.iter_rows(named=True):
        assert sum(word["log_contribution"] for word in item["words"]) == pytest.approx(item["log_contribution"])
        assert sum(word["money"] for word in item["words"]) == pytest.approx(item["money"])
        assert item["words"][-1]["word"] == "other words"
        assert len(item["words"]) <= 4


class Counting(Ridge):
    """Each word of the text is worth 0.1."""

    def predict(self, rows: Rows) -> np.ndarray:
        return np.array([0.1 * len(re.findall(r"[a-z]+", text.lower())) for text in rows.frame["catalog_content"]])

    def contributions(self, rows: Rows) -> None:  # type: ignore[override]
        return None


def test_words_are_worth_what_the_models_say_without_them(small_run: SmallRun, model: RunModel) -> None:
    """The linear model chooses them; it has no weight in this stack, and once they were said to add nothing."""
    alone = Ensemble(
        ("ridge",), {"mean": LinearModel(0.0, np.ones(1))}, {"mean": 1.0}, Calibration(), Decision(), (-9.0, 9.0),
        model.ensemble.intervals,
    )  # fmt: skip
    counting = {"ridge": {"fold_0": Counting(RidgeSettings())}}
    one = replace(model, members=counting, ensemble=alone, price_features={"fold_0": model.price_features["fold_0"]})
    table = Explainer(one).explain(small_run.frame[:8])
    texts = dict(small_run.frame.select("sample_id", "catalog_content").iter_rows())
    named = 0
    for row in table.filter(pl.col("words").list.len() > 0).iter_rows(named=True):
        text = re.findall("[a-z]+", texts[row["sample_id"]].lower())
        *words, other = row["words"]
        assert other["word"] == "other words"
        for word in words:
            parts = word["word"].split(" ")
            times = sum(text[start : start + len(parts)] == parts for start in range(len(text)))
            assert word["log_contribution"] == pytest.approx(0.1 * len(parts) * times)
            assert not {"the", "of", "item", "name"} & set(parts)
            named += 1
    assert named > 8


class Narrow(LightGBM):
    """Reads brand, quantities, claims and the brands' prices alone: the rest says in other words what these do."""

    def predict(self, rows: Rows) -> np.ndarray:
        return super().predict(narrowed(rows))

    def contributions(self, rows: Rows) -> Contributions:
        return super().contributions(narrowed(rows))


def narrowed(rows: Rows) -> Rows:
    kept = set(rows.of_family("brand", "quantity", "keywords", "means"))
    tabular = rows.features.tabular.select(name for name in rows.features.tabular.columns if name in kept)
    price = rows.price.select(name for name in rows.price.columns if name in kept)
    return replace(rows, features=replace(rows.features, tabular=tabular), price=price)


def test_trees_on_products_of_known_making(model: RunModel) -> None:
    """Prices are the product of brand and amount, with little noise, and LightGBM is all of the stack."""
    known, new = make_products(400, seed=1), make_products(60, seed=2)
    rows = model.read(known.frame, model.engineer.transform(known.frame), None)["fold_0"]
    labelled = replace(rows, frame=known.frame.with_columns(log_price=pl.Series(known.log_price)))
    fold = FoldRows(None, FoldInputs(Path(), Path(), Path()), {"train": narrowed(labelled)})
    member = Narrow(LightGBMSettings(num_leaves=15, learning_rate=0.1, min_data_in_leaf=5)).fit(fold, rounds=150)
    alone = Ensemble(
        ("lightgbm",), {"mean": LinearModel(0.0, np.ones(1))}, {"mean": 1.0}, Calibration(), Decision(), (-9.0, 9.0),
        model.ensemble.intervals,
    )  # fmt: skip
    trees = replace(model, members={"lightgbm": {"fold_0": member}}, ensemble=alone)
    table = Explainer(trees).explain(new.frame)
    assert table["exact"].unique().to_list() == [1.0]
    wide = table.pivot("item", index="sample_id", values="log_contribution").fill_null(0.0)
    titles = new.frame["catalog_content"].str.extract("Item Name: ([^\n]*)")
    worth = np.array([next(value for name, value in BRANDS.items() if title.startswith(name)) for title in titles])
    amount = np.log(new.frame["catalog_content"].str.extract(r"Value: (\d+)").cast(pl.Float64).to_numpy())
    brand = wide[BRAND].to_numpy()
    assert np.corrcoef(brand, worth)[0, 1] > 0.95
    assert np.corrcoef(wide[AMOUNT].to_numpy(), amount)[0, 1] > 0.95
    # the base is the mean log price, and a brand is worth what it was made to be, seen from there
    assert np.log(table["base"][0]) == pytest.approx(known.log_price.mean(), abs=0.05)
    # in order: a brand that is worth more adds more
    order = sorted(BRANDS, key=lambda name: BRANDS[name])
    means = [brand[titles.str.starts_with(name).to_numpy()].mean() for name in order]
    assert (np.diff(means) > 0).all()
    assert means[-1] - means[0] == pytest.approx(BRANDS[order[-1]] - BRANDS[order[0]], rel=0.25)
    # and in sign, where the truth is far from the mean
    far = np.abs(worth - worth.mean()) > 0.3
    assert (np.sign(brand[far]) == np.sign((worth - worth.mean())[far])).all()


def test_networks_are_explained_exactly(small_run: SmallRun, model: RunModel) -> None:
    """The networks read words and numbers; what they learnt of brands and amounts shows in the direction at least."""
    known, new = make_products(400, seed=1), make_products(60, seed=2)
    rows = model.read(known.frame, model.engineer.transform(known.frame), None)["fold_0"]
    labelled = replace(rows, frame=known.frame.with_columns(log_price=pl.Series(known.log_price)))
    fold = FoldRows(None, FoldInputs(Path(), Path(), Path()), {"train": replace(labelled, price=pl.DataFrame())})
    member = SparseMLPMember(SparseMLPSettings(hidden=(16,), batch_size=16, seeds=1)).fit(fold, rounds=6)
    alone = Ensemble(
        ("sparse_mlp",), {"mean": LinearModel(0.0, np.ones(1))}, {"mean": 1.0}, Calibration(), Decision(), (-9.0, 9.0),
        model.ensemble.intervals,
    )  # fmt: skip
    networks = replace(model, members={"sparse_mlp": {"fold_0": member}}, ensemble=alone)
    table = Explainer(networks).explain(new.frame)
    read = networks.read(new.frame, model.engineer.transform(new.frame), None)["fold_0"]
    check_sums(table, np.exp(member.predict(replace(read, price=pl.DataFrame()))))
    assert table["exact"].unique().to_list() == [1.0]
    wide = table.pivot("item", index="sample_id", values="log_contribution").fill_null(0.0)
    amount = np.log(new.frame["catalog_content"].str.extract(r"Value: (\d+)").cast(pl.Float64).to_numpy())
    assert np.corrcoef(wide[AMOUNT].to_numpy(), amount)[0, 1] > 0.7
    # it reads no comparables, and nothing is said of them
    assert COMPARABLES not in wide.columns


def test_explanations_start_from_training_rows_alone(small_run: SmallRun, outputs: Path) -> None:
    background = Background.load(outputs / "model" / "background")
    folds = pl.read_parquet(small_run.inputs["folds"] / "folds.parquet")
    training = folds.filter(pl.col("part") == "train")["sample_id"]
    assert background.frame["sample_id"].is_in(training.implode()).all()
    assert background.features.ids.equals(background.frame["sample_id"])
    assert background.frame.height == min(len(training), MOST_ROWS)
    assert "price" not in background.frame.columns


def test_a_model_that_kept_no_rows_is_told_to_run_again(model: RunModel, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"background.*train again"):
        Explainer(replace(model, background=tmp_path / "background"))
