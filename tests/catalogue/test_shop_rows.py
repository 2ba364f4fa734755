"""Rows as shops export them: text formulas, variants without a title, a currency beside the price."""

from pathlib import Path

import polars as pl
import pytest

from pricing.catalogue.propose import propose_roles
from pricing.catalogue.reading import Catalogue, read_catalogue_file
from pricing.catalogue.reading_words import reading_words
from pricing.catalogue.table_input import as_file
from pricing.catalogue.text_formulas import without_formulas
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig

SHOPIFY = """\
Handle,Title,Body (HTML),Vendor,Option1 Value,Variant SKU,Variant Price,Image Src
tea,Green Tea,<p>fine tea</p>,Acme,S,T1,3.50,https://x.example/a.jpg
tea,,,,M,T2,4.50,
tea,,,,L,T3,6.50,https://x.example/b.jpg
tea,,,,,,,https://x.example/c.jpg
pot,Tea Pot,<p>a pot</p>,Bolt,one,P1,19.00,https://x.example/p.jpg
cup,,,,one,C1,2.00,
tea,,,,XL,T4,7.50,
"""
VARIANTS = ColumnsConfig(
    id="Variant SKU", price="Variant Price", title="Title", text=("Body (HTML)",), category=("Vendor", "Option1 Value"),
    image=("Image Src",), group="Handle",
)  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "shop.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Path, roles: ColumnsConfig) -> Catalogue:
    config = CatalogueConfig(columns=roles, on_bad_rows="quarantine")
    return read_catalogue_file(source, labelled=True, config=config)


def test_a_variant_without_a_title_has_that_of_the_product_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pricing.catalogue.csv_table.BLOCK_BYTES", 120)
    found = read(written(tmp_path, SHOPIFY), VARIANTS)
    texts = dict(found.frame.select("sample_id", "catalog_content").rows())
    for sku, size in (("T1", "S"), ("T2", "M"), ("T3", "L")):
        assert texts[sku].split("\n") == [
            "Item Name: Green Tea", "Bullet Point 1: Acme", f"Bullet Point 2: {size}", "Product Description: fine tea",
        ]  # fmt: skip
    assert texts["C1"] == "Bullet Point 2: one", "another product's title is not its own"
    assert texts["T4"] == "Bullet Point 2: XL", "nor is that of rows far above"
    assert found.frame["image_link"].to_list() == [
        "https://x.example/a.jpg", "https://x.example/a.jpg", "https://x.example/b.jpg", "https://x.example/p.jpg",
        None, None,
    ]  # fmt: skip
    assert reading_words(found.notes.read) == [
        "2 rows without Title took what they lack of title, texts, categories and images from the row above of the "
        "same Handle.",
        "2 rows have no Title.",
    ]


def test_without_a_declared_group_rows_without_a_title_are_counted_and_the_likely_group_is_named(
    tmp_path: Path,
) -> None:
    found = read(written(tmp_path, SHOPIFY), VARIANTS.model_copy(update={"group": None}))
    assert found.frame["catalog_content"].to_list()[1] == "Bullet Point 2: M"
    assert reading_words(found.notes.read) == [
        "4 rows have no Title. If they are variants of the row above, declare a column as group, perhaps Handle."
    ]


def test_a_catalogue_in_which_each_row_has_its_title_stays_as_it_is(tmp_path: Path) -> None:
    lines = [line for line in SHOPIFY.splitlines(keepends=True) if ",,,," not in line]
    found = read(written(tmp_path, "".join(lines)), VARIANTS)
    assert found.frame["catalog_content"].to_list()[1].startswith("Item Name: Tea Pot")
    assert found.notes.read == {}


def test_a_file_to_price_may_lack_the_titles(tmp_path: Path) -> None:
    path = written(tmp_path, "Variant SKU,Body (HTML),Handle\nT1,fine tea,tea\nT2,,tea\n")
    config = CatalogueConfig(columns=VARIANTS)
    found = read_catalogue_file(path, labelled=False, config=config)
    assert found.frame["catalog_content"].to_list() == ["Product Description: fine tea", ""]
    assert reading_words(found.notes.read) == []


FORMULAS = '''\
sku,name,price,rating
="000123",Kettle,"=""1,299.50""",="4"
"=""000124""","Kettle =""two""",="12.50",5
000125,Lamp,14.50,="3"
'''


def test_texts_in_excels_formula_are_read_without_it_and_it_is_said(tmp_path: Path) -> None:
    roles = ColumnsConfig(id="sku", price="price", title="name", number=("rating",))
    found = read(written(tmp_path, FORMULAS), roles)
    assert found.frame["sample_id"].to_list() == ["000123", "000124", "000125"]
    assert found.frame["price"].to_list() == [1299.5, 12.5, 14.5]
    assert found.frame["number:rating"].to_list() == [4.0, 5.0, 3.0]
    assert found.frame["catalog_content"].to_list()[1] == 'Item Name: Kettle ="two"'
    assert reading_words(found.notes.read)[0] == (
        '2 values of column sku are Excel\'s text formulas and were read as the text: ="000123" -> 000123.'
    )
    head = pl.DataFrame({"sku": [f'="{row:04}"' for row in range(40)], "price": [f'="{row}.50"' for row in range(40)]})
    proposed = {column.facts.name: column.role for column in propose_roles(head).columns}
    assert proposed == {"sku": "id", "price": "price"}


def test_a_formula_that_calculates_stays_as_it_is() -> None:
    for value in ("=1+2", '=A1&"x"', '="a"&"b"', "", None):
        values, _ = without_formulas(pl.Series([value], dtype=pl.String))
        assert values.to_list() == [value]


CURRENCIES = "sku,name,price,currency_code\na,Tea,3.50,EUR\nb,Tea,4.50,usd\nc,Tea,5.50,\nd,Tea,6.50,EUR\n"
TEA = ColumnsConfig(id="sku", price="price", title="name")


@pytest.mark.parametrize("ignored", [(), ("currency_code",)])
@pytest.mark.parametrize("as_table", [True, False])
def test_a_column_of_several_currencies_that_no_role_names_is_said(
    tmp_path: Path, ignored: tuple[str, ...], as_table: bool
) -> None:
    roles = TEA.model_copy(update={"ignore": ignored})
    path = written(tmp_path, CURRENCIES)
    found = read(as_file(pl.read_csv(path), tmp_path, roles) if as_table else path, roles)
    assert found.frame["price"].to_list() == [3.5, 4.5, 5.5, 6.5]
    assert reading_words(found.notes.read) == [
        "Column currency_code names 2 currencies (EUR in 2 rows, USD in 1 row), and prices were read as if of one; "
        "keep the rows of one, or convert them."
    ]


def test_one_currency_and_a_column_that_is_none_or_has_a_role_are_not_said(tmp_path: Path) -> None:
    one = read(written(tmp_path, CURRENCIES.replace("usd", "EUR")), TEA)
    none = read(written(tmp_path, CURRENCIES.replace("EUR", "Add")), TEA)
    used = read(written(tmp_path, CURRENCIES), TEA.model_copy(update={"category": ("currency_code",)}))
    assert [found.notes.read for found in (one, none, used)] == [{}, {}, {}]
