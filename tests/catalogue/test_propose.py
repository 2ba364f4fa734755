"""Roles proposed for tables as shops export them, all rows invented."""

import random
import tomllib
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from pricing.catalogue.column_facts import NAMES, column_facts, several_links, spelled
from pricing.catalogue.propose import Proposal, propose_roles
from pricing.catalogue.propose_toml import proposal_toml
from pricing.config.catalogue import CatalogueConfig
from pricing.config.columns import ColumnsConfig
from pricing.features.fields import check_units
from pricing.features.units import UNITS

ROWS = 60
BRANDS = ["Acme", "Bolt & Co", "Cirrus", "Dunlin"]
COLOURS = ["red", "dark blue", "green"]
WORDS = ["steel", "kettle", "garden", "chair", "lamp", "folding", "table", "brush", "cotton", "bag", "large", "soft"]


def table(**columns: Callable[[random.Random, int], Any]) -> pl.DataFrame:
    """A table of invented rows; "__" in a column's name stands for a blank."""
    rng = random.Random(7)
    made = {name.replace("__", " "): [str(make(rng, row)) for row in range(ROWS)] for name, make in columns.items()}
    return pl.DataFrame(made, schema=dict.fromkeys(made, pl.String))


def title(rng: random.Random, row: int) -> str:
    return f"{' '.join(rng.sample(WORDS, 4)).capitalize()} {row}"


def prose(rng: random.Random, row: int) -> str:
    return f"{row}. " + ". ".join(" ".join(rng.choices(WORDS, k=9)) for _ in range(3))


def money(rng: random.Random, row: int) -> str:
    return f"{rng.lognormvariate(3, 1):.2f}"


def one_of(*values: str) -> Callable[[random.Random, int], str]:
    return lambda rng, row: rng.choice(values)


def shown(pattern: str, make: Callable[[random.Random, int], Any] = lambda rng, row: row) -> Callable[..., str]:
    """A pattern filled with the row's number, or with what another column makes."""
    return lambda rng, row: pattern.format(make(rng, row))


brand, colour, link = one_of(*BRANDS), one_of(*COLOURS), shown("https://cdn.shop.example/p/{}.jpg")
kilos = shown("{:.2f}", lambda rng, row: rng.uniform(0.1, 9))


def roles(proposal: Proposal) -> dict[str, Any]:
    """The proposal as the file that is kept, read back: valid, and with known units."""
    written = tomllib.loads(proposal_toml(proposal, "shop.csv"))
    check_units(ColumnsConfig.model_validate(written).amount)
    return written


def test_a_shops_feed() -> None:
    feed = table(
        sku=shown("{:05}"), title=title, description=prose, brand=brand, category=one_of("Home > Kitchen", "Garden"),
        weight_kg=kilos, colour=colour, price=money, image_url=link, url=shown("https://shop.example/p/{}"),
        rating=shown("{:.1f}", lambda rng, row: rng.uniform(1, 5)), family=shown("F{}", lambda rng, row: row // 3),
        listed=shown("2024-{:02}-11", lambda rng, row: 1 + row % 12),
    )  # fmt: skip
    proposal = propose_roles(feed)
    assert roles(proposal) == {
        "id": "sku", "price": "price", "title": "title", "text": ["description"],
        "category": ["brand", "category", "colour"], "number": ["rating"], "amount": {"weight_kg": "kg"},
        "image": ["image_url"], "group": "family", "time": "listed", "ignore": ["url"],
    }  # fmt: skip
    assert [column.facts.name for column in proposal.columns if column.unsure] == ["listed"], "it moves the hold-out"


def test_a_marketplace() -> None:
    paths = ("Men/Tops/T-shirts", "Electronics/Computers & Tablets/Parts", "Home/Kitchen & Dining", "Women/Shoes")
    goods = table(
        sample_id=shown("{}", lambda rng, row: 3 * row), name=title, item_condition_id=one_of(*"12345"),
        category_name=one_of(*paths), brand_name=one_of("", *BRANDS), shipping=one_of("0", "1"),
        item_description=prose, price=money,
    )  # fmt: skip
    assert roles(propose_roles(goods)) == {
        "id": "sample_id", "price": "price", "title": "name", "text": ["item_description"],
        "category": ["item_condition_id", "category_name", "brand_name"], "number": ["shipping"],
    }  # fmt: skip


def test_a_shopify_export() -> None:
    export = table(
        Handle=shown("kettle-{}", lambda rng, row: row // 3), Title=title, Vendor=brand, Tags=prose,
        Type=one_of("Kettles", "Lamps"), Published=one_of("true"),
        Variant__SKU=shown("SK-{}"), Variant__Grams=shown("{}", lambda rng, row: rng.randrange(50, 5000)),
        Variant__Inventory__Qty=shown("{}", lambda rng, row: rng.randrange(9)), Variant__Price=money,
        Variant__Compare__At__Price=money, Cost__per__item=money, Variant__Barcode=shown("40012345{:05}"),
        Image__Src=link, Status=one_of("active", "draft"),
        body=shown("<p>{0}</p>", prose), Product__Category=one_of("Home & Garden > Kitchen", "Lighting > Lamps"),
    ).rename({"body": "Body (HTML)"})  # fmt: skip
    found = roles(propose_roles(export))
    assert (found["id"], found["price"], found["title"], found["group"]) == (
        "Variant SKU", "Variant Price", "Title", "Handle",
    )  # fmt: skip
    assert found["amount"] == {"Variant Grams": "g"}
    assert found["category"] == ["Vendor", "Type", "Status", "Product Category"]
    assert found["text"] == ["Tags", "Body (HTML)"]
    assert found["image"] == ["Image Src"]
    assert found["number"] == ["Variant Inventory Qty"]
    assert found["ignore"] == ["Published", "Variant Compare At Price", "Cost per item", "Variant Barcode"]


def test_a_google_merchant_feed() -> None:
    more = shown("https://cdn.shop.example/{0}-a.jpg,https://cdn.shop.example/{0}-b.jpg")
    feed = table(
        id=shown("{:04}"), title=title, description=prose, link=shown("https://shop.example/{}"),
        image_link=shown("https://cdn.shop.example/image?id={}"), additional_image_link=more, brand=brand,
        google_product_category=one_of("Home & Garden > Decor", "Apparel & Accessories > Shoes"),
        price=shown("{} USD", money), sale_price=shown("{} USD", money), gtin=shown("0076{:09}"),
        item_group_id=shown("G{}", lambda rng, row: row // 2), availability=one_of("in stock", "out of stock"),
        shipping_weight=shown("{} kg", kilos), condition=one_of("new"),
    )  # fmt: skip
    assert roles(propose_roles(feed)) == {
        "id": "id", "price": "price", "title": "title", "text": ["description"],
        "category": ["brand", "google_product_category", "availability"], "amount": {"shipping_weight": "kg"},
        "image": ["image_link", "additional_image_link"], "group": "item_group_id",
        "ignore": ["link", "sale_price", "gtin", "condition"],
    }  # fmt: skip
    assert several_links(feed["additional_image_link"])


def test_a_german_feed() -> None:
    def euros(value: str) -> str:
        return value.replace(".", ",") + " €"

    feed = table(
        Artikelnummer=shown("{:06}"), Bezeichnung=title, Beschreibung=prose, Marke=brand,
        Warengruppe=one_of("Küche", "Büro > Möbel"), Gewicht_kg=lambda rng, row: kilos(rng, row).replace(".", ","),
        Preis=lambda rng, row: euros(money(rng, row)), Streichpreis=lambda rng, row: euros(money(rng, row)), Bild=link,
        Größe=one_of("S", "M", "L"),
    )  # fmt: skip
    assert roles(propose_roles(feed)) == {
        "id": "Artikelnummer", "price": "Preis", "title": "Bezeichnung", "text": ["Beschreibung"],
        "category": ["Marke", "Warengruppe", "Größe"], "amount": {"Gewicht_kg": "kg"}, "image": ["Bild"],
        "ignore": ["Streichpreis"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("référence", "nom du produit", "prix TTC", "prix barré", "marque"),
         ("référence", "nom du produit", "prix TTC", "marque")),
        (("Referencia", "Título", "Precio", "Precio anterior", "Marca"), ("Referencia", "Título", "Precio", "Marca")),
        (("Codice articolo", "Nome prodotto", "Prezzo", "Prezzo di listino", "Marca"),
         ("Codice articolo", "Nome prodotto", "Prezzo", "Marca")),
    ],
)  # fmt: skip
def test_other_languages(columns: tuple[str, ...], expected: tuple[str, ...]) -> None:
    made = table(a=shown("R-{}"), b=title, c=money, d=money, e=brand)
    found = roles(propose_roles(made.rename(dict(zip("abcde", columns, strict=True)))))
    assert (found["id"], found["title"], found["price"], *found["category"]) == expected
    assert found["ignore"] == [columns[3]]


def test_what_tells_the_price_is_no_feature_whatever_it_is_called() -> None:
    def cents(rng: random.Random, row: int) -> int:
        return (row * 7919) % 5000 + 50

    feed = table(
        id=shown("{}"), title=title, price=shown("{:.2f}", lambda rng, row: cents(rng, row) / 100),
        points=shown("{}", lambda rng, row: 3 * cents(rng, row) + 11), price_per_kg=money, rrp=money, total=money,
        margin=money, shown_as=shown("${}", money), price_range=one_of("cheap", "dear"), rating=one_of("1", "4.5", "3"),
        shipping_cost=money, discount=shown("{}%", cents), total_reviews=money,
    )  # fmt: skip
    proposal = propose_roles(feed)
    found = roles(proposal)
    assert found["number"] == ["rating", "shipping_cost", "total_reviews"]
    assert found["ignore"] == [
        "points", "price_per_kg", "rrp", "total", "margin", "shown_as", "price_range", "discount",
    ]  # fmt: skip
    why = {column.facts.name: column.why for column in proposal.of("ignore")}
    assert "its order is that of the price" in why["points"]
    assert "would give it away" in why["rrp"]
    assert all(said in proposal_toml(proposal, "x.csv") for said in why.values())


def test_columns_that_say_nothing_are_ignored_with_the_reason() -> None:
    feed = table(
        a=shown("{}"), sku=shown("A{}"), title=title, price=money, empty=one_of("", "n/a"), currency=one_of("EUR"),
        asin=shown("B0{:08}"), internal=shown("x{}y"), ean=shown("40012345{:05}"), page=shown("https://shop.example/{}"),
    ).rename({"a": "Unnamed: 0"})  # fmt: skip
    why = {column.facts.name: column.why for column in propose_roles(feed).of("ignore")}
    assert why == {
        "Unnamed: 0": "row numbers", "empty": "it is empty", "currency": "it is 'EUR' in every row", "asin": "an id",
        "internal": "codes, another one in nearly every row", "ean": "an id", "page": "links to pages",
    }  # fmt: skip


def test_of_several_prices_the_plainest_is_taken_and_where_none_is_plain_the_others_are_named() -> None:
    made = table(id=shown("{}"), title=title, a=money, b=money)
    plain = propose_roles(made.rename({"a": "list_price", "b": "price"}))
    assert [(column.facts.name, column.unsure) for column in plain.of("price")] == [("price", "")]
    none = propose_roles(made.rename({"a": "retail_price", "b": "discounted_price"})).of("price")[0]
    assert none.facts.name == "retail_price"
    assert "beside 'discounted_price'" in none.unsure
    joined = propose_roles(made.rename({"a": "saleprice", "b": "itemprice"})).of("price")[0]
    assert (joined.facts.name, joined.unsure) == ("itemprice", "")
    last = propose_roles(made.rename({"a": "amount", "b": "stock"})).of("price")[0]
    assert last.facts.name == "amount"
    assert last.unsure


def test_times_that_are_read_are_proposed_one_of_them() -> None:
    made = table(
        id=shown("K-{}"), title=title, price=money, created=shown("{}", lambda rng, row: 1_700_000_000 + row * 9999),
        updated=shown("{:02}/03/2024", lambda rng, row: 1 + row % 28),
        listed=shown("{} March 2024", lambda rng, row: 1 + row % 28),
        delivery_time=one_of("1", "2", "5"),
    )  # fmt: skip
    found = {column.facts.name: (column.role, column.why) for column in propose_roles(made).columns[3:]}
    assert found == {
        "created": ("time", ""), "updated": ("ignore", "another date"),
        "listed": ("ignore", "dates with the names of months are not read"), "delivery_time": ("number", ""),
    }  # fmt: skip


def test_a_price_that_a_run_would_refuse_is_doubted() -> None:
    made = table(id=shown("{}"), title=title, price=one_of("1.299", "2.498"), unit=one_of("EUR", "USD"))
    doubts = {
        "no value tells which": made,
        "34 are in EUR, such as '9.99 EUR' (row 1); 26 are": made.with_columns(
            price=pl.concat_str(pl.lit("9.99 "), "unit")
        ),
        "'Currency' names 2 currencies": made.with_columns(price=pl.lit("9.99")).rename({"unit": "Currency"}),
    }
    for said, feed in doubts.items():
        proposal = propose_roles(feed)
        assert said in proposal.of("price")[0].unsure
        assert "Currency" not in {column.facts.name for column in proposal.of("category")}
    piece = propose_roles(made.with_columns(price=pl.lit("9.99 € / piece")))
    assert piece.of("price")[0].unsure == "60 of the first 60 values are no prices, such as '9.99 € / piece'"
    assert not propose_roles(made, CatalogueConfig(decimal_mark=".")).of("price")[0].unsure
    before = propose_roles(table(id=shown("{}"), title=title, actual_price=money, discounted_price=money))
    assert "beside 'discounted_price'" in before.of("price")[0].unsure


def test_the_title_is_the_one_that_most_rows_have_and_no_measure() -> None:
    made = table(id=shown("{}"), designation=lambda rng, row: title(rng, row) if row % 2 else "", title=title,
                 price=money, mileage=shown("{} 500 km"))  # fmt: skip
    for feed in (made, made.rename({"title": "b"}).drop("designation")):
        found = propose_roles(feed)
        assert [column.facts.name for column in found.of("title")] == [feed.columns[-3]]
        assert found.columns[-1].why.startswith("numbers with a unit that is not read")


def test_a_price_without_tax_gives_way_to_the_one_in_the_shop() -> None:
    made = table(id=shown("{}"), title=title, a=money, b=money).rename({"a": "Precio sin IVA", "b": "PVP"})
    assert [column.facts.name for column in propose_roles(made).of("price")] == ["PVP"]


def test_flags_are_numbers_whatever_they_are_written_as() -> None:
    feed = table(
        sku=shown("{:04}"), title=title, price=money, in_stock=one_of("true", "false"), organic=one_of("Yes", "No", ""),
        sold=one_of("J", "N"), used=one_of("0", "1"), gender=one_of("M", "F", "N"),
    )  # fmt: skip
    found = roles(propose_roles(feed))
    assert (found["number"], found["category"]) == (["in_stock", "organic", "sold", "used"], ["gender"])


def test_an_amazon_sellers_export() -> None:
    export = table(
        item_name=title, item_description=prose, listing_id=shown("0101T{:05}"), seller_sku=shown("SK-{}"), price=money,
        quantity=shown("{}", lambda rng, row: rng.randrange(9)), item_condition=one_of("1", "11"),
        open_date=shown("2023-04-{:02} 10:20:11 PDT", lambda rng, row: 1 + row % 28), asin1=shown("B00{:05}X"),
    )  # fmt: skip
    assert roles(propose_roles(export)) == {
        "id": "listing_id", "price": "price", "title": "item_name", "text": ["item_description"],
        "category": ["item_condition"], "number": ["quantity"], "time": "open_date", "ignore": ["seller_sku", "asin1"],
    }  # fmt: skip


def test_a_header_that_holds_the_word_currency_is_no_column_of_currencies() -> None:
    feed = table(sku=shown("{:04}"), title=title, price=money, action=one_of("Add", "Revise")).rename(
        {"action": "*Action(SiteID=US|Currency=USD)"}
    )
    proposal = propose_roles(feed)
    assert proposal.of("price")[0].unsure == ""
    assert [column.facts.name for column in proposal.of("category")] == ["*Action(SiteID=US|Currency=USD)"]


def test_a_name_in_another_script_is_no_row_number() -> None:
    feed = table(sku=shown("{:04}"), title=title, price=money, c=shown("{}", lambda rng, row: rng.randrange(10**6)))
    found = propose_roles(feed.rename({"c": "ポイント"}))
    assert [column.facts.name for column in found.of("number")] == ["ポイント"]


def test_what_a_feed_must_be_mended_for_is_said() -> None:
    made = table(
        id=shown("{}"), title=lambda rng, row: title(rng, row) if row % 2 else "", price=money,
        item_weight=one_of("500", "2", "1.5"), item_weight_unit=one_of("g", "kg"),
        maker=shown('{{"name": "{}"}}', brand), created_at=shown("{}/3/21, 4:30 PM", lambda rng, row: 1 + row % 12),
    )  # fmt: skip
    found = {column.facts.name: column for column in propose_roles(made).columns}
    assert found["title"].unsure.startswith("50% of the rows have none; name as group")
    shared = propose_roles(made.with_columns(Handle=pl.Series([f"h{row // 3}" for row in range(ROWS)])))
    assert shared.of("title")[0].unsure.endswith("they take that of the row above with the same Handle")
    assert found["item_weight"].unsure.startswith("its units stand in 'item_weight_unit'")
    assert (found["maker"].role, found["maker"].why.partition(";")[0]) == ("ignore", "it holds objects")
    assert (found["created_at"].role, found["created_at"].why) == (
        "ignore",
        "dates with years of two digits are not read",
    )


def test_without_names_the_values_tell_and_it_says_that_it_is_unsure() -> None:
    feed = table(c1=shown("Z{}"), c2=title, c3=prose, c4=shown("£{}", money), c5=brand, c6=link)
    proposal = propose_roles(feed)
    assert roles(proposal) == {
        "id": "c1", "price": "c4", "title": "c2", "text": ["c3"], "category": ["c5"], "image": ["c6"],
    }  # fmt: skip
    assert [column.facts.name for column in proposal.columns if column.unsure] == ["c1", "c2", "c4"]


def test_an_id_that_repeats_is_doubted_and_a_number_of_an_id_is_no_number() -> None:
    made = table(sku=shown("{:04}", lambda rng, row: row // 2), title=title, price=money,
                 shop_id=shown("{}", lambda rng, row: rng.randrange(40, 90)))  # fmt: skip
    proposal = propose_roles(made)
    assert roles(proposal) == {"id": "sku", "price": "price", "title": "title", "category": ["shop_id"]}
    assert proposal.of("id")[0].unsure.startswith("repeated values: 30; an id")


def test_what_is_lacking_is_said() -> None:
    proposal = propose_roles(table(a=brand, b=colour))
    assert list(proposal.lacking) == ["price", "id", "title"]
    written = proposal_toml(proposal, "x.csv")
    assert tomllib.loads(written) == {"category": ["a", "b"]}
    assert all(f'# {role} = ""  # {said}' in written for role, said in proposal.lacking.items())


def test_the_challenges_own_columns_need_no_file() -> None:
    own = table(sample_id=shown("{}"), catalog_content=shown("Item Name: {}", title), image_link=link, price=money)
    assert propose_roles(own).is_challenge
    assert propose_roles(own.drop("price", "image_link")).is_challenge
    more = propose_roles(own.with_columns(brand=pl.Series(BRANDS * 15)))
    assert not more.is_challenge
    assert roles(more) == {
        "id": "sample_id", "price": "price", "text": ["catalog_content"], "category": ["brand"],
        "image": ["image_link"],
    }  # fmt: skip


def test_any_name_becomes_valid_toml() -> None:
    odd = 'say "hi"\\ a.b\n#x = 1'
    made = table(id=shown("{}"), title=title, price=money, a=brand, b=kilos, c=one_of(""))
    found = roles(propose_roles(made.rename({"a": odd, "b": "net.weight kg", "c": f"{odd} c"})))
    assert found["category"] == [odd]
    assert found["amount"] == {"net.weight kg": "kg"}
    assert found["ignore"] == [f"{odd} c"]


def test_every_unit_of_the_names_is_known() -> None:
    assert set(NAMES["units"].values()) <= set(UNITS)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["12", "1,299", "", "n/a"], "number"), (["12,99", "3,5"], "number"), (["$12", "1,299.00 USD"], "price"),
        (["500 g", "1.5 kg", "20g"], "amount"), (["2024-01-02", "2024-01-03T10:00:00"], "date"),
        (["31.12.2023", "1.2.2024"], "date"), (["3 March 2024"], "date"), (["A > B", "A > B > C"], "path"),
        (["Men/Tops/T-shirts", "Home/Kitchen & Dining/Pans"], "path"), (["https://a.example/x"], "link"),
        (['["https://a.example/1.jpg", "https://a.example/2.jpg"]'], "link"), (["x1.jpg", "x2.png"], "file"),
        (["", "-"], "empty"), (["12", "blue", "XL"], "text"), (["oak and/or beech", "pine"], "text"),
        (["R12", "R13"], "text"), (["R-1", "R-2"], "text"),
    ],
)  # fmt: skip
def test_kinds_of_values(values: list[str], kind: str) -> None:
    assert column_facts(pl.Series("x", values)).kind == kind


def test_names_are_spelled_as_words() -> None:
    assert [spelled(name) for name in ("Body (HTML)", "ItemGroupID", "Straße", "價格")] == [
        "body html", "item group id", "strasse", "價格",
    ]  # fmt: skip
