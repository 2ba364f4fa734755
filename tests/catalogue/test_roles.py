"""Roles of a shop's columns while its files are read."""

from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.reading import read_catalogue_file
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.errors import CatalogueError

SHOP = CatalogueConfig(columns=ColumnsConfig(id="sku", title="title", category=("brand",), number=("rating",)))


def test_every_column_that_a_role_names_must_be_there_to_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    pl.DataFrame({"sku": ["1"], "title": ["Tea"], "price": [1.5]}).write_csv(path)
    with pytest.raises(CatalogueError, match=r"shop\.csv: missing columns brand, rating, which the roles name"):
        read_catalogue_file(path, labelled=True, config=SHOP)
    read = read_catalogue_file(path, labelled=False, config=SHOP).frame
    assert read.select("category:brand", "number:rating").rows() == [("", None)], "prices may come of less"
