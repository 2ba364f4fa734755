"""Floors that only a changed order of growth falls through; the figures themselves come from benchmarks/."""

import time
from pathlib import Path

import polars as pl
import pytest

from pricing.config.catalogue import ImagesConfig
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.features.engineer import FeatureEngineer
from pricing.sample.generate import generate_sample
from pricing.sample.serving import serve_folder
from tests.download.fault_server import jpeg


@pytest.mark.slow
def test_feature_speed(tmp_path: Path) -> None:
    """20,000 rows at 400 a second, TF-IDF and SVD among it (1,100 seen beside other work)."""
    info = generate_sample(tmp_path, rows=20_000, test_rows=0, images=False)
    rows = pl.read_csv(info.train, schema_overrides={"sample_id": pl.String})
    start = time.perf_counter()
    FeatureEngineer().fit_transform(rows)
    assert rows.height / (time.perf_counter() - start) > 400


@pytest.mark.slow
def test_download_speed(tmp_path: Path) -> None:
    """1,000 images of 1,000 px, decoded and downscaled, at 40 a second (126 seen beside other work)."""
    served = tmp_path / "served"
    served.mkdir()
    data = jpeg(size=(1000, 1000))
    for index in range(1000):
        # a comment at the end of a JPEG changes the bytes and nothing else: no two are stored as one
        (served / f"{index}.jpg").write_bytes(data + b"%d" % index)
    with serve_folder(served) as url:
        links = [f"{url}/{index}.jpg" for index in range(1000)]
        start = time.perf_counter()
        report = fetch_shard(
            links, ImagesConfig(allow_hosts=("127.0.0.1",)), tmp_path / "work", source=ImageSource.web()
        )
        seconds = time.perf_counter() - start
    assert report.present == 1000
    assert 1000 / seconds > 40
