"""The Value and Unit lines: what they state, and which of them cannot be read.

A Value is read by the titles' own rules of numbers (`pricing.features.numbers`), beside its unit: "1,250" is 1,250
with grams and 1.25 with kilograms. A Unit is looked up as it is written, then without its brackets.
"""

from collections.abc import Mapping
from functools import cache

import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.catalogue.roles import role_name
from pricing.errors import ConfigError
from pricing.features.foreign_quantities import in_english
from pricing.features.numbers import NUMBER, plain_numbers
from pricing.features.units import FOREIGN, SPELLINGS, UNITS

#: unread values that are named
_COMMONEST = 5
#: how a missing value or unit is written
NOTHING = ("", "none", "nan", "null", "n/a", "na", "-")

#: grams and millilitres of languages in which a point parts thousands
_BY_POINT = ("gramm", "gramme", "grammes", "gramo", "gramos", "grammo", "grammi", "mililitro", "mililitros")
_CHAIN = rf"{NUMBER}(?: ?[x/] ?{NUMBER})*"
#: what may stand around a value's number, and a unit of its own behind it
_WRITTEN = rf"^(?:net |about |approx\.? |ca\.? |~ ?)?({_CHAIN})[ \-]?([a-z#].*)?$"


def unit_names(units: pl.Series) -> pl.Series:
    """Names of the units in `UNITS` that n texts write, null where one is not known.

    "Kilogram(s)", "Litre/s", "US Gallon", "Pound (lb)", "Fl. Oz.", "Liter [L]", "Stück" and "Unidad(es)" are read;
    case, dots and blanks do not matter. Brackets are tried as part of the name ("Ounces (fluid)"), then left out, then
    alone.
    """
    return _named(units.to_frame("unit").select_seq(_unit_readings()))


def spelled_units(units: pl.Series) -> pl.Series:
    """Names of n units without brackets, in lower case; null where one is not known."""
    return _named(evaluate(units.to_frame("unit"), _TIDY).to_frame())


_NAMES = FOREIGN | SPELLINGS
_TIDY = pl.col("unit").str.replace_all(r"[.,;:_\s]+", " ").str.strip_chars()


@cache
def _unit_readings() -> list[pl.Expr]:
    key = pl.col("unit").str.to_lowercase().str.replace_all(r"\((?:e?s|e?n|e)\)|/s\b|^u\.?s\.? ", "")
    bare, inside = key.str.replace_all(r"[(\[][^)\]]*[)\]]", " "), key.str.extract(r"[(\[]([^)\]]*)[)\]]")
    readings = (key.str.replace_all(r"[()\[\]]", " "), bare, inside)
    return [reading.str.replace_all(r"[.,;:_\s]+", " ").str.strip_chars().alias(str(number))
            for number, reading in enumerate(readings)]  # fmt: skip


def _named(readings: pl.DataFrame) -> pl.Series:
    """Name of the first reading of each row that is a unit's."""
    names = [next((_NAMES[one] for one in row if one in _NAMES), None) for row in readings.iter_rows()]
    return pl.Series("unit", names, dtype=pl.String)


def check_units(amounts: Mapping[str, str]) -> None:
    """Refuse columns of amounts whose unit is not known.

    Parameters
    ----------
    amounts : mapping of str to str
        Column to its unit: ``catalogue.columns.amount``.

    Raises
    ------
    ConfigError
        It is not; names the column and the known units.
    """
    names = unit_names(pl.Series([*amounts.values()], dtype=pl.String))
    for (column, unit), name in zip(amounts.items(), names, strict=True):
        if name is not None:
            continue
        raise ConfigError(
            f"catalogue.columns.amount: column {column!r} has the unit {unit!r}, which is not known; give one of "
            f"{', '.join(UNITS)}, or declare the column as a number"
        )


def missing(written: pl.Expr) -> pl.Expr:
    """Whether a line states nothing: it is not there, empty, "None" or the like."""
    return written.is_null() | written.str.to_lowercase().is_in(NOTHING)


@keeping_regexes
def read_values(fields: pl.DataFrame) -> pl.DataFrame:
    """Numbers of n Value lines.

    Parameters
    ----------
    fields : DataFrame
        n rows: ``value`` and ``unit`` (String, plain, as written; null where there is no line).

    Returns
    -------
    DataFrame
        n rows: ``value`` (Float64; null where it is missing, unread, not finite or not positive) and ``unit`` (String
        as written, null where missing). A unit that the Value line itself names ("500 g") comes before the Unit line's.
        "2 x 500" is 1,000, as in a title.
    """
    step = _value_steps()
    fields = fields.select_seq(value=step["value_said"], unit=step["unit_said"])
    written = in_english(evaluate(fields, step["tidy"]))
    named = fields.with_columns(name=unit_names(fields["unit"]).fill_null(""), written=written)
    named = named.with_columns(written=evaluate(named, step["thousands"]))
    named = named.with_columns(plain=plain_numbers(evaluate(named, step["beside_unit"])))
    read = named.with_columns_seq(number=step["number"], own=step["own"])
    return read.with_columns(own_name=unit_names(read["own"])).select_seq(value=step["value"], unit=step["unit"])


@cache
def _value_steps() -> dict[str, pl.Expr]:
    """The expressions of `read_values`, each over what those before it made."""
    written, own, own_name = pl.col("written"), pl.col("own"), pl.col("own_name")
    # a number and only noughts behind the point is a machine's whole number: 1.000 is one, whatever the unit
    machine = written.str.contains(r"^\d+\.0+$|^\d*\.?\d+e[+-]?\d+$")
    # "1.000" Gramm is a kilogram
    abroad = pl.col("unit").str.to_lowercase().str.strip_chars(" .").is_in(_BY_POINT)
    thousands = written.str.replace(r"^([1-9]\d?)\.(\d{3})$", "$1$2")
    # the unit beside the number was there for its reading alone
    alone = pl.col("plain").str.strip_suffix(pl.col("name")).str.strip_chars()
    factors = pl.col("number").str.extract_all(NUMBER).cast(pl.List(pl.Float64), strict=False)
    product = factors.list.eval(pl.element().product()).list.first()
    known = pl.when(own.is_null() | own_name.is_not_null()).then(product)
    value = pl.coalesce(known, written.cast(pl.Float64, strict=False))
    return {
        **{f"{name}_said": pl.when(~missing(pl.col(name))).then(name) for name in ("value", "unit")},
        "tidy": pl.col("value").str.to_lowercase().str.replace_all("[×*]", " x ").str.replace_all(r"[’`]", "'")
        .str.strip_chars_end(" .,;"),
        "thousands": pl.when(abroad).then(thousands).otherwise("written"),
        "beside_unit": pl.when(machine).then("written").otherwise(written + " " + pl.col("name")),
        "number": alone.str.extract(_WRITTEN, 1),
        "own": alone.str.extract(_WRITTEN, 2),
        "value": pl.when(value.is_finite() & (value > 0)).then(value),
        "unit": pl.when(own_name.is_not_null()).then("own").otherwise("unit"),
    }  # fmt: skip


def unread_fields(sections: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the Value and Unit lines that say something and could not be read.

    Parameters
    ----------
    sections : DataFrame
        n rows as `split_sections` gives them.

    Returns
    -------
    dict
        ``value`` and ``unit``: spelling to number of lines, the commonest first, the alphabet's first of two alike.
    """
    # a unit that the Value line names itself is read
    unread = sections.filter(~missing(pl.col("unit_written")) & unit_names(sections["unit"]).is_null())
    return {
        "value": _unread_values(sections["value_written"], sections["value"]),
        "unit": _counted(unread["unit_written"]),
    }


def unread_amounts(values: pl.Series, unit: str) -> dict[str, int]:
    """Count the values of a declared amount that say something and could not be read.

    Parameters
    ----------
    values : Series
        (n,) String, as written; null or empty where missing.
    unit : str
        Unit that the column was declared with.

    Returns
    -------
    dict
        Spelling to number of rows, the commonest first, the alphabet's first of two alike. A value with a unit of its
        own that is not known ("3 Furlong") counts, a missing one and 0 do not.

    Examples
    --------
    >>> unread_amounts(pl.Series(["1,5", "500 g", "heavy", "3 Furlong", "heavy", "0", ""]), "kg")
    {'heavy': 2, '3 Furlong': 1}
    """
    read = read_values(pl.DataFrame({"value": values}).with_columns(unit=pl.lit(unit)))
    return _unread_values(values, read["value"])


def unread_amount_words(frame: pl.DataFrame, amounts: Mapping[str, str]) -> list[str]:
    """Say which values of declared amounts could not be read, a sentence for each column that has some.

    Parameters
    ----------
    frame : DataFrame
        Rows of the catalogue.
    amounts : mapping of str to str
        Columns of the role amount, with their units.
    """
    said = []
    for column, unit in amounts.items():
        if unread := unread_amounts(frame[role_name("amount", column)], unit):
            commonest = ", ".join(f"{value!r} {times:,}" for value, times in [*unread.items()][:_COMMONEST])
            verbs = "value is no amount and counts" if sum(unread.values()) == 1 else "values are no amounts and count"
            said.append(f"Column {column}: {sum(unread.values()):,} {verbs} as missing: {commonest}.")
    return said


def _unread_values(written: pl.Series, read: pl.Series) -> dict[str, int]:
    nought = written.str.contains(r"^[+]?0*[.,]?0*$")
    says = pl.select(~missing(pl.lit(written))).to_series()
    return _counted(written.filter(says & read.is_null() & ~nought))


def _counted(lines: pl.Series) -> dict[str, int]:
    """Spelling to count, the commonest first, the alphabet's first of two alike."""
    counts = lines.alias("line").value_counts().sort("count", "line", descending=[True, False])
    return dict(counts.iter_rows())
