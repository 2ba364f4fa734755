"""Near-duplicate groups, the hold-out and the folds."""

import json
import time
from datetime import datetime, timedelta
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
from pricing.catalogue.holdout import latest_groups
from pricing.catalogue.ingest import read_catalogue
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig
from pricing.config.columns import ColumnsConfig
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


def test_a_declared_group_joins_rows_and_chains_with_titles_and_links() -> None:
    """One family in three variants under other names; an empty name of a family joins nothing."""
    frame = catalogue(
        ["Item Name: oak table", "Item Name: oak chair", "Item Name: ash lamp", "Item Name: oak chair, 2 pieces",
         "Item Name: elm shelf", "Item Name: fir bench"],
        [None, None, "http://x.invalid/1", None, "http://x.invalid/1", None],
    )  # fmt: skip
    plain = duplicate_groups(frame).to_list()
    groups = duplicate_groups(frame.with_columns(group_key=pl.Series(["F1", "F1 ", "F1", "", "", None]))).to_list()
    assert len(set(groups[:5])) == 1
    assert groups[5] == plain[5] != groups[0]
    # a family of one row changes no name, and neither does a link that reads like one
    alone = frame.with_columns(group_key=pl.Series(["http://x.invalid/1", *"abcde"]))
    assert duplicate_groups(alone).to_list() == plain
    assert duplicate_groups(frame.with_columns(group_key=pl.lit(None, pl.String))).to_list() == plain


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


def dated(frame: pl.DataFrame, seed: int = 0, days: int = 40) -> pl.Series:
    """A day of 2025 for each row."""
    day = np.random.default_rng(seed).integers(days, size=frame.height)
    return pl.Series("time", [datetime(2025, 1, 1) + timedelta(int(number)) for number in day])


@given(rows=st.integers(20, 300), seed=st.integers(0, 9), days=st.sampled_from([1, 3, 40]), gap=st.booleans())
def test_the_hold_out_of_a_catalogue_with_times_is_its_latest_part(rows: int, seed: int, days: int, gap: bool) -> None:
    frame, groups = synthetic(rows, seed)
    times = dated(frame, seed, days)
    if gap:
        times = times.to_frame().select(pl.when(pl.int_range(pl.len()) % 5 > 0).then("time")).to_series()
    named = latest_groups(groups, times, 0.15)
    table = pl.DataFrame({"group": groups, "time": times, "held": groups.is_in(list(named))})
    of_groups = table.group_by("group", "held").agg(pl.len(), pl.col("time").max())
    held, learnt = of_groups.filter("held"), of_groups.filter(~pl.col("held"))
    assert held["time"].null_count() == 0
    latest = table.filter(~pl.col("held"))["time"].max()
    assert latest is None or held["time"].min() >= latest  # type: ignore[operator]
    # one group more or fewer would be no nearer to the share
    aim, got = 0.15 * rows, held["len"].sum()
    smallest = learnt.filter(pl.col("time") == latest)["len"]
    assert got - aim <= held.filter(pl.col("time") == pl.col("time").min())["len"].max() / 2 or held.height == 1
    assert not len(smallest) or aim - got <= smallest.max() / 2  # type: ignore[operator]


def test_the_latest_part_is_the_same_for_every_seed_and_order_and_folds_stay_even() -> None:
    frame, groups = synthetic(3000)
    times = dated(frame)

    def parts(order: np.ndarray, seed: int) -> pl.DataFrame:
        made = make_folds(frame[order], groups.gather(order), kind="grouped", n_splits=5, bins=10, holdout=0.15,
                          seed=seed, times=times.gather(order))  # fmt: skip
        return made.sort("sample_id")

    one, two = parts(np.arange(3000), 0), parts(np.random.default_rng(1).permutation(3000), 7)
    assert one["part"].to_list() == two["part"].to_list()
    sizes = one.filter(pl.col("part") == "train")["fold"].value_counts()["count"]
    assert sizes.max() - sizes.min() <= 10  # type: ignore[operator]
    assert (one["part"] == "holdout").mean() == pytest.approx(0.15, abs=0.01)


def test_the_cut_is_said_and_few_times_are_refused(tmp_path: Path) -> None:
    frame, groups = synthetic(400)
    times = pl.Series("time", [datetime(2025, 1, 1) + timedelta(hours=12 * number) for number in range(400)])
    times = times.to_frame().select(pl.when(pl.int_range(pl.len()) > 9).then("time")).to_series()
    labelled = frame.with_columns(catalog_content=pl.format("Item Name: oak table {}x", groups), time=times,
                                  image_link=pl.lit(None, pl.String))  # fmt: skip
    for place, table in (("dated", labelled), ("plain", labelled.drop("time"))):
        (tmp_path / place / "out").mkdir(parents=True)
        table.write_parquet(tmp_path / place / "labelled.parquet")
        assign_folds(tmp_path / place, FoldsConfig(kind="random"), HoldoutConfig(), 0, tmp_path / place / "out")
    summary = json.loads((tmp_path / "dated" / "out" / "summary.json").read_text())
    held = pl.read_parquet(tmp_path / "dated" / "out" / "folds.parquet").filter(pl.col("part") == "holdout")
    ends = held.join(labelled, on="sample_id").group_by("group").agg(pl.col("time").max())["time"]
    assert summary["latest"]["since"] == ends.min().isoformat(sep=" ").removesuffix(" 00:00:00")  # type: ignore
    assert summary["latest"]["share"] == len(held) / 400
    assert 0 <= summary["latest"]["rows_without_time"] <= 10
    assert "latest" not in json.loads((tmp_path / "plain" / "out" / "summary.json").read_text())
    with pytest.raises(CatalogueError, match=r"150 of 400 rows have a time, expected at least 50%.*no column as time"):
        latest_groups(groups, times.head(160).extend_constant(None, 240), 0.15)


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


def test_declared_columns_of_a_file_decide_its_split(tmp_path: Path) -> None:
    """A shop's own names, from the file to the folds: families stay whole, the last weeks are held out."""
    words, rows = ["oak", "ash", "elm", "fir", "yew"], range(300)
    listed = [f"2025-{1 + row % 12:02d}-{1 + row % 28:02d}" if row % 17 else "" for row in rows]
    family = [f"F{row // 3}" if row % 5 else " " for row in rows]
    names = [f"{words[row % 5]} chair {chr(97 + row % 26) * 9}{chr(97 + row // 26) * 9}" for row in rows]
    prices = [5.5 + row % 50 for row in rows]
    pl.DataFrame({"sku": rows, "name": names, "cost": prices, "family": family, "listed": listed}).write_csv(
        tmp_path / "shop.csv"
    )
    roles = ColumnsConfig(id="sku", price="cost", title="name", group="family", time="listed")
    for name in ("catalogue", "folds"):
        (tmp_path / name).mkdir()
    read_catalogue(tmp_path / "shop.csv", None, CatalogueConfig(columns=roles), tmp_path / "catalogue")
    assign_folds(tmp_path / "catalogue", FoldsConfig(), HoldoutConfig(), 0, tmp_path / "folds")
    table = pl.read_parquet(tmp_path / "folds" / "folds.parquet").with_columns(listed=pl.Series(listed),
                                                                              family=pl.Series(family))  # fmt: skip
    places = table.filter(pl.col("family") != " ").group_by("family").agg(pl.struct("part", "fold").n_unique())
    assert places["part"].max() == 1
    since = json.loads((tmp_path / "folds" / "summary.json").read_text())["latest"]["since"]
    assert since.startswith("2025-1")
    assert table.filter(pl.col("part") == "train")["listed"].max() <= since
    assert table.filter(pl.col("listed") > since)["part"].unique().to_list() == ["holdout"]


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
