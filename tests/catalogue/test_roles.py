"""From a shop's own columns to the catalogue's text."""

import polars as pl

from pricing.catalogue.roles import composed_text, declared_types, raw_columns
from pricing.catalogue.title import title_of
from pricing.config.columns import CHALLENGE, ColumnsConfig
from pricing.features.sections import split_sections

SHOP = ColumnsConfig(
    id="sku", title="title", text=("description", "details"), category=("brand", "kind"), number=("rating",),
    amount={"weight": "kg"}, image=("photo", "second photo"), group="family", time="listed",
)  # fmt: skip


def text(roles: ColumnsConfig, **values: str | None) -> str:
    """The composed text of one row."""
    read = {name: [values.get(column)] for name, column in raw_columns(roles, labelled=False).items()}
    frame = pl.DataFrame(read, schema=dict.fromkeys(read, pl.String))
    composed = frame.select(composed_text(roles)).item()
    assert isinstance(composed, str)
    return composed


def test_the_challenges_text_stays_as_it_is() -> None:
    written = " Item Name: Tea\n\nValue: 3 <b>bold</b>\tand\r\nmore "
    assert text(CHALLENGE, catalog_content=written) == written
    assert text(CHALLENGE, catalog_content=None) == ""


def test_parts_become_lines_that_every_reader_knows() -> None:
    made = text(
        SHOP, title="Green Tea", description="<p>Fresh.<br/>Hot.</p>", details="A box", brand="Acme", kind="Food > Tea"
    )
    sections = split_sections(pl.DataFrame({"catalog_content": [made]})).row(0, named=True)
    assert sections["item_name"] == "Green Tea"
    assert sections["bullets"].split("\n") == ["Acme", "Food > Tea"]
    assert sections["description"] == "Fresh. Hot. A box"


def test_no_line_of_a_description_is_taken_for_a_title_or_an_amount() -> None:
    made = text(SHOP, title="Green\nTea", description="About it:\nItem Name: Bogus\nValue: 500\nUnit: kg")
    frame = pl.DataFrame({"catalog_content": [made]})
    assert frame.select(title_of(pl.col("catalog_content"))).item() == "Green Tea"
    assert split_sections(frame)["value_written"].to_list() == [None]


def test_a_sign_that_is_no_tag_stays() -> None:
    assert text(SHOP, title="Cable < 2 m, > 1 m") == "Item Name: Cable < 2 m, > 1 m"


def test_missing_parts_leave_no_lines() -> None:
    assert text(SHOP, description="only this") == "Product Description: only this"
    assert text(SHOP, title="  ", brand="") == ""


def test_declared_columns_cannot_collide_with_the_catalogues_own() -> None:
    roles = ColumnsConfig(id="row", title="line", category=("price_band", "group_key"), number=("sample_id", "time"))
    assert list(declared_types(roles)) == [
        "category:price_band",
        "category:group_key",
        "number:sample_id",
        "number:time",
    ]
