"""Quantities: how much of a product a price buys.

Two readings are made and both are kept: the *name* reading (sizes, packs and pieces found in the Item Name) and the
*field* reading (the Value and Unit lines). The conflict rule, in order:

1. If the field's amount is, within 6 %, one of the products that the name allows (size x pack, size x pieces,
   size x pack x pieces, size x every pack mentioned, or a stated total that is another stated size x pack), the field
   is right. 6 % also covers sellers who write weight ounces as fluid ounces (4.3 % apart).
2. Otherwise, if the name states a size, the total is size x pack: a field that repeats the size of one piece, or that
   counts packets, is the usual disagreement.
3. Otherwise the field is taken as it is; without either, there is no amount.

Pieces go the same way. All in polars expressions over the matches of `TOKEN`; no loop over rows.
"""

import polars as pl

from pricing.features.quantity_patterns import (
    NUMBER,
    NUMBER_WORDS,
    TOKEN,
    TOKEN_KINDS,
    normalized_title,
    unit_pattern,
)
from pricing.features.units import SPELLINGS, UNITS

__all__ = ["CATEGORICAL", "NUMERIC", "quantity_features", "read_quantities"]

#: relative difference under which two amounts are one
TOLERANCE = 0.06
#: characters of bullets and description searched for a size when the name has none
FALLBACK_CHARACTERS = 1_500

NUMERIC = (
    "ipq_value", "ipq_size", "ipq_pack", "ipq_pieces", "ipq_total", "ipq_total_name", "ipq_total_field",
    "ipq_pieces_total", "ipq_log_value", "ipq_log_size", "ipq_log_pack", "ipq_log_pieces", "ipq_log_total",
    "ipq_log_total_name", "ipq_log_total_field", "ipq_log_pieces_total", "ipq_log_size_per_pack",
    "ipq_log_total_per_piece", "ipq_log_text_size", "ipq_log_length", "ipq_agrees", "ipq_mentions",
)  # fmt: skip
CATEGORICAL = ("ipq_family", "ipq_unit", "ipq_name_unit")

_KINDS = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in TOKEN_KINDS.items())
_AMOUNT = ("compound", "multiple", "multiple_back", "range", "measure")
_UNIT_FINDER = rf"{NUMBER}[ \-]*({unit_pattern('mass', 'volume', 'length', 'area')})\b"
_UNIT_TABLE = pl.DataFrame(
    {
        "unit_key": list(SPELLINGS),
        "unit": [SPELLINGS[key] for key in SPELLINGS],
        "factor": [UNITS[SPELLINGS[key]].factor for key in SPELLINGS],
        "dimension": [UNITS[SPELLINGS[key]].dimension for key in SPELLINGS],
    }
)
_POUND, _OUNCE = UNITS["lb"].factor, UNITS["oz"].factor


def _unit_key(unit: pl.Expr) -> pl.Expr:
    """Spelling as `SPELLINGS` holds it (see `normalize_unit`)."""
    return unit.str.to_lowercase().str.replace_all(r"[.\s]+", " ").str.strip_chars()


def tokenize(titles: pl.Series) -> pl.DataFrame:
    """All quantity expressions of n titles as a long table, in reading order.

    Returns
    -------
    DataFrame
        ``row`` (UInt32), ``kind`` (a key of `TOKEN_KINDS`), ``size`` (Float64, grams, millilitres or metres of one
        piece), ``dimension``, ``unit``, ``number`` (Float64: packs or pieces).
    """
    found = (
        titles.alias("title")
        .to_frame()
        .with_row_index("row")
        .select("row", normalized_title(pl.col("title").fill_null("")).str.extract_all(TOKEN).alias("token"))
        .explode("token", empty_as_null=False)
    )
    words, digits = list(NUMBER_WORDS), list(NUMBER_WORDS.values())
    plain = pl.col("token").str.replace_many(words, digits)
    kinds = pl.col("token").str.extract_groups(_KINDS)
    found = found.with_columns(
        kind=pl.coalesce(pl.when(kinds.struct.field(kind).is_not_null()).then(pl.lit(kind)) for kind in TOKEN_KINDS),
        numbers=plain.str.extract_all(NUMBER).cast(pl.List(pl.Float64), strict=False),
        unit_key=_unit_key(
            # the unit behind the last number; written with hyphens or not
            pl.col("token").str.extract_all(_UNIT_FINDER).list.last().str.extract(_UNIT_FINDER)
        ).str.replace_all("-", " "),
    )
    found = found.join(_UNIT_TABLE, on="unit_key", how="left", maintain_order="left")
    first, second = (pl.col("numbers").list.get(at, null_on_oob=True) for at in (0, 1))
    whole = (first == first.round(0)) & first.is_between(1, 500)
    is_range = (second > first) & (second < 2 * first) & (pl.col("kind") == "range")
    size = (
        pl.when(pl.col("kind") == "compound").then(first * _POUND + second * _OUNCE)
        .when(is_range).then((first + second) / 2 * pl.col("factor"))
        .when(pl.col("kind").is_in(["multiple", "range"])).then(second * pl.col("factor"))
        .when(pl.col("kind").is_in(["measure", "multiple_back"])).then(first * pl.col("factor"))
        .when(pl.col("token").str.contains(r"[\"']$")).then(first * UNITS["in"].factor)
        .when(pl.col("kind") == "length").then(first * pl.col("factor"))
    )  # fmt: skip
    number = (
        pl.when(pl.col("kind") == "dozen").then(pl.when(pl.col("token").str.starts_with("half")).then(6.0)
                                                .otherwise(first.fill_null(1.0) * 12))
        .when(pl.col("kind") == "multiple_back").then(second)
        .when((pl.col("kind") == "multiple") | ((pl.col("kind") == "range") & ~is_range)).then(
            pl.when(whole).then(first))
        .when(pl.col("kind").is_in(["pack", "pieces", "pieces_led"])).then(first)
    )  # fmt: skip
    return found.select(
        "row",
        "kind",
        size=pl.when(size > 0).then(size),
        dimension=pl.when(pl.col("kind") == "compound").then(pl.lit("mass")).otherwise("dimension"),
        unit=pl.when(pl.col("kind") == "compound").then(pl.lit("lb")).otherwise("unit"),
        number=pl.when(number >= 1).then(number),
    )


def _first(values: pl.Expr, where: pl.Expr) -> pl.Expr:
    return values.filter(where & values.is_not_null()).first()


def read_quantities(titles: pl.Series) -> pl.DataFrame:
    """The name reading of n titles.

    Returns
    -------
    DataFrame
        n rows: ``size`` (Float64, base unit a piece), ``dimension`` and ``name_unit`` (String), ``pack`` (Float64,
        1 where none is named), ``packs_product`` (all different packs multiplied), ``pieces`` (Float64 or null),
        ``length`` (metres), ``mentions`` (UInt32, expressions found). "6 ft cable" has a length and a pack of 1.
    """
    tokens = tokenize(titles)
    kind = pl.col("kind")
    amount, multiple = kind.is_in(_AMOUNT), kind.is_in(["multiple", "multiple_back", "range"])
    in_multiple = multiple & pl.col("number").is_not_null()
    is_pack = (kind == "pack") | in_multiple
    # a size that carries its own pack ("12 x 3.5 oz") says more than the first size alone
    rank = pl.struct(~in_multiple, pl.int_range(pl.len()))
    packs = pl.col("number").filter(kind == "pack")
    summary = tokens.group_by("row").agg(
        _first(pl.col("size").sort_by(rank), amount.sort_by(rank)).alias("size"),
        _first(pl.col("dimension").sort_by(rank), amount.sort_by(rank)).alias("dimension"),
        _first(pl.col("unit").sort_by(rank), amount.sort_by(rank)).alias("name_unit"),
        pl.col("size").filter(amount & pl.col("size").is_not_null()).last().alias("size_last"),
        pl.coalesce(packs.last(), pl.col("number").filter(in_multiple).first()).alias("pack"),
        pl.col("number").filter(is_pack).unique().product().alias("packs_product"),
        _first(pl.col("number"), kind.is_in(["pieces", "pieces_led", "dozen"])).alias("pieces"),
        _first(pl.col("size"), kind == "length").alias("length"),
        pl.len().alias("mentions"),
    )
    rows = pl.DataFrame({"row": pl.int_range(len(titles), dtype=pl.get_index_type(), eager=True)})
    return (
        rows.join(summary, on="row", how="left", maintain_order="left")
        .drop("row")
        .with_columns(
            pl.col("pack").fill_null(1.0).clip(1, 10_000),
            pl.col("packs_product").fill_null(1.0).clip(1, 100_000),
            pl.col("mentions").fill_null(0),
        )
    )


def _near(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Within `TOLERANCE` of each other; false where one is missing."""
    return ((left - right).abs() <= TOLERANCE * pl.max_horizontal(left, right)).fill_null(False)


def _log(values: str) -> pl.Expr:
    return pl.when(pl.col(values) > 0).then(pl.col(values).log())


def quantity_features(sections: pl.DataFrame) -> pl.DataFrame:
    """Quantity columns of n products.

    Parameters
    ----------
    sections : DataFrame
        n rows as `split_sections` gives them (item_name, bullets, description, value, unit).

    Returns
    -------
    DataFrame
        n rows, columns `NUMERIC` (Float64, null where unknown) and `CATEGORICAL` (String). Amounts are in the base unit
        of their dimension (g, ml, m, piece); logs are natural.
    """
    read = read_quantities(sections["item_name"])
    field = sections.select(_unit_key(pl.col("unit")).alias("unit_key"), "value").join(
        _UNIT_TABLE, on="unit_key", how="left", maintain_order="left"
    )
    frame = read.with_columns(
        value=field["value"],
        unit=field["unit"],
        field_dimension=field["dimension"],
        field_base=field["value"] * field["factor"],
    )
    size, pack, pieces, field_total = (pl.col(name) for name in ("size", "pack", "pieces", "total_field"))
    counted = pl.col("field_dimension") == "count"
    frame = frame.with_columns(
        total_field=pl.when(pl.col("field_dimension").is_in(["mass", "volume"])).then("field_base"),
        pieces_field=pl.when(counted).then("field_base"),
        total_name=size * pack,
    )
    explained = (
        _near(field_total, pl.col("total_name"))
        | _near(field_total, size * pieces)
        | _near(field_total, size * pieces * pack)
        | _near(field_total, size * pl.col("packs_product"))
        | (_near(field_total, pl.col("size_last") * pack) & _near(field_total, size))
    )
    by_pieces = _near(pl.col("pieces_field"), pieces * pack) | _near(pl.col("pieces_field"), pieces)
    frame = frame.with_columns(
        total=pl.when(explained).then(field_total).otherwise(pl.coalesce("total_name", field_total)),
        agrees=pl.when(field_total.is_not_null() & size.is_not_null()).then(explained.cast(pl.Float64)),
        pieces_total=pl.when(by_pieces & (pl.col("pieces_field") > 1))
        .then("pieces_field")
        .otherwise(pl.coalesce(pieces * pack, pl.max_horizontal("pieces_field", pl.when(pack > 1).then(pack)))),
        text_size=_fallback_size(sections, needed=frame.select(size.is_null()).to_series()),
    )
    frame = frame.with_columns(
        family=pl.coalesce(
            pl.when(size.is_not_null()).then("dimension"),
            "field_dimension",
            pl.when(pieces.is_not_null() | (pack > 1)).then(pl.lit("count")),
            pl.when(pl.col("length").is_not_null()).then(pl.lit("length")),
            pl.lit("none"),
        ),
        size_per_pack=size / pack,
        total_per_piece=pl.col("total") / pl.col("pieces_total"),
    )
    logs = ("value", "size", "pack", "pieces", "total", "total_name", "total_field", "pieces_total", "size_per_pack",
            "total_per_piece", "text_size", "length")  # fmt: skip
    plain = ("value", "size", "pack", "pieces", "total", "total_name", "total_field", "pieces_total", "agrees",
             "mentions")  # fmt: skip
    return frame.select(
        *(pl.col(name).cast(pl.Float64).alias(f"ipq_{name}") for name in plain),
        *(_log(name).alias(f"ipq_log_{name}") for name in logs),
        pl.col("family").alias("ipq_family"),
        pl.col("unit").fill_null("none").alias("ipq_unit"),
        pl.col("name_unit").fill_null("none").alias("ipq_name_unit"),
    ).select(*NUMERIC, *CATEGORICAL)


def _fallback_size(sections: pl.DataFrame, needed: pl.Series) -> pl.Series:
    """First mass or volume in bullets and description, for the rows whose name states none; null elsewhere."""
    text = sections.select(
        pl.when(needed).then(
            pl.concat_str(
                pl.col("bullets").str.slice(0, FALLBACK_CHARACTERS),
                pl.col("description").str.slice(0, FALLBACK_CHARACTERS),
                separator="\n",
            )
        )
    ).to_series()
    return read_quantities(text)["size"]
