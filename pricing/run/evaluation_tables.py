"""The tables behind a run's report: predictions, importances, curves, products with their segments, comparables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from pricing.catalogue.split import LABELLED
from pricing.config.ensemble import ReportConfig
from pricing.download.images import Images
from pricing.features.comparables import find_comparables
from pricing.features.load import FeatureSet, load_features, load_price_columns
from pricing.features.neighbour_prices import Amounts
from pricing.features.schema import with_role
from pricing.features.tfidf import term_words
from pricing.features.units import BASE_UNITS
from pricing.metrics.segments import DECLARED, declared_segments, product_categories, product_segments
from pricing.report.run_folder import COMPARABLES, shown_title
from pricing.report.shown_products import worst_rows

_COMPARABLES = 5


def write_evaluation(
    folder: Path, catalogue: Path, folds: Path, features: Path, images: Images | None,
    price_features: Mapping[str, Path], ensemble: Path, members: Mapping[str, Mapping[str, Path]],
    config: ReportConfig, seed: int,
) -> None:  # fmt: skip
    """Fill the ``evaluation`` folder of a run.

    Parameters
    ----------
    folder : Path
        Existing folder; receives oof.parquet, holdout.parquet, importance.parquet, curves.parquet, products.parquet,
        comparables.parquet and images/.
    catalogue, folds, features, price_features, ensemble, members, seed
        As in `pricing.run.outputs.write_outputs`.
    images : Images or None
        Images by link; None without.
    config : ReportConfig
        Number of categories and of worst errors.
    """
    for name in ("oof.parquet", "holdout.parquet"):
        (folder / name).write_bytes((ensemble / name).read_bytes())
    read = load_features(features, "labelled")
    columns = (*read.schema.columns, *load_price_columns(next(iter(price_features.values()))))
    _write_training(folder, members, {column.name: column.words for column in columns}, features)
    products = _products(catalogue, folds, images, read, config.categories, seed)
    products.write_parquet(folder / "products.parquet")
    shown = pl.read_parquet(folder / "holdout.parquet")
    if shown.is_empty():
        shown = pl.read_parquet(folder / "oof.parquet")
    worst = worst_rows(shown, config.worst)["sample_id"]
    similar = _comparables(catalogue, folds, read, products, worst)
    similar.write_parquet(folder / "comparables.parquet")
    if images is not None:
        known = pl.concat([worst, similar["comparable_id"].alias("sample_id")]).unique(maintain_order=True).to_frame()
        named = known.join(products.select("sample_id", "image"), on="sample_id", maintain_order="left").drop_nulls()
        _write_images(folder / "images", {sample_id: images.folder / file for sample_id, file in named.iter_rows()})


def _write_images(folder: Path, files: Mapping[str, Path]) -> None:
    """Small copies of the images of the products shown."""
    for sample_id, source in files.items():
        if source.exists() and "/" not in sample_id:
            folder.mkdir(exist_ok=True)
            with Image.open(source) as image:
                image.thumbnail((160, 160))
                image.convert("RGB").save(folder / f"{sample_id}.jpg", quality=85)


def _write_training(
    folder: Path, members: Mapping[str, Mapping[str, Path]], words: Mapping[str, str], features: Path
) -> None:
    """Importances, with what each feature is in words, and learning curves of the members."""
    importances, curves = [], []
    for name, made in sorted(members.items()):
        for fold, output in sorted(made.items()):
            if (output / "importance.parquet").exists():
                importances.append(pl.read_parquet(output / "importance.parquet").with_columns(member=pl.lit(name)))
            if fold != "refit" and (output / "curves.parquet").exists():
                number = pl.lit(int(fold.removeprefix("fold_")), pl.Int32)
                curve = pl.read_parquet(output / "curves.parquet")
                curves.append(curve.with_columns(member=pl.lit(name), fold=number))
    if importances:
        mean = pl.concat(importances, how="diagonal_relaxed").group_by("member", "feature")
        table = mean.agg(pl.col("importance").mean())
        if not table["feature"].is_in(list(words)).all():
            # terms that members read one by one
            words = {**term_words(features / "engineer"), **words}
        table.sort("member", "importance", "feature", descending=[False, True, False]).with_columns(
            words=pl.col("feature").replace_strict(words, default="", return_dtype=pl.String)
        ).write_parquet(folder / "importance.parquet")
    if curves:
        pl.concat(curves, how="diagonal_relaxed").write_parquet(folder / "curves.parquet")


def _products(
    catalogue: Path, folds: Path, images: Images | None, features: FeatureSet, categories: int, seed: int
) -> pl.DataFrame:
    """Texts of the labelled rows, with the segments they fall into."""
    products = pl.read_parquet(catalogue / LABELLED).drop("price")
    if images is None:
        products = products.with_columns(image=pl.lit(None, pl.String))
    else:
        table = images.table.select("image_link", image="file")
        products = products.join(table, on="image_link", how="left", maintain_order="left")
    groups = pl.read_parquet(folds / "folds.parquet").select("sample_id", "group")
    products = products.join(groups, on="sample_id", how="left", maintain_order="left")
    features = features.reorder(products["sample_id"])
    columns, tabular = features.schema.columns, features.tabular
    amount, family, pack, pieces, frequency = (
        tabular[with_role(columns, role)[0]]
        for role in ("amount", "amount_family", "pack", "pieces", "brand_frequency")
    )
    vectors = tabular.select(column.name for column in columns if column.family == "svd").to_numpy()
    titles = products.select(shown_title(pl.col("catalog_content"))).to_series()
    category = product_categories(vectors, titles, categories, seed)
    brand_titles = np.expm1(frequency.cast(pl.Float64).to_numpy())
    segments = product_segments(category, brand_titles, pack.to_numpy(), products["image"])
    unit = family.replace_strict(BASE_UNITS, default=None, return_dtype=pl.String)
    stated = {"amount": amount, "unit": unit, "packs": pack, "pieces": pieces}
    return products.with_columns(*segments, **segments_by_column(features), title=titles, **stated)


def segments_by_column(features: FeatureSet) -> dict[str, pl.Series]:
    """Return the segments by each declared category of n rows, named as `segment_metrics` reads them."""
    columns, tabular = features.schema.columns, features.tabular
    levels = with_role(columns, "category_level")
    return {
        f"{DECLARED}{column.values}": declared_segments(
            tabular[column.name], [tabular[level] for level in levels if level.rpartition(" ")[0] == column.name]
        )
        for column in columns if column.role == "category"
    }  # fmt: skip


def _comparables(
    catalogue: Path, folds: Path, features: FeatureSet, products: pl.DataFrame, wanted: pl.Series
) -> pl.DataFrame:
    """`COMPARABLES`: the nearest training products of those wanted; never one of the same near-duplicate group."""
    # no space to compare them in
    if features.nearest is None:
        return pl.DataFrame(schema=COMPARABLES)
    parts = pl.read_parquet(folds / "folds.parquet").select("sample_id", "part")
    prices = pl.read_parquet(catalogue / LABELLED).select("sample_id", "price")
    labelled = features.nearest.ids.to_frame()
    for table in (parts, prices, products.select("sample_id", "title")):
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
