"""A file to price with other names: its columns come under the names that the model learned from."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pricing.catalogue.reading import read_catalogue_file
from pricing.catalogue.renaming import check_renaming
from pricing.catalogue.table_input import read_products
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.errors import ConfigError

MODEL: dict[str, Any] = {
    "id": "sku", "title": "title", "text": ["description"], "category": ["brand", "colour"], "number": ["rating"],
    "amount": {"weight_kg": "kg"}, "image": ["image_url"], "group": "family",
}  # fmt: skip
GERMAN: dict[str, Any] = {
    "id": "Artikelnummer", "title": "Titel", "text": ["Text"], "category": ["Marke", "Farbe"], "number": ["Note"],
    "amount": {"Gewicht.netto": "KG"}, "image": ["Bild"],
}  # fmt: skip


def test_a_file_with_other_names_is_read_as_one_with_the_models(tmp_path: Path) -> None:
    model, german = ColumnsConfig.model_validate(MODEL), ColumnsConfig.model_validate(GERMAN)
    row = {"sku": ["a1"], "title": ["Tea"], "description": ["Green."], "brand": ["Acme"], "colour": ["red"],
           "rating": ["4.5"], "weight_kg": ["0.5"], "image_url": ["http://x.example/a.jpg"]}  # fmt: skip
    own = pl.DataFrame(row)
    other = own.rename(dict(zip(own.columns, ["Artikelnummer", "Titel", "Text", "Marke", "Farbe", "Note",
                                              "Gewicht.netto", "Bild"], strict=True)))  # fmt: skip
    other.select(reversed(other.columns)).write_csv(tmp_path / "neu.csv")
    config = CatalogueConfig(columns=model)
    check_renaming(german, model)
    expected = read_products(own, config).frame.drop("group_key")
    assert {"category:brand", "number:rating", "amount:weight_kg"} <= set(expected.columns)
    for read in (read_products(other, config, german),
                 read_catalogue_file(tmp_path / "neu.csv", labelled=False, config=config, names=german)):  # fmt: skip
        assert read.frame.equals(expected)


def test_a_model_of_the_challenge_is_renamed_too() -> None:
    names = ColumnsConfig(id="asin", text=("about",), image=("photo",))
    check_renaming(names, CHALLENGE)
    table = pl.DataFrame({"asin": ["007"], "about": ["Item Name: Tea"], "photo": [""]})
    read = read_products(table, CatalogueConfig(), names).frame
    assert read.rows() == [("007", "Item Name: Tea", None)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"category": ["Marke"]}, r"category names Marke, and the model was trained with brand, colour; name one"),
        ({"image": []}, "image names no column, and the model was trained with image_url"),
        ({"title": None}, "title names no column"),
        ({"amount": {"Gewicht": "g"}}, "amount 'Gewicht' is in g, and the model's 'weight_kg' in kg; give it in kg"),
    ],
)
def test_roles_that_are_not_the_models_are_refused(changes: dict[str, Any], said: str) -> None:
    names = ColumnsConfig.model_validate(GERMAN | changes)
    with pytest.raises(ConfigError, match=said):
        check_renaming(names, ColumnsConfig.model_validate(MODEL))
