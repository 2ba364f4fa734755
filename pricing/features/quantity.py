"""Quantities: how much of a product a price buys.

Two readings are made and both are kept: the *name* reading (sizes, packs and pieces found in the Item Name) and the
*field* reading (the Value and Unit lines). The conflict rule, in order:

1. If the field's amount is, within 6 %, something the name allows (any size that it states, times the packs, containers
   or pieces that it states), the field is right. 6 % also covers weight ounces written as fluid ounces (4.3 % apart).
2. If the name states no pack and the field is a whole multiple of the name's size, or a whole count beside a size
   without pieces, the field is right: so many of them.
3. Otherwise, if the name states a size, the total is the name's: a stated total, or size x pack. A field that repeats
   the size of one piece, or that counts packets, is the usual disagreement.
4. Otherwise the field is taken as it is; only where it merely counts, and the name has neither size nor pieces, a net
   weight or a container's size in the bullets, times the packs, is better.

Pieces go the same way. All in polars expressions; no loop over rows.
"""

from functools import cache

import polars as pl

from pricing.catalogue.kept_regexes import keeping_regexes
from pricing.features.fields import unit_names
from pricing.features.quantity_patterns import TEXT_SIZE, normalized_title
from pricing.features.quantity_rules import MOST_UNSAID, resolve_amounts, resolve_pieces, summarise_counts
from pricing.features.quantity_tokens import join_units, tokenize
from pricing.features.schema import WORDS, log_words, make_columns

#: characters of bullets, and of the description, that are searched for a size when the name has none
FALLBACK_CHARACTERS = 1_500

#: what comes in bags or pods
_IN_BAGS = r"(?i)\b(?:tea|k[ -]?cups?|pods?|capsules?)\b"

_LOGS = ("amount", "value", "size", "pack", "pieces", "total", "total_name", "total_field", "pieces_total",
         "size_per_pack", "total_per_piece", "text_size", "length")  # fmt: skip
_PLAIN = ("amount", "value", "size", "pack", "pieces", "total", "total_name", "total_field", "pieces_total", "agrees",
          "mentions")  # fmt: skip
NUMERIC = (*(f"ipq_{name}" for name in _PLAIN), *(f"ipq_log_{name}" for name in _LOGS))
CATEGORICAL = ("ipq_family", "ipq_unit", "ipq_name_unit")
_SAID = WORDS["quantity"]
COLUMNS = make_columns(
    "quantity", NUMERIC, CATEGORICAL,
    words=_SAID | {f"ipq_log_{name}": log_words(_SAID[f"ipq_{name}"]) for name in _LOGS if name in _PLAIN},
    roles={"ipq_amount": "amount", "ipq_pack": "pack", "ipq_log_amount": "log_amount", "ipq_log_total": "log_total",
           "ipq_log_pack": "log_pack", "ipq_pieces_total": "pieces", "ipq_family": "amount_family"},
)  # fmt: skip


def read_quantities(titles: pl.Series, fields: pl.DataFrame | None = None) -> pl.DataFrame:
    """The quantities of n titles, by themselves or together with their Value and Unit lines.

    Parameters
    ----------
    titles : Series
        (n,) String.
    fields : DataFrame, optional
        n rows: ``value`` (Float64) and ``unit`` (String), null where missing.

    Returns
    -------
    DataFrame
        n rows. ``size`` (Float64, base unit, one piece), ``dimension`` and ``name_unit`` (String) of the title;
        ``pack`` (Float64, 1 where none), ``packs`` (as the title alone says), ``pieces`` (in one pack),
        ``pieces_total``; ``total_name``, ``total_field``, ``total`` and ``total_dimension``; ``explained`` (the title
        allows the field); ``length`` and ``length_dimension``; ``field_base``, ``field_dimension``, ``unit``;
        ``mentions`` (UInt32, expressions found). "6 ft cable" has a length and a pack of 1.
    """
    if fields is None:
        fields = pl.DataFrame({"value": [None] * len(titles), "unit": [None] * len(titles)},
                              schema={"value": pl.Float64, "unit": pl.String})  # fmt: skip
    tokens, in_bags = tokenize(titles), titles.str.contains(_IN_BAGS).fill_null(False)
    field = join_units(fields, unit_names(fields["unit"])).select_seq(**_field_columns()).with_columns(in_bags=in_bags)
    rows = summarise_counts(len(titles), tokens).hstack(field)
    amounts = resolve_amounts(tokens, rows)
    return (
        rows.with_columns(pieces_total=resolve_pieces())
        .join(amounts, on="row", how="left", maintain_order="left")
        .with_columns_seq(**_read_columns())
    )


@cache
def _field_columns() -> dict[str, pl.Expr]:
    """What the Value and Unit lines say."""
    dimension, base = pl.col("dimension"), pl.col("value") * pl.col("factor")
    return {
        "value": pl.col("value"),
        "unit": pl.col("unit"),
        "field_base": base,
        "field_count": pl.when((dimension == "count") & (base == base.round(0))).then(base),
        "field": pl.when(dimension.is_in(["mass", "volume"])).then(base),
        "field_dimension": dimension,
    }


@cache
def _read_columns() -> dict[str, pl.Expr]:
    """What title and lines say together."""
    return {
        "pack": pl.coalesce("pack", "packs", pl.lit(1.0)).clip(1, 100_000),
        "total": pl.coalesce("total", "field"),
        "total_field": pl.col("field"),
        "total_dimension": pl.coalesce(
            "total_dimension", pl.when(pl.col("field").is_not_null()).then("field_dimension")
        ),
        "pieces": pl.coalesce("pieces", "pieces_stated"),
    }


@keeping_regexes
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
        of their dimension (g, ml, m, m2, piece), ``ipq_amount`` in that of ``ipq_family``; logs are natural.
    """
    frame = read_quantities(sections["item_name"], sections.select("value", "unit"))
    text = _text_sizes(sections, frame["size"].is_null())
    frame = frame.with_columns(text_size=text["size"], text_pack=text["pack"], text_dimension=text["dimension"])
    with_text, derived, amount, columns = _feature_steps()
    frame = frame.with_columns_seq(**with_text).with_columns_seq(**derived).with_columns_seq(amount)
    return frame.select_seq(columns)


@cache
def _feature_steps() -> tuple[dict[str, pl.Expr], dict[str, pl.Expr], pl.Expr, list[pl.Expr]]:
    """What `quantity_features` makes of the readings of title, lines and text, step by step."""
    spatial = pl.col("field_dimension").is_in(["length", "area"])
    # a field that only counts says less than a net weight in the bullets
    from_text = pl.col("total").is_null() & pl.col("pieces").is_null() & pl.col("containers").is_null()
    from_text = from_text & ~spatial.fill_null(False) & ~pl.col("in_bags")
    said = (pl.when(pl.col(name).is_between(2, most)).then(name)
            for name, most in (("text_pack", 1_000), ("pack", 1_000), ("field_count", MOST_UNSAID)))  # fmt: skip
    with_text = {
        "total": pl.when(from_text).then(pl.col("text_size") * pl.coalesce(*said, pl.lit(1.0))).otherwise("total"),
        "total_dimension": pl.when(from_text).then("text_dimension").otherwise("total_dimension"),
        "agrees": pl.when(pl.col("total_field").is_not_null()).then(pl.col("explained").cast(pl.Float64)),
    }
    counts = pl.col("pieces_total").is_not_null() | (pl.col("field_dimension") == "count").fill_null(False)
    spatial_total = pl.when(spatial).then("field_base").otherwise(pl.col("length") * pl.col("pack"))
    derived = {
        "family": pl.coalesce(
            "total_dimension",
            pl.when(spatial).then("field_dimension"),
            pl.when(counts).then(pl.lit("count")),
            "length_dimension",
            pl.lit("none"),
        ),
        "size_per_pack": pl.col("size") / pl.col("pack"),
        "total_per_piece": pl.col("total") / pl.col("pieces_total"),
    }
    amount = (
        pl.when(pl.col("family").is_in(["mass", "volume"])).then("total")
        .when(pl.col("family") == "count").then("pieces_total")
        .when(pl.col("family") != "none").then(spatial_total).alias("amount")
    )  # fmt: skip
    return (
        with_text,
        derived,
        amount,
        [
            *(pl.col(name).cast(pl.Float64).alias(f"ipq_{name}") for name in _PLAIN),
            *(pl.when(pl.col(name) > 0).then(pl.col(name).log()).alias(f"ipq_log_{name}") for name in _LOGS),
            pl.col("family").alias("ipq_family"),
            pl.col("unit").fill_null("none").alias("ipq_unit"),
            pl.col("name_unit").fill_null("none").alias("ipq_name_unit"),
        ],
    )


def _text_sizes(sections: pl.DataFrame, needed: pl.Series) -> pl.DataFrame:
    """Net weight or container size in bullets and description, for the rows whose name states none; null elsewhere."""
    schema = {"size": pl.Float64, "dimension": pl.String, "pack": pl.Float64}
    nothing = pl.DataFrame(schema=schema).clear(sections.height)
    if not needed.any():
        return nothing
    rows = sections.with_row_index("row").filter(needed)
    parts = (pl.col(part).str.slice(0, FALLBACK_CHARACTERS) for part in ("bullets", "description"))
    text = normalized_title(rows.select(text=pl.concat_str(*parts, separator="\n"))["text"])
    found = rows.select("row", text=text.str.extract(TEXT_SIZE, 0)).filter(pl.col("text").is_not_null())
    if found.is_empty():
        return nothing
    read = read_quantities(found["text"]).select("size", "dimension", "pack")
    index = pl.DataFrame({"row": pl.int_range(sections.height, dtype=pl.get_index_type(), eager=True)})
    return index.join(found.select("row").hstack(read), on="row", how="left", maintain_order="left")
