"""The catalogue files are parsed once and hashed once before the first table exists, and not at all afterwards."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.enough import check_learnable
from pricing.catalogue.ingest import read_catalogue
from pricing.config.catalogue import CatalogueConfig, FoldsConfig, HoldoutConfig
from pricing.store.artifacts import key_of, key_parts
from pricing.store.digests import remembered_digest

LOOKS = 2
"""Times that a CSV file is opened for its first bytes and its first line, before it is parsed."""


@contextmanager
def opened(*files: Path) -> Iterator[Counter[str]]:
    """Count how often files are opened by anything in this process."""
    names, counts, counting = {str(file): file.name for file in files}, Counter[str](), True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if counting and event == "open" and str(arguments[0]) in names:
            counts[names[str(arguments[0])]] += 1

    sys.addaudithook(hook)  # it can never be removed
    yield counts
    counting = False


def test_a_file_is_parsed_once_and_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "train.csv", tmp_path / "test.csv"
    for file in files:
        pl.DataFrame({
            "sample_id": [str(i) for i in range(60)], "price": [1.0 + i for i in range(60)],
            "catalog_content": [f"Item Name: tea {chr(97 + i % 26)}" for i in range(60)],
        }).write_csv(file)  # fmt: skip
    monkeypatch.setattr("pricing.store.digests._RACY", -60_000_000_000)  # as if they were written a minute ago
    catalogue, digest = tmp_path / "catalogue", partial(remembered_digest, folder=tmp_path / "digests")
    catalogue.mkdir()

    def key() -> str:
        inputs = {"train": files[0], "test": files[1], "config": CatalogueConfig()}
        return key_of(key_parts("catalogue", "pricing.catalogue.ingest", inputs, digest))

    with opened(*files) as counts:
        first = key()
        assert set(counts.values()) == {1}
        read_catalogue(*files, CatalogueConfig(), catalogue)
        assert set(counts.values()) == {1 + LOOKS + 1}
        check_learnable(str(files[0]), catalogue, FoldsConfig(), HoldoutConfig())
        assert key() == first
        assert set(counts.values()) == {1 + LOOKS + 1}
