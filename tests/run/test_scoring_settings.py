"""The settings of a run that pricing takes, and those that it does not: another file is written in another way."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pricing.catalogue.reading import read_catalogue_file
from pricing.catalogue.reading_words import reading_words
from pricing.configuration import load_config
from pricing.errors import CatalogueError, ConfigError
from pricing.run.scoring_settings import read_scoring_config

ROLES = {"id": "sku", "title": "name", "number": ["rating"], "time": "listed"}
DECLARED = {
    "catalogue.columns": ROLES, "catalogue.separator": ";", "catalogue.encoding": "cp1252",
    "catalogue.decimal_mark": ",", "catalogue.date_order": "month", "members.lightgbm.rounds": 7,
}  # fmt: skip
MARKS: Any = {"number:rating": ","}
"""As model.json has them of a run that declared the mark."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(load_config("demo", DECLARED).model_dump(mode="json")))
    return folder


def ratings(model: Path, file: bytes, **settings: Any) -> tuple[pl.DataFrame, list[str]]:
    """Names and ratings of a file to price, and what is said of them."""
    config = read_scoring_config(model, {f"catalogue.{name}": value for name, value in settings.items()})
    path = model.parent / "new.csv"
    path.write_bytes(file)
    read = read_catalogue_file(path, labelled=False, config=config.catalogue, marks=MARKS)
    return read.frame, reading_words(read.notes.read)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_to_price_is_written_in_its_own_way(model: Path, separator: str, encoding: str) -> None:
    rows = [("sku", "name", "rating", "listed"), ("007", "thé", "4.5 %", "31/12/2024"), ("008", "jam", "", "")]
    text = "".join(separator.join(row) + "\n" for row in rows)
    frame, said = ratings(model, text.encode(encoding))
    assert frame["sample_id"].to_list() == ["007", "008"]
    assert frame["number:rating"].to_list() == [4.5, None], "the point is proven, whatever the run declared"
    assert frame["time"][0].year == 2024
    assert "thé" in frame["catalog_content"][0]
    shown = "as '4.5 %' (row 1, line 2) shows: 4.5 % -> 4.5."
    assert said[0] == f"Values of column rating were read with a decimal point, {shown}"


def test_a_number_that_proves_no_mark_is_read_as_in_training_and_said(model: Path) -> None:
    frame, said = ratings(model, b"sku,name,rating\n007,tea,1.250\n")
    assert frame["number:rating"].to_list() == [1250.0]
    assert said == ["Values of column rating were read with a decimal comma: 1.250 -> 1250."]
    frame, said = ratings(model, b"sku,name,rating\n007,tea,1.250\n", decimal_mark=".")
    assert frame["number:rating"].to_list() == [1.25]


def test_what_cannot_be_detected_is_declared(model: Path) -> None:
    rows = "sku;name;rating\n007;thé;1,5\n".encode("cp1252")
    with pytest.raises(CatalogueError, match=r'set catalogue\.encoding="cp1252"'):
        ratings(model, rows)
    frame, _ = ratings(model, rows, encoding="cp1252")
    assert "thé" in frame["catalog_content"][0]
    frame, _ = ratings(model, rows.replace(b";", b"^"), encoding="cp1252", separator="^")
    assert frame["number:rating"].to_list() == [1.5]


def test_what_the_models_were_trained_with_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"^members: the models were trained with other settings, .* images, paths"):
        read_scoring_config(model, {"members": {"lightgbm": {"rounds": 8}}})
    with pytest.raises(ConfigError, match=r"^catalogue\.columns: .*--columns"):
        read_scoring_config(model, {"catalogue.columns.title": "titre"})
    with pytest.raises(ConfigError, match=r"seeed: unknown key; did you mean seed\?"):
        read_scoring_config(model, {"seeed": 1})
    same = read_scoring_config(model, {"members.lightgbm.rounds": 7, "images.retries": 1})
    assert (same.members.lightgbm.rounds, same.images.retries) == (7, 1)
