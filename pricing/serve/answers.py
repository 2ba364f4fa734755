"""What the service takes and gives, for checking and for its OpenAPI description."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_COMPARABLES = 50


class PriceRequest(BaseModel):
    """Products to price."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{
            "products": [{"sample_id": "A1", "catalog_content": "Item Name: Oat drink, 1 l, pack of 6"}],
            "comparables": 2,
        }]},
    )  # fmt: skip

    products: list[Any] = Field(
        min_length=1, json_schema_extra={"items": {"type": "object", "additionalProperties": True}},
        description="One object per product: column to value, as GET /model lists the columns. A column that is left "
        "out counts as missing. A product without an id is called by its place: #1, #2.",
    )  # fmt: skip
    comparables: int = Field(
        0, ge=0, le=MOST_COMPARABLES, description="Maximum number of similar products with a price, per product."
    )
    explain: bool = Field(False, description="Whether to say what each price is made of; it costs more than the price.")


class Comparable(BaseModel):
    """A labelled product that a product is like."""

    id: str
    title: str | None
    price: float
    similarity: float = Field(description="Mean cosine over the spaces in which products are compared, 0 to 1.")


class Contribution(BaseModel):
    """What one item adds to a price."""

    item: str = Field(description="The item in words: a column, the pack, words of the title, comparables.")
    log_contribution: float = Field(description="In log price; the sum over all items is ln(price / base).")
    percent: float
    money: float = Field(description="In the currency of the prices; the sum over all items is price - base.")


class Price(BaseModel):
    """One product's price, in the product's place; or its id and ``error`` alone."""

    id: str
    price: float | None = Field(None, description="Unrounded.")
    low_80: float | None = Field(None, description="Lower end of the 80 % prediction interval.")
    high_80: float | None = None
    low_95: float | None = None
    high_95: float | None = None
    trust: Literal["high", "fair", "low"] | None = None
    reason: str | None = Field(None, description="Grounds of the trust, in words.")
    comparables: list[Comparable] | None = Field(None, description="Where they were asked for.")
    base: float | None = Field(None, description="Price that the explanation starts from.")
    explained_exactly: float | None = Field(None, description="Share of the explanation that is exact, 0 to 1.")
    why: list[Contribution] | None = Field(None, description="Where it was asked for; the largest contribution first.")
    error: str | None = Field(None, description="Why this product has no price.")


class PriceAnswer(BaseModel):
    """Prices in the order of the products."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{
            "model": "3f0c9a1b2d4e5f60",
            "prices": [
                {"id": "A1", "price": 12.41, "low_80": 8.9, "high_80": 17.2, "low_95": 6.1, "high_95": 25.3,
                 "trust": "high", "reason": "narrow interval, near comparable"},
                {"id": "A2", "error": "has 123,456 characters; at most 100,000 are read, shorten its texts"},
            ],
        }]},
    )  # fmt: skip

    model: str = Field(description="Name of the model, a hash of its content.")
    prices: list[Price]
    unused_columns: list[str] | None = Field(None, description="Columns that the model does not read, where there are.")


class ModelCard(BaseModel):
    """What is known of the model."""

    model: str = Field(description="Name of the model, a hash of its content.")
    trained: str = Field(description="When it was trained, ISO 8601 in UTC.")
    learnt_from: dict[str, Any] = Field(
        description="rows (out of fold), file and quantiles of prices, the last two where the run's folder is served."
    )
    error: dict[str, Any] = Field(
        description="SMAPE in percent, 0 to 200: of the hold-out, which no model saw, with its 95 % interval and "
        "mdape, the percentage that half of its prices are within; of the out-of-fold rows where a model folder alone "
        "is served."
    )
    currency: str | None
    sign: str = Field(description="What is written before a price.")
    decimals: int = Field(description="Decimals that people are shown; prices here are unrounded.")
    columns: dict[str, list[str]] = Field(description="Role to the columns that products may have.")
    units: dict[str, str] = Field(description="Column of amounts to the unit of its values.")
    limits: dict[Literal["body", "rows", "characters"], int] = Field(
        description="Maximum bytes of a request, products per request, and characters of one product."
    )
    offers: list[Literal["comparables", "explain", "thumbnails"]] = Field(
        description="What the model can be asked for beside prices."
    )
    members: dict[str, int] = Field(description="Base model to its number of models.")
    images: Literal["not read", "not fetched", "fetched from allowed hosts"]


class Failure(BaseModel):
    """Why a request was refused."""

    error: str
    request_id: str
