"""Near-duplicate groups, the hold-out and the folds."""

import time
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.catalogue.assign_folds import assign_folds
from pricing.catalogue.duplicates import duplicate_groups, normalise_title, title_keys
from pricing.catalogue.folds import make_folds, stratified_folds
from pricing.catalogue.ingest import read_catalogue
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig
from pricing.errors import CatalogueError


def catalogue(contents: list[str], links: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sample_id": [str(number) for number in range(len(contents))],
            "catalog_content": contents,
            "image_link": pl.Series(links or [None] * len(contents), dtype=pl.String),
        }
    )


@pytest.mark.parametrize(
    "title",
    [
        "Taco Sauce Mild, 12 Ounce (Pack of 6)",
        "TACO SAUCE - mild 340g x 2",
        "Taco Sauce Mild 3-Pack, 1.5 lb. each",
        "taco sauce (mild) 16.9 Fl. Oz, 12 Count",
    ],
)
def test_quantities_case_and_punctuation_do_not_tell_titles_apart(title: str) -> None:
    assert pl.DataFrame({"t": [title]}).select(normalise_title(pl.col("t"))).item() == "taco sauce mild"


def test_titles_that_say_nothing_merge_nothing() -> None:
    """12 oz, 6 pack and an empty text all normalise to nothing; they are still different products."""
    frame = catalogue(["Item Name: 12 oz\nValue: 1", "Item Name: 6 pack\nValue: 2", "", "", "Item Name: Tea\nValue: 3"])
    assert duplicate_groups(frame).n_unique() == 5


def test_the_same_short_text_is_still_a_duplicate() -> None:
    groups = duplicate_groups(catalogue(["Item Name: Tea\nBullet: x", "Item Name: TEA \n Bullet: x"]))
    assert groups[0] == groups[1]


def test_groups_chain_through_links_and_titles() -> None:
    frame = catalogue(
        [
            "Item Name: red pepper 1 oz",
            "Item Name: red pepper 2 oz",
            "Item Name: green pepper",
            "Item Name: white rice",
        ],
        [None, "http://x.invalid/1", "http://x.invalid/1", "http://x.invalid/2"],
    )
    groups = duplicate_groups(frame).to_list()
    assert len(set(groups[:3])) == 1
    assert groups[3] not in groups[:3]


def test_a_placeholder_image_joins_nothing() -> None:
    words = ["apple", "banana", "cherry", "damson", "elder", "feijoa", "grape", "hazel", "iris", "juniper"]
    frame = catalogue([f"Item Name: {word} spread" for word in words], ["http://x.invalid/none.jpg"] * 10)
    assert duplicate_groups(frame, max_titles_per_link=9).n_unique() == 10
    assert duplicate_groups(frame, max_titles_per_link=10).n_unique() == 1


rows = st.lists(
    st.tuples(st.sampled_from(["red tea", "green tea", "black rice", "white rice", "tea", ""]),
              st.sampled_from([None, "a", "b", "c"]), st.integers(1, 3)),
    min_size=1, max_size=12,
)  # fmt: skip


@given(rows, st.randoms(use_true_random=False))
def test_groups_are_the_components_of_the_duplicate_graph(drawn: list, random) -> None:
    frame = catalogue([f"Item Name: {title}, {size} oz" for title, _, size in drawn], [link for _, link, _ in drawn])
    keys = title_keys(frame["catalog_content"]).to_list()
    graph = nx.Graph()
    graph.add_nodes_from(range(len(drawn)))
    for one in range(len(drawn)):
        for two in range(one):
            same_link = drawn[one][1] is not None and drawn[one][1] == drawn[two][1]
            if same_link or keys[one] == keys[two]:
                graph.add_edge(one, two)
    expected = {frozenset(part) for part in nx.connected_components(graph)}
    groups = duplicate_groups(frame).to_list()
    assert {frozenset(i for i, g in enumerate(groups) if g == name) for name in set(groups)} == expected
    order = random.sample(range(len(drawn)), len(drawn))
    assert duplicate_groups(frame[order]).to_list() == [groups[i] for i in order]


def synthetic(n: int, seed: int = 0) -> tuple[pl.DataFrame, pl.Series]:
    """n rows in groups of 1 to 30, prices alike within a group."""
    rng = np.random.default_rng(seed)
    sizes = np.where(rng.random(n) < 0.9, 1, rng.integers(2, 30, n))
    codes = np.repeat(np.arange(n), sizes)[:n]
    prices = np.exp(2.6 + rng.standard_normal(n)[codes] + 0.2 * rng.standard_normal(n))
    frame = pl.DataFrame({"sample_id": [str(i) for i in range(n)], "price": prices})
    order = rng.permutation(n)
    return frame[order], pl.Series("group", [f"{code:08x}" for code in codes[order]])


def folds_of(
    frame: pl.DataFrame, groups: pl.Series, seed: int = 0, kind: str = "grouped", n_splits: int = 5
) -> pl.DataFrame:
    return make_folds(frame, groups, kind=kind, n_splits=n_splits, bins=10, holdout=0.15, seed=seed)  # type: ignore[arg-type]


def test_no_group_is_split_and_folds_are_even_in_size_and_price() -> None:
    frame, groups = synthetic(4000)
    table = folds_of(frame, groups).with_columns(frame["price"])
    assert table["sample_id"].to_list() == frame["sample_id"].to_list()
    assert table.group_by("group").agg(pl.struct("part", "fold").n_unique().alias("places"))["places"].max() == 1
    learn = table.filter(pl.col("part") == "train")
    sizes = learn["fold"].value_counts()["count"]
    assert sizes.max() - sizes.min() <= 10
    edges = np.quantile(learn["price"], np.linspace(0, 1, 11))
    for fold in range(5):
        share = np.histogram(learn.filter(pl.col("fold") == fold)["price"], edges)[0] / (len(learn) / 5)
        assert np.all(np.abs(share - 0.1) < 0.02)
    assert set(table.filter(pl.col("part") == "holdout")["fold"]) == {-1}


def test_hold_out_is_15_percent_of_the_groups_and_the_same_for_every_seed_and_kind() -> None:
    frame, groups = synthetic(2000)
    first = folds_of(frame, groups, seed=0)
    held = first.filter(pl.col("part") == "holdout")
    assert held["group"].n_unique() == round(0.15 * groups.n_unique())
    for seed, kind, n_splits in [(1, "grouped", 5), (2, "random", 3), (0, "random", 10)]:
        other = folds_of(frame, groups, seed, kind, n_splits)
        assert other["part"].to_list() == first["part"].to_list()
    assert folds_of(frame, groups, 1)["fold"].to_list() != first["fold"].to_list()
    assert folds_of(frame, groups, 0).equals(first)


def test_hold_out_survives_shuffling_and_one_more_product() -> None:
    frame, groups = synthetic(1000)
    held = set(folds_of(frame, groups).filter(pl.col("part") == "holdout")["sample_id"])
    order = np.random.default_rng(1).permutation(1000)
    shuffled = folds_of(frame[order], groups.gather(order))
    assert set(shuffled.filter(pl.col("part") == "holdout")["sample_id"]) == held
    more = pl.concat([frame, pl.DataFrame({"sample_id": ["new"], "price": [5.0]})])
    longer = folds_of(more, pl.concat([groups, pl.Series(["ffff"])]))
    moved = set(longer.filter(pl.col("part") == "holdout")["sample_id"]) ^ held
    assert len(set(groups.filter(frame["sample_id"].is_in(list(moved))))) <= 2


def test_random_folds_split_groups_and_are_exactly_even() -> None:
    frame, groups = synthetic(2000)
    learn = folds_of(frame, groups, kind="random").filter(pl.col("part") == "train")
    assert learn.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() > 1
    sizes = learn["fold"].value_counts()["count"]
    assert sizes.max() - sizes.min() <= 1


def test_one_price_for_all_and_one_giant_group() -> None:
    fold = stratified_folds(np.full(103, 5.0), None, 5, 10, np.random.default_rng(0))
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]
    codes = np.concatenate([np.zeros(60), np.arange(1, 41)])
    fold = stratified_folds(np.arange(1.0, 101.0), codes, 4, 5, np.random.default_rng(0))
    assert len(set(fold[:60])) == 1
    assert np.bincount(fold, minlength=4).min() > 0


def test_too_few_products_for_the_folds() -> None:
    frame, groups = synthetic(4)
    with pytest.raises(CatalogueError, match=r"expected at least 5 .*n_splits lower"):
        folds_of(frame, groups)


def test_real_rows_stay_with_their_duplicates(real_rows: Path, tmp_path: Path) -> None:
    for name in ("catalogue", "folds"):
        (tmp_path / name).mkdir()
    read_catalogue(real_rows / "train.csv", real_rows / "test.csv", CatalogueConfig(), tmp_path / "catalogue")
    assign_folds(tmp_path / "catalogue", FoldsConfig(), HoldoutConfig(), 0, tmp_path / "folds")
    table = pl.read_parquet(tmp_path / "folds" / "folds.parquet")
    frame = pl.read_parquet(tmp_path / "catalogue" / "labelled.parquet")
    assert dict(table.schema) == {"sample_id": pl.String, "group": pl.String, "part": pl.String, "fold": pl.Int8}
    assert table["sample_id"].to_list() == frame["sample_id"].to_list()
    places = table.with_columns(frame["image_link"], (pl.col("part") + pl.col("fold").cast(pl.String)).alias("place"))
    assert places.group_by("image_link").agg(pl.col("place").n_unique())["place"].max() == 1
    assert table["group"].value_counts()["count"].max() < 50
    medians = table.with_columns(frame["price"]).group_by("fold").agg(pl.col("price").median())["price"]
    assert medians.max() / medians.min() < 1.1


def test_75_000_rows_are_grouped_and_dealt_out_in_seconds() -> None:
    frame, groups = synthetic(75_000)
    text = frame.select("sample_id", pl.format("Item Name: product {} deluxe", groups).alias("catalog_content"),
                        pl.lit(None, dtype=pl.String).alias("image_link"))  # fmt: skip
    start = time.perf_counter()
    duplicate_groups(text)
    folds_of(frame, groups)
    assert time.perf_counter() - start < 10
