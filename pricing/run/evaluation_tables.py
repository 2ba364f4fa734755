"""The tables behind a run's report: predictions, importances, curves, products with their segments, comparables."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from pricing.catalogue.split import LABELLED
from pricing.configuration import PricingConfig
from pricing.features.comparables import find_comparables
from pricing.features.load import FeatureSet, load_features
from pricing.features.neighbour_prices import Amounts
from pricing.features.units import BASE_UNITS
from pricing.metrics.segments import product_categories, product_segments
from pricing.report.run_folder import COMPARABLES, shown_title
from pricing.report.shown_products import worst_rows
from pricing.run.parts import RunParts
from pricing.store.artifacts import ArtifactStore

__all__ = ["write_evaluation"]

_COMPARABLES = 5


def write_evaluation(folder: Path, store: ArtifactStore, parts: RunParts, config: PricingConfig) -> None:
    """Fill the ``evaluation`` folder of a run.

    Parameters
    ----------
    folder : Path
        Existing folder; receives oof.parquet, holdout.parquet, importance.parquet, curves.parquet, products.parquet,
        comparables.parquet and pictures/.
    """
    for name in ("oof.parquet", "holdout.parquet"):
        (folder / name).write_bytes((store.path(parts.ensemble) / name).read_bytes())
    _write_training(folder, store, parts)
    features = load_features(store.path(parts.features), "labelled")
    products = _products(store, parts, features, config)
    products.write_parquet(folder / "products.parquet")
    shown = pl.read_parquet(folder / "holdout.parquet")
    if shown.is_empty():
        shown = pl.read_parquet(folder / "oof.parquet")
    worst = worst_rows(shown, config.report.worst)["sample_id"]
    similar = _comparables(store, parts, features, products, worst)
    similar.write_parquet(folder / "comparables.parquet")
    known = pl.concat([worst, similar["comparable_id"].alias("sample_id")]).unique(maintain_order=True).to_frame()
    pictures = known.join(products.select("sample_id", "picture"), on="sample_id", maintain_order="left").drop_nulls()
    for sample_id, picture in pictures.iter_rows():
        source = config.paths.work / "images" / picture
        if source.exists() and "/" not in sample_id:
            (folder / "pictures").mkdir(exist_ok=True)
            with Image.open(source) as image:
                image.thumbnail((160, 160))
                image.convert("RGB").save(folder / "pictures" / f"{sample_id}.jpg", quality=85)


def _write_training(folder: Path, store: ArtifactStore, parts: RunParts) -> None:
    """Importances and learning curves of the members."""
    importances, curves = [], []
    for name, made in parts.members.items():
        for fold, reference in made.items():
            path = store.path(reference)
            if (path / "importance.parquet").exists():
                importances.append(pl.read_parquet(path / "importance.parquet").with_columns(member=pl.lit(name)))
            if fold is not None and (path / "curves.parquet").exists():
                curve = pl.read_parquet(path / "curves.parquet")
                curve = curve.rename({"epoch": "round"}) if "epoch" in curve.columns else curve
                curves.append(curve.with_columns(member=pl.lit(name), fold=pl.lit(fold, pl.Int32)))
    if importances:
        pl.concat(importances, how="diagonal_relaxed").group_by("member", "feature").agg(
            pl.col("importance").mean()
        ).sort("member", "importance", "feature", descending=[False, True, False]).write_parquet(
            folder / "importance.parquet"
        )
    if curves:
        pl.concat(curves, how="diagonal_relaxed").write_parquet(folder / "curves.parquet")


def _products(store: ArtifactStore, parts: RunParts, features: FeatureSet, config: PricingConfig) -> pl.DataFrame:
    """Texts of the labelled rows, with the segments they fall into."""
    products = pl.read_parquet(store.path(parts.catalogue) / LABELLED).drop("price")
    if parts.images is None:
        products = products.with_columns(picture=pl.lit(None, pl.String))
    else:
        table = pl.read_parquet(store.path(parts.images) / "images.parquet").select("image_link", picture="file")
        products = products.join(table, on="image_link", how="left", maintain_order="left")
    groups = pl.read_parquet(store.path(parts.folds) / "folds.parquet").select("sample_id", "group")
    products = products.join(groups, on="sample_id", how="left", maintain_order="left")
    features = features.reorder(products["sample_id"])
    vectors = features.tabular.select(pl.col("^svd_.*$")).to_numpy()
    titles = products.select(shown_title(pl.col("catalog_content"))).to_series()
    category = product_categories(vectors, titles, config.report.categories, config.seed)
    brand_titles = np.expm1(features.tabular["brand_frequency"].cast(pl.Float64).to_numpy())
    segments = product_segments(category, brand_titles, features.tabular["ipq_pack"].to_numpy(), products["picture"])
    tabular = features.tabular
    unit = tabular["ipq_family"].replace_strict(BASE_UNITS, default=None, return_dtype=pl.String)
    return products.with_columns(*segments, title=titles, amount=tabular["ipq_amount"], unit=unit)


def _comparables(
    store: ArtifactStore, parts: RunParts, features: FeatureSet, products: pl.DataFrame, wanted: pl.Series
) -> pl.DataFrame:
    """`COMPARABLES`: the nearest training products of those wanted; never one of the same near-duplicate group."""
    if features.nearest is None:  # no space to compare them in
        return pl.DataFrame(schema=COMPARABLES)
    folds = pl.read_parquet(store.path(parts.folds) / "folds.parquet").select("sample_id", "part")
    prices = pl.read_parquet(store.path(parts.catalogue) / LABELLED).select("sample_id", "price")
    labelled = features.nearest.ids.to_frame()
    for table in (folds, prices, products.select("sample_id", "title")):
        labelled = labelled.join(table, on="sample_id", how="left", maintain_order="left")
    # of the hold-out nothing is known here: a product without a price is nobody's comparable
    log_price = labelled.select(pl.when(pl.col("part") == "train").then(pl.col("price").log()).otherwise(np.nan))
    shown = features.reorder(wanted)
    assert shown.nearest is not None
    amounts = Amounts.of(features.reorder(features.nearest.ids))
    found = find_comparables(
        shown.nearest, shown.ids, labelled, log_price.to_series().to_numpy(), amounts, _COMPARABLES
    )
    return found.rename({"comparable": "comparable_id", "title": "name"}).select(*COMPARABLES)
