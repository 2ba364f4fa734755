"""Quantity expressions of titles as a long table of numbers: `TOKEN`'s matches, read."""

import polars as pl

from pricing.features.quantity_patterns import (
    AMOUNT_KINDS,
    NUMBER,
    NUMBER_WORDS,
    TOKEN,
    TOKEN_KINDS,
    normalized_title,
    unit_pattern,
)
from pricing.features.units import SPELLINGS, UNITS

__all__ = ["join_units", "tokenize", "unit_key"]

_KINDS = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in TOKEN_KINDS.items())
_UNIT_FINDER = rf"{NUMBER}\.?[ \-]*({unit_pattern('mass', 'volume', 'length', 'area')})\b"
_UNIT_TABLE = pl.DataFrame(
    {
        "unit_key": list(SPELLINGS),
        "unit": [SPELLINGS[key] for key in SPELLINGS],
        "factor": [UNITS[SPELLINGS[key]].factor for key in SPELLINGS],
        "dimension": [UNITS[SPELLINGS[key]].dimension for key in SPELLINGS],
    }
)
_POUND, _OUNCE, _INCH = (UNITS[name].factor for name in ("lb", "oz", "in"))


def unit_key(unit: pl.Expr) -> pl.Expr:
    """Spelling as `SPELLINGS` holds it: lower case, no dots, single spaces."""
    return unit.str.to_lowercase().str.replace_all(r"[.\s]+", " ").str.strip_chars()


def join_units(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``unit``, ``factor`` and ``dimension`` to rows with a ``unit_key``; null where it is not known."""
    return frame.join(_UNIT_TABLE, on="unit_key", how="left", maintain_order="left")


def tokenize(titles: pl.Series) -> pl.DataFrame:
    """All quantity expressions of n titles, in reading order.

    Returns
    -------
    DataFrame
        ``row`` (UInt32), ``kind`` (a key of `TOKEN_KINDS`); ``size`` (Float64, grams, millilitres or metres of one
        piece), its ``dimension`` and ``unit``, and ``size_number`` (in that unit); ``number`` (Float64: packs,
        containers or pieces), ``inner`` (the 6 of "4 packs of 6"); ``is_total`` ("420 in total"), ``is_each`` ("5.5 oz
        each"), ``is_guess`` (a second reading of another line's token: "6-8 oz" as six of eight ounces).
    """
    found = _find(titles)
    token, kind = pl.col("token"), pl.col("kind")
    first, second, factor = pl.col("first"), pl.col("second"), pl.col("factor")
    whole = (first == first.round(0)) & first.is_between(1, 500)
    is_range = (second > first) & (second < 2 * first) & (kind == "range")
    is_list = kind == "range"
    size = (
        pl.when(kind == "compound").then(first * _POUND + second * _OUNCE)
        .when(is_range).then((first + second) / 2 * factor)
        .when((kind == "multiple") | is_list).then(pl.col("last") * factor)
        .when(kind.is_in(["measure", "multiple_back"])).then(
            first.fill_null(pl.when(token.str.starts_with("half")).then(0.5).otherwise(1.0)) * factor)
        .when(token.str.contains(r"[\"']$")).then(first * _INCH)
        .when(kind == "length").then(first * factor)
    )  # fmt: skip
    number = (
        pl.when(kind == "dozen").then(pl.when(token.str.starts_with("half")).then(6.0)
                                      .otherwise(first.fill_null(1.0) * 12))
        .when(kind == "multiple_back").then(second)
        .when((kind == "multiple") | (is_list & ~is_range)).then(pl.when(whole).then(first))
        .when((kind == "pack") & token.str.contains(r"\+")).then(first + second)
        .when(kind.is_in(["pack", "nested", "containers", "pieces", "pieces_led"])).then(first)
    )  # fmt: skip
    compound, inch = kind == "compound", token.str.contains(r"[\"']$")
    read = found.select(
        "row",
        "kind",
        size=pl.when(size > 0).then(size),
        dimension=pl.when(compound).then(pl.lit("mass")).when(inch).then(pl.lit("length")).otherwise("dimension"),
        unit=pl.when(compound).then(pl.lit("lb")).when(inch).then(pl.lit("in")).otherwise("unit"),
        size_number=size / factor,
        number=pl.when(number >= 1).then(number),
        inner=pl.when(kind == "nested").then(second),
        is_total=kind.is_in(["measure", "pieces"]) & token.str.contains("total"),
        is_each=kind.is_in(AMOUNT_KINDS) & token.str.contains(r"(?:each|ea)$"),
        is_guess=pl.lit(False),
        listed_size=pl.when(is_range & whole).then(second * factor),
        listed_number=first,
    )
    guesses = read.filter(pl.col("listed_size").is_not_null()).with_columns(
        size="listed_size", number="listed_number", is_guess=pl.lit(True)
    )
    return pl.concat([read, guesses]).drop("listed_size", "listed_number").sort("row", maintain_order=True)


def _find(titles: pl.Series) -> pl.DataFrame:
    """A line a token: ``row``, ``token``, ``kind``; its ``first``, ``second`` and ``last`` number; its unit, joined."""
    found = (
        titles.alias("title")
        .to_frame()
        .with_row_index("row")
        .select("row", normalized_title(pl.col("title").fill_null("")).str.extract_all(TOKEN).alias("token"))
        .explode("token", empty_as_null=False)
    )
    token, kind = pl.col("token"), pl.col("kind")
    kinds, units = token.str.extract_groups(_KINDS), token.str.extract_all(_UNIT_FINDER)
    plain = token.str.replace("weight", "", literal=True).str.replace_many(
        list(NUMBER_WORDS), list(NUMBER_WORDS.values())
    )
    found = found.with_columns(
        kind=pl.coalesce(pl.when(kinds.struct.field(name).is_not_null()).then(pl.lit(name)) for name in TOKEN_KINDS),
        numbers=plain.str.extract_all(NUMBER).cast(pl.List(pl.Float64), strict=False),
    ).with_columns(
        # the unit behind the last number ("5 oz (142 g) each": the first), written with hyphens or not; or a lone one
        unit_key=pl.coalesce(
            unit_key(
                pl.when(kind == "measure")
                .then(units.list.first())
                .otherwise(units.list.last())
                .str.extract(_UNIT_FINDER)
            ).str.replace_all("-", " "),
            token.str.extract(r"^(?:half )?(gallon|quart)"),
        ),
    )
    return join_units(found).with_columns(
        first=pl.col("numbers").list.get(0, null_on_oob=True),
        second=pl.col("numbers").list.get(1, null_on_oob=True),
        last=pl.col("numbers").list.last(),
    )
