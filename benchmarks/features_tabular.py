"""Tabular features but quantities against a vectorised pandas version: rows per second, every column equal.

    python benchmarks/features_tabular.py [ROWS] [CATALOGUE.csv]

The rows are generated, or the first ones of a catalogue. Asserts that the columns are equal and that the ratio is 5.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import polars as pl
from features_pandas import tabular_features

from pricing.catalogue.plain_text import plain_text
from pricing.config.features import FeaturesConfig
from pricing.features.brand import BrandNames
from pricing.features.engineer import FeatureEngineer
from pricing.features.sections import split_sections
from pricing.sample.generate import generate_sample

TARGET = 5.0


def main(rows: int, catalogue: Path | None) -> None:
    """Compare and print."""
    texts = read_texts(rows, catalogue)
    config = FeaturesConfig()
    names = BrandNames.fit(split_sections(texts)["item_name"], config.brand_min_count)
    engineer = FeatureEngineer(config)
    engineer.brands = names
    texts = texts.select(plain_text(pl.col("catalog_content")))
    frame = pd.DataFrame({"catalog_content": texts["catalog_content"].to_list()})
    began = time.perf_counter()
    sections = split_sections(texts)
    families = (
        engineer.extract_text_statistics, engineer.extract_keyword_features, engineer.extract_word_features,
        engineer.extract_brand_features,
    )  # fmt: skip
    ours = pl.concat([family(sections) for family in families], how="horizontal")
    middle = time.perf_counter()
    theirs = tabular_features(frame, config, names)
    ended = time.perf_counter()
    assert_equal(ours, theirs)
    fast, slow = rows / (middle - began), rows / (ended - middle)
    print(f"{rows} rows, {ours.width} columns, all equal")
    print(f"polars {fast:,.0f} rows/s, pandas {slow:,.0f} rows/s, ratio {fast / slow:.1f} (target {TARGET})")
    assert fast / slow >= TARGET


def read_texts(rows: int, catalogue: Path | None) -> pl.DataFrame:
    """``catalog_content`` of the first rows."""
    if catalogue is not None:
        return pl.read_csv(catalogue, infer_schema=False).select("catalog_content").head(rows)
    with TemporaryDirectory() as folder:
        sample = generate_sample(Path(folder), rows=rows, test_rows=1, images=False)
        return pl.read_csv(sample.train, infer_schema=False).select("catalog_content")


def assert_equal(ours: pl.DataFrame, theirs: pd.DataFrame) -> None:
    """Every column, missing values at the same places, numbers to the last digits of a sum."""
    assert list(theirs.columns) == ours.columns
    for name in ours.columns:
        if ours[name].dtype == pl.String:
            assert ours[name].to_list() == theirs[name].to_list(), name
        else:
            mine = ours[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
            np.testing.assert_allclose(mine, theirs[name].astype(float), rtol=1e-12, atol=1e-12, err_msg=name)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
