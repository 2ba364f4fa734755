"""The conflict rule of quantities: what a title's expressions and the Value and Unit lines say together.

See `pricing.features.quantity` for the rule in words. Everything is a polars expression over tables with a line a
title or a line an expression.
"""

from functools import cache

import polars as pl

from pricing.features.quantity_patterns import AMOUNT_KINDS
from pricing.features.units import UNITS

#: relative difference under which two amounts are one
TOLERANCE = 0.06
#: relative difference to a whole multiple of a size under which a field is that multiple
WHOLE = 0.015
#: relative difference under which a size is another one times the packs
SUM = 0.03
#: sizes of one title that are compared with each other, the first ones: pairs grow with their square
_COMPARED = 20
#: packs that a field may hold without the name saying so
MOST_UNSAID = 48
#: a fluid ounce of water weighs this many ounces; sellers write one for the other
FLUID = UNITS["fl oz"].factor / UNITS["oz"].factor


def near(left: pl.Expr, right: pl.Expr, tolerance: float = TOLERANCE) -> pl.Expr:
    """Within a relative tolerance of each other; false where one is missing."""
    return ((left - right).abs() <= tolerance * pl.max_horizontal(left, right)).fill_null(False)


def summarise_counts(rows: int, tokens: pl.DataFrame) -> pl.DataFrame:
    """What each of n names says besides sizes.

    Parameters
    ----------
    rows : int
        n.
    tokens : DataFrame
        Of `tokenize`.

    Returns
    -------
    DataFrame
        n rows: ``row``; ``packs`` (different packs multiplied, 1 where none), ``pack_last``, ``inner`` (packs in a
        pack, 1 where none), ``containers``; ``pieces``, ``pieces_least``, ``pieces_most``, ``pieces_product`` and
        ``pieces_stated`` (a stated total), null where none; ``length`` (metres or square metres) and
        ``length_dimension``; ``mentions``.
    """
    found = tokens.group_by("row").agg(_counts())
    index = pl.DataFrame({"row": pl.int_range(rows, dtype=pl.get_index_type(), eager=True)})
    return index.join(found, on="row", how="left", maintain_order="left").with_columns(**_count_columns())


@cache
def _counts() -> list[pl.Expr]:
    """What the tokens of one name count."""
    kind, number = pl.col("kind"), pl.col("number")
    is_pack, is_pieces = (
        kind.is_in(["pack", "nested", "counted", "counted_back"]),
        kind.is_in(["pieces", "pieces_led", "dozen"]),
    )
    inner = pl.when(pl.col("inner") > 1).then("inner")
    pieces = pl.coalesce(pl.when(is_pieces & ~pl.col("is_total")).then(number), "counted", inner)
    return [
        number.filter(is_pack).drop_nulls().unique().product().alias("packs"),
        number.filter(is_pack).drop_nulls().last().alias("pack_last"),
        inner.drop_nulls().first().alias("inner"),
        number.filter(kind == "containers").drop_nulls().first().alias("containers"),
        pieces.drop_nulls().first().alias("pieces"),
        pieces.drop_nulls().min().alias("pieces_least"),
        pieces.drop_nulls().max().alias("pieces_most"),
        pieces.drop_nulls().unique().product().clip(1, 1e6).alias("pieces_product"),
        number.filter(is_pieces & pl.col("is_total")).first().alias("pieces_stated"),
        pl.col("size").filter(kind == "length").drop_nulls().first().alias("length"),
        pl.col("dimension").filter(kind == "length").drop_nulls().first().alias("length_dimension"),
        (~pl.col("is_guess")).sum().alias("mentions"),
    ]


@cache
def _count_columns() -> dict[str, pl.Expr]:
    """The counts of all names, those without a token too."""
    return {
        "packs": pl.col("packs").fill_null(1.0).clip(1, 100_000),
        "pack_last": pl.col("pack_last").fill_null(1.0),
        "inner": pl.col("inner").fill_null(1.0),
        "mentions": pl.col("mentions").fill_null(0),
        # "pack of 3 ... 3 boxes" says one thing twice, and so does "5 boxes of 20 bags, 100 bags"
        "containers": pl.when(
            (pl.col("containers") != pl.col("packs"))
            & (pl.col("containers") != pl.col("packs") * pl.col("inner").fill_null(1.0))
        ).then("containers"),
        "pieces_product": pl.when(pl.col("pieces").is_not_null()).then("pieces_product"),
    }


def resolve_amounts(tokens: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The size that counts in each name that states one, and what it is multiplied by.

    Parameters
    ----------
    tokens : DataFrame
        Of `tokenize`.
    rows : DataFrame
        n rows: columns of `summarise_counts`, and of the field ``field`` and ``field_dimension`` (mass or volume, base
        unit; null for others), ``field_count`` (whole pieces or null), ``in_bags`` (the product comes in bags or pods).

    Returns
    -------
    DataFrame
        At most a line a row: ``row``; ``size``, ``dimension`` and ``name_unit``; ``pack``; ``total_name`` (by the name
        alone); ``total`` and ``total_dimension``; ``explained`` (the name allows the field).
    """
    meant, order, many = _choice()
    chosen = _lines(tokens, rows).filter(meant).sort(order).unique("row", keep="first", maintain_order=True)
    return chosen.with_columns(many).select(**_amount_columns())


@cache
def _choice() -> tuple[pl.Expr, list[pl.Expr], pl.Expr]:
    """Which sizes may count, in which order, and the packs that the chosen one does not name."""
    explained, stated = pl.col("explained"), pl.col("is_total")
    # what explains the field; else a stated total; else no portion; else a size with its own number; else the first
    order = [pl.col("row"), ~explained, ~explained & ~stated, pl.col("is_portion"), pl.col("times") == 1,
             pl.col("position")]  # fmt: skip
    many = pl.when(~explained & pl.col("unsaid")).then(_unsaid_packs()).alias("many")
    return explained | ~pl.col("is_guess"), order, many


@cache
def _amount_columns() -> dict[str, pl.Expr]:
    """What the chosen size says, with the field."""
    explained, stated = pl.col("explained"), pl.col("is_total")
    packs, times, many = (pl.col(name) for name in ("packs", "times", "many"))
    same = pl.col("dimension") == pl.col("field_dimension")
    # the field's number where both speak of one dimension, or where the name's "oz" may be either
    by_field = (explained | many.is_not_null()) & (same | (pl.col("name_unit") == "oz")) & pl.col("field").is_not_null()
    by_field = by_field & pl.coalesce(pl.col("factor"), pl.col("field_many")).is_not_null()
    # "10-Quart Box", 2.5 ounces: a powder, and what is made of it
    made = ~explained & pl.col("name_unit").is_in(["quart", "gallon", "l"]) & (pl.col("field_dimension") == "mass")
    by_field = by_field | (made & (10 * pl.col("field") < pl.col("own"))).fill_null(False)
    # "Low Sugar (3g)", 56 ounces: a nutrient
    nutrient = ~explained & (pl.col("name_unit") == "g") & (pl.col("own") <= 60) & (pl.col("field") > 3 * pl.col("own"))
    by_field = by_field | (nutrient & many.is_null()).fill_null(False)
    own_packs = pl.when((times > 1) & (packs == 1)).then(times).otherwise(packs)
    return {name: pl.col(name) for name in ("row", "dimension", "name_unit", "explained")} | {
        # a stated total is no size of one piece
        "size": pl.when(stated).then(pl.col("size") / pl.max_horizontal(packs, times)).otherwise("size"),
        "pack": pl.coalesce(
            pl.when(pl.col("said") > 1).then("said"),
            many,
            pl.when(~explained & pl.col("unsaid")).then("containers"),
            pl.when(explained).then(own_packs).otherwise(own_packs * pl.col("inner")),
        ),
        "total_name": pl.col("own") * pl.col("by_name"),
        "total": pl.when(by_field).then("field").otherwise(pl.col("own") * pl.coalesce("factor", many, "by_name")),
        "total_dimension": pl.when(by_field).then("field_dimension").otherwise("dimension"),
    }


def _lines(tokens: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """A line a stated size: ``own`` (with its own number), ``by_name`` (the name's factor), ``factor`` (the one that
    gives the field, null where none does) and ``said`` (the packs in that), ``explained``, ``unsaid`` (no pack named).
    """
    sizes, columns, own, unsaid, factors, explained = _line_steps()
    lines = tokens.filter(sizes).with_row_index("position").select(**columns)
    lines = lines.join(rows, on="row", how="left", maintain_order="left").with_columns(**own).with_columns(unsaid)
    return _with_sums(lines).with_columns(**factors).with_columns(explained)


@cache
def _line_steps() -> tuple[pl.Expr, dict[str, pl.Expr], dict[str, pl.Expr], pl.Expr, dict[str, pl.Expr], pl.Expr]:
    """The expressions of `_lines`, in their order."""
    field, packs, times, own = (pl.col(name) for name in ("field", "packs", "times", "own"))
    pieces, containers, inner = (pl.col(name) for name in ("pieces", "containers", "inner"))
    sizes = pl.col("kind").is_in(AMOUNT_KINDS) & pl.col("size").is_not_null()
    same = ("row", "position", "size", "dimension", "size_number", "is_total", "is_portion", "is_guess")
    columns = {name: pl.col(name) for name in same} | {
        "is_each": pl.col("is_each") | pl.col("is_portion"),
        "name_unit": pl.col("unit"),
        "times": pl.col("number").fill_null(1.0),
    }
    # "12 x 10 oz (pack of 12)" says one thing twice, and so does "10 oz cans, 24 count (4 packs of 6)"
    once = {
        "packs": pl.when((times == packs) | (times == packs * inner)).then(1.0).otherwise(packs),
        "inner": pl.when((times > 1) & (times == packs * inner)).then(1.0).otherwise(inner),
        "own": pl.col("size") * times,
    }
    # what a size may be multiplied by beside its own number, likeliest first, and the packs in that
    allowed = [
        (packs, packs), (packs * inner, packs * inner), (packs * containers, packs * containers),
        (containers, containers), (pl.col("pack_last"), pl.col("pack_last")), (packs * pieces, packs),
        (packs * pl.col("pieces_most"), packs), (pieces, packs), (pl.col("pieces_stated"), packs),
        (packs * pl.col("pieces_product"), packs),
    ]  # fmt: skip
    fits = [near(field, own * factor) for factor, _ in allowed]
    factors = {
        "factor": pl.coalesce(
            *(pl.when(fit).then(factor) for fit, (factor, _) in zip(fits, allowed, strict=True)),
            pl.when(pl.col("is_total") & near(field, own)).then(1.0),
        ),
        "said": pl.coalesce(pl.when(fit).then(said) for fit, (_, said) in zip(fits, allowed, strict=True)),
        "by_name": pl.when("is_total").then(1.0)
        .when(pl.col("is_each") & pieces.is_not_null()).then(packs * pieces)
        .when(pl.col("unsaid") & containers.is_not_null()).then(containers)
        .otherwise(packs * inner),
        "field_many": _field_multiple(),
    }  # fmt: skip
    unsaid, explained = (packs == 1) & (times == 1), pl.col("factor").is_not_null()
    return sizes, columns, once, unsaid.alias("unsaid"), factors, explained.alias("explained")


def _with_sums(lines: pl.DataFrame) -> pl.DataFrame:
    """Mark the sizes that are another size times the name's packs: "10 lb (case of 4 - 2.5 lb bags)" states a total."""
    if lines["row"].n_unique() == lines.height:
        return lines
    step = _sum_steps()
    first = lines.filter(step["first"])
    parts = first.filter(step["read"]).select(**_sum_parts())
    pairs = parts.join(first, on=["row", "dimension"]).filter(step["other"])
    sums, summed = (pairs.filter(step[name])["position"] for name in ("sum", "summed"))
    echoed = pairs.filter(step["echoed"]).group_by("position").agg(step["parts"])
    is_sum, is_summed = (lines["position"].is_in(places.implode()) for places in (sums, summed))
    lines = lines.join(echoed, on="position", how="left", maintain_order="left")
    lines = lines.with_columns(is_total=lines["is_total"] | is_sum | is_summed, is_summed=is_summed)
    return lines.with_columns(own=step["own"], times=step["times"]).drop("is_summed")


@cache
def _sum_parts() -> dict[str, pl.Expr]:
    """What a size is to the others of its name: a part, and what it is times the name's packs."""
    packs, containers = pl.col("packs"), pl.col("containers").fill_null(1.0)
    many = (packs, packs * pl.col("inner"), packs * containers, packs * pl.col("pieces").fill_null(1.0))
    sums = pl.concat_list(pl.col("own") * factor for factor in many)
    renamed = {"part": "position", "part_own": "own", "part_times": "times"}
    return {name: pl.col(name) for name in ("row", "dimension")} | {
        **{name: pl.col(column) for name, column in renamed.items()}, "sums": sums
    }  # fmt: skip


@cache
def _sum_steps() -> dict[str, pl.Expr]:
    """The expressions of `_with_sums`."""
    own, times, size, part_times = (pl.col(name) for name in ("own", "times", "size", "part_times"))
    stated = pl.any_horizontal(near(own, pl.col("sums").list.get(place), SUM) for place in range(4))
    return {
        "first": pl.int_range(pl.len()).over("row") < _COMPARED,
        "read": ~pl.col("is_guess"),
        "other": pl.col("part") != pl.col("position"),
        "sum": (times == 1) & stated & ~near(own, pl.col("part_own"), SUM),
        # "12 fl oz, 24 cans (288 fl oz)": what stands in the bracket is no size of a can
        "summed": (times > 1) & near(size, pl.col("part_own") * times, SUM),
        # "1 kg (2 x 500 g)": the kilogram is in two parts, and multiplied by further packs
        "echoed": (times == 1) & (part_times > 1) & near(own, pl.col("part_own"), SUM),
        "parts": part_times.max().alias("parts"),
        "own": pl.when("is_summed").then("size").otherwise("own"),
        "times": pl.coalesce("parts", "times"),
    }


@cache
def _field_multiple() -> pl.Expr:
    """How many times a field holds a size, where that is a whole number of 2 to `MOST_UNSAID`; null elsewhere."""
    ratio = pl.col("field") / pl.col("own")
    same, mass = pl.col("dimension") == pl.col("field_dimension"), pl.col("dimension") == "mass"
    ratio = pl.when(same).then(ratio).when(mass).then(ratio / FLUID).otherwise(ratio * FLUID)
    whole = ratio.round(0)
    # "1 dram" with a Value of 1 fluid ounce has the number right and the unit wrong
    repeats = near(pl.col("value"), pl.col("size_number"), 1e-6)
    return pl.when(whole.is_between(2, MOST_UNSAID) & near(ratio, whole, WHOLE) & ~repeats).then(whole)


@cache
def _unsaid_packs() -> pl.Expr:
    """Packs that the field holds and the name does not say; null where there are none."""
    counted = pl.col("field_count")
    # a count that repeats the number of the size ("16 oz", Value 16) is that size; tea bags are no packs
    counts = counted.is_between(2, MOST_UNSAID) & ~near(counted, pl.col("size_number"), 1e-6) & ~pl.col("in_bags")
    nothing_named = pl.col("pieces").is_null() & pl.col("containers").is_null() & pl.col("pieces_stated").is_null()
    return pl.coalesce(pl.col("field_many"), pl.when(counts & nothing_named).then(counted))


@cache
def resolve_pieces() -> pl.Expr:
    """Pieces in all, over the columns of `summarise_counts` and ``field_count``; null where nothing counts."""
    packs, pieces, most, product, stated, containers, counted = (
        pl.col(name)
        for name in ("packs", "pieces", "pieces_most", "pieces_product", "pieces_stated", "containers", "field_count")
    )
    allowed = (pieces * packs, pieces, most * packs, most, product * packs, product, pieces * containers, stated)
    confirmed = pl.any_horizontal(near(counted, candidate, 1e-6) for candidate in allowed) & (counted > 1)
    # "20 count (pack of 6), 120 tea bags" states its total without saying so
    sums_up = near(most, pl.col("pieces_least") * packs, 1e-6) & (packs > 1)
    named = pl.coalesce(stated, pl.when(sums_up).then(most), pieces * packs * containers.fill_null(1.0))
    cases = (counted / named == (counted / named).round(0)) & (counted > named) & (packs == 1)
    in_packs = pl.coalesce(pl.when(containers.is_not_null()).then(containers * packs), pl.when(packs > 1).then(packs))
    return (
        pl.when(confirmed).then(counted)
        .when(cases & stated.is_null()).then(counted)
        .otherwise(pl.coalesce(named, pl.max_horizontal(counted, in_packs)))
    )  # fmt: skip
