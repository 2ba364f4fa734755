"""Quantity expressions of titles as a long table of numbers: `TOKEN`'s matches, read."""

from functools import cache

import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.features.fields import spelled_units
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
_INCH = UNITS["in"].factor
#: numbers of one token that are read: three factors and a size
_READ = 4


def join_units(frame: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    """Add ``unit``, one of the names of `UNITS` or null, with its ``factor`` and ``dimension``."""
    units = [UNITS.get(name) for name in names]
    return frame.with_columns(
        unit=names,
        factor=pl.Series([unit and unit.factor for unit in units], dtype=pl.Float64),
        dimension=pl.Series([unit and unit.dimension for unit in units], dtype=pl.String),
    )


@keeping_regexes
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
    numbers, columns = _token_columns()
    read = _find(titles).with_columns_seq(**numbers).select_seq(**columns)
    guesses = read.filter(pl.col("listed_size").is_not_null()).with_columns(
        size="listed_size", number="listed_number", is_guess=pl.lit(True)
    )
    return pl.concat([read, guesses]).drop("listed_size", "listed_number").sort("row", maintain_order=True)


@cache
def _token_columns() -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
    """What `tokenize` reads in the lines of `_find`, size and number first.

    ``listed_size`` and ``listed_number`` are the second reading's.
    """
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
    numbers = {"size": size, "number": number, "inch": token.str.contains(r"[\"']$")}
    sized, said, inch = (pl.col(name) for name in numbers)
    return numbers, {"row": pl.col("row"), "kind": kind} | {
        "size": pl.when(sized > 0).then(sized),
        "dimension": pl.when(inch).then(pl.lit("length")).otherwise("dimension"),
        "unit": pl.when(inch).then(pl.lit("in")).otherwise("unit"),
        "size_number": sized / factor,
        "number": pl.when((said >= 1) & (said == said.round(0))).then(said),
        "inner": pl.when(kind == "nested").then(second),
        "counted": pl.when(kind == "counted").then(second).when(kind == "counted_back").then(first),
        # "5 lb case" at a phrase's end; "8 oz, case of 12" is another token
        "is_total": kind.is_in(["measure", "pieces"])
        & token.str.contains(r"total|(?:lbs?|pounds?|kg)\.? case[,;.)]?$"),
        "is_each": kind.is_in(AMOUNT_KINDS) & token.str.contains(r"(?:each|ea)$"),
        "is_portion": kind.is_in(["measure", "range"]) & token.str.contains(rf"{PORTIONS}$"),
        "is_guess": pl.lit(False),
        "listed_size": pl.when(is_range & whole).then(second * factor),
        "listed_number": first,
    }


def _find(titles: pl.Series) -> pl.DataFrame:
    """A line a token: ``row``, ``token``, ``kind``; its ``first`` and ``second`` number, the one that is ``sized``, the
    ``product`` of all, of those besides the size (``front_factor``, null where one is not whole) and of those behind
    it (``back_factor``); its unit, joined, and that of a compound's rest (``rest_unit``, ``rest_factor``,
    ``rest_dimension``).
    """
    found = (
        normalized_title(titles.fill_null(""))
        .str.extract_all(TOKEN)
        .alias("token")
        .to_frame()
        .with_row_index("row")
        .explode("token", empty_as_null=False)
    )
    found = found.with_columns_seq(**_kinds_and_numbers()).with_columns_seq(**_written_units())
    rest = join_units(found.select("rest_written"), spelled_units(found["rest_written"])).select(
        rest_unit="unit", rest_factor="factor", rest_dimension="dimension"
    )
    found = join_units(found, spelled_units(found["written"])).hstack(rest)
    found = found.with_columns_seq(**_numbers_by_place())
    return found.with_columns(front_factor=evaluate(found, _front_factor()))


@cache
def _kinds_and_numbers() -> dict[str, pl.Expr]:
    token = pl.col("token")
    kinds = token.str.extract_groups(_KINDS)
    return {
        "kind": pl.coalesce(pl.when(kinds.struct.field(name).is_not_null()).then(pl.lit(name)) for name in TOKEN_KINDS),
        "numbers": _numbers(
            token.str.replace("weight", "", literal=True).str.replace_many(
                list(NUMBER_WORDS), list(NUMBER_WORDS.values())
            )
        ),
        "behind": _numbers(token.str.replace(rf"^(?:{BACK_SIZE})", "")),
    }


@cache
def _written_units() -> dict[str, pl.Expr]:
    token, kind = pl.col("token"), pl.col("kind")
    units = token.str.extract_all(_UNIT_FINDER)
    return {
        # the unit behind the last number ("5 oz (142 g) each": the first), written with hyphens or not; or a lone one
        "written": pl.coalesce(
            pl.when(kind.is_in(["measure", "multiple_back", "compound"]))
            .then(units.list.first())
            .otherwise(units.list.last())
            .str.extract(_UNIT_FINDER)
            .str.replace_all("-", " "),
            token.str.extract(r"^(?:half )?(gallon|quart)"),
        ),
        "rest_written": pl.when(kind == "compound").then(units.list.last().str.extract(_UNIT_FINDER)),
    }


@cache
def _numbers_by_place() -> dict[str, pl.Expr]:
    numbers = pl.col("numbers")
    return {
        "first": numbers.list.get(0, null_on_oob=True),
        "second": numbers.list.get(1, null_on_oob=True),
        "sized": numbers.list.get(pl.when(_tail()).then(-2).otherwise(-1), null_on_oob=True),
        "product": _product(numbers),
        "back_factor": _product(pl.col("behind")),
    }


@cache
def _tail() -> pl.Expr:
    # 12 x 40 g x 3: one factor behind the size, else none
    return pl.col("token").str.contains(r"x \d+$")


@cache
def _front_factor() -> pl.Expr:
    numbers, tail = pl.col("numbers"), _tail()
    factors = [numbers.list.get(place, null_on_oob=True) for place in range(_READ - 1)]
    # a factor has a number behind it
    factors = [pl.when(numbers.list.len() > place + 1).then(factor) for place, factor in enumerate(factors)]
    whole = pl.all_horizontal((factor.is_null() | (factor == factor.round(0)) | tail) for factor in factors)
    front = pl.col("product") / pl.col("sized")
    return pl.when(whole & front.is_between(1, 5_000)).then(front.round(9))


def _product(numbers: pl.Expr) -> pl.Expr:
    return numbers.list.eval(pl.element().product()).list.first()


def _numbers(text: pl.Expr) -> pl.Expr:
    return text.str.extract_all(in_ascii(NUMBER)).cast(pl.List(pl.Float64), strict=False)
