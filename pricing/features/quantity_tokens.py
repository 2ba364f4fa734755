"""Quantity expressions of titles as a long table of numbers: `TOKEN`'s matches, read."""

import polars as pl

from pricing.features.fields import spelled_unit
from pricing.features.numbers import NUMBER, in_ascii
from pricing.features.quantity_patterns import (
    AMOUNT_KINDS,
    BACK_SIZE,
    NUMBER_WORDS,
    PORTIONS,
    TOKEN,
    TOKEN_KINDS,
    normalized_title,
)
from pricing.features.units import UNITS, unit_pattern

_KINDS = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in TOKEN_KINDS.items())
_UNIT_FINDER = in_ascii(rf"{NUMBER}\.?[ \-]*({unit_pattern('mass', 'volume', 'length', 'area')})\b")
_UNIT_TABLE = pl.DataFrame(
    {
        "unit": list(UNITS),
        "factor": [unit.factor for unit in UNITS.values()],
        "dimension": [unit.dimension for unit in UNITS.values()],
    }
)
_INCH = UNITS["in"].factor
#: numbers of one token that are read: three factors and a size
_READ = 4


def join_units(frame: pl.DataFrame, unit: pl.Expr) -> pl.DataFrame:
    """Add ``unit``, its name as an expression gives it, ``factor`` and ``dimension``; null where it is not known."""
    return frame.with_columns(unit=unit).join(_UNIT_TABLE, on="unit", how="left", maintain_order="left")


def tokenize(titles: pl.Series) -> pl.DataFrame:
    """All quantity expressions of n titles, in reading order.

    Returns
    -------
    DataFrame
        ``row`` (UInt32), ``kind`` (a key of `TOKEN_KINDS`); ``size`` (Float64, grams, millilitres or metres of one
        piece), its ``dimension`` and ``unit``, and ``size_number`` (in that unit); ``number`` (Float64: packs,
        containers or pieces; a chain of factors multiplied), ``inner`` (the 6 of "4 packs of 6"), ``counted`` (the 20
        of "6 x 20 tea bags", which are no packs); ``is_total`` ("420 in total"), ``is_each`` ("5.5 oz
        each"), ``is_portion`` ("6 oz fillets"), ``is_guess`` (a second reading of another line's token: "6-8 oz" as six
        of eight ounces).
    """
    found = _find(titles)
    token, kind = pl.col("token"), pl.col("kind")
    first, second, factor = pl.col("first"), pl.col("second"), pl.col("factor")
    whole = (first == first.round(0)) & first.is_between(1, 500)
    is_range = (second > first) & (second < 2 * first) & (kind == "range")
    is_list = kind == "range"
    # 1 qt 8 oz: ounces beside a quart are fluid; 100 g + 100 ml is no sum
    rest = (
        pl.when((pl.col("dimension") == "volume") & (pl.col("rest_unit") == "oz")).then(UNITS["fl oz"].factor)
        .when(pl.col("dimension") == pl.col("rest_dimension")).then("rest_factor").otherwise(0.0)
    )  # fmt: skip
    size = (
        pl.when(kind == "compound").then(first * factor + second * rest)
        .when(is_range).then((first + second) / 2 * factor)
        .when((kind == "multiple") | is_list).then(pl.col("sized") * factor)
        .when(kind.is_in(["measure", "multiple_back"])).then(
            first.fill_null(pl.when(token.str.starts_with("half")).then(0.5).otherwise(1.0)) * factor)
        .when(token.str.contains(r"[\"']$")).then(first * _INCH)
        .when(kind == "length").then(first * factor)
    )  # fmt: skip
    number = (
        pl.when(kind == "dozen").then(pl.when(token.str.starts_with("half")).then(6.0)
                                      .otherwise(first.fill_null(1.0) * 12))
        .when(kind == "multiple_back").then("back_factor")
        .when(kind == "counted_back").then(second)
        .when(kind == "multiple").then("front_factor")
        .when(is_list & ~is_range).then(pl.when(whole).then(first))
        .when(kind.is_in(["pack", "pieces"]) & token.str.contains(r"\d ?\+ ?\d")).then(first + second)
        .when((kind == "compound") & token.str.contains(r"x \d+$")).then(pl.col("numbers").list.last())
        .when((kind == "pack") & token.str.contains(r"\d (?:x|of) \d|^\d+ x pack")).then("product")
        .when(kind.is_in(["pack", "nested", "counted", "containers", "pieces", "pieces_led"])).then(first)
    )  # fmt: skip
    inch = token.str.contains(r"[\"']$")
    read = found.select(
        "row",
        "kind",
        size=pl.when(size > 0).then(size),
        dimension=pl.when(inch).then(pl.lit("length")).otherwise("dimension"),
        unit=pl.when(inch).then(pl.lit("in")).otherwise("unit"),
        size_number=size / factor,
        number=pl.when((number >= 1) & (number == number.round(0))).then(number),
        inner=pl.when(kind == "nested").then(second),
        counted=pl.when(kind == "counted").then(second).when(kind == "counted_back").then(first),
        # "5 lb case" at a phrase's end; "8 oz, case of 12" is another token
        is_total=kind.is_in(["measure", "pieces"]) & token.str.contains(r"total|(?:lbs?|pounds?|kg)\.? case[,;.)]?$"),
        is_each=kind.is_in(AMOUNT_KINDS) & token.str.contains(r"(?:each|ea)$"),
        is_portion=kind.is_in(["measure", "range"]) & token.str.contains(rf"{PORTIONS}$"),
        is_guess=pl.lit(False),
        listed_size=pl.when(is_range & whole).then(second * factor),
        listed_number=first,
    )
    guesses = read.filter(pl.col("listed_size").is_not_null()).with_columns(
        size="listed_size", number="listed_number", is_guess=pl.lit(True)
    )
    return pl.concat([read, guesses]).drop("listed_size", "listed_number").sort("row", maintain_order=True)


def _find(titles: pl.Series) -> pl.DataFrame:
    """A line a token: ``row``, ``token``, ``kind``; its ``first`` and ``second`` number, the one that is ``sized``, the
    ``product`` of all, of those besides the size (``front_factor``, null where one is not whole) and of those behind
    it (``back_factor``); its unit, joined, and that of a compound's rest (``rest_unit``, ``rest_factor``,
    ``rest_dimension``).
    """
    found = (
        titles.alias("title")
        .to_frame()
        .with_row_index("row")
        .select("row", normalized_title(pl.col("title").fill_null("")).str.extract_all(TOKEN).alias("token"))
        .explode("token", empty_as_null=False)
    )
    token, kind = pl.col("token"), pl.col("kind")
    kinds, units = token.str.extract_groups(_KINDS), token.str.extract_all(_UNIT_FINDER)
    found = found.with_columns(
        kind=pl.coalesce(pl.when(kinds.struct.field(name).is_not_null()).then(pl.lit(name)) for name in TOKEN_KINDS),
        numbers=_numbers(
            token.str.replace("weight", "", literal=True).str.replace_many(
                list(NUMBER_WORDS), list(NUMBER_WORDS.values())
            )
        ),
        behind=_numbers(token.str.replace(rf"^(?:{BACK_SIZE})", "")),
    ).with_columns(
        # the unit behind the last number ("5 oz (142 g) each": the first), written with hyphens or not; or a lone one
        written=pl.coalesce(
            pl.when(kind.is_in(["measure", "multiple_back", "compound"]))
            .then(units.list.first())
            .otherwise(units.list.last())
            .str.extract(_UNIT_FINDER)
            .str.replace_all("-", " "),
            token.str.extract(r"^(?:half )?(gallon|quart)"),
        ),
        rest_written=pl.when(kind == "compound").then(units.list.last().str.extract(_UNIT_FINDER)),
    )
    rest = join_units(found.select("rest_written"), spelled_unit(pl.col("rest_written"))).select(
        rest_unit="unit", rest_factor="factor", rest_dimension="dimension"
    )
    numbers = pl.col("numbers")
    # 12 x 40 g x 3: one factor behind the size, else none
    tail = token.str.contains(r"x \d+$")
    places = pl.when(tail).then(-2).otherwise(-1)
    factors = [numbers.list.get(place, null_on_oob=True) for place in range(_READ - 1)]
    # a factor has a number behind it
    factors = [pl.when(numbers.list.len() > place + 1).then(factor) for place, factor in enumerate(factors)]
    whole = pl.all_horizontal((factor.is_null() | (factor == factor.round(0)) | tail) for factor in factors)
    front = pl.col("product") / pl.col("sized")
    return (
        join_units(found, spelled_unit(pl.col("written")))
        .hstack(rest)
        .with_columns(
            first=numbers.list.get(0, null_on_oob=True),
            second=numbers.list.get(1, null_on_oob=True),
            sized=numbers.list.get(places, null_on_oob=True),
            product=_product(numbers),
            back_factor=_product(pl.col("behind")),
        )
        .with_columns(front_factor=pl.when(whole & front.is_between(1, 5_000)).then(front.round(9)))
    )


def _product(numbers: pl.Expr) -> pl.Expr:
    return numbers.list.eval(pl.element().product()).list.first()


def _numbers(text: pl.Expr) -> pl.Expr:
    return text.str.extract_all(in_ascii(NUMBER)).cast(pl.List(pl.Float64), strict=False)
