"""Numbers in lower-case text, written as plain decimals: ``1,250 kg`` and ``1.250 kg`` as ``1.250 kg``, ``1 1/2`` as
``1.5``. Titles and Value lines share it.

A comma, a point, an apostrophe or a blank between digits parts either thousands or decimals. What decides, in order:
a leading 0 (decimals), several separators (``1.000,5``), how many digits follow (three, or not), and where three do,
whether the thousands could be meant: no title sells 1,250 kg. A number that fits no rule is taken out ("?"), so that
no match ever begins behind its separator.
"""

from collections.abc import Iterable

import polars as pl

from pricing.catalogue.kept_regexes import evaluate, keeping_regexes
from pricing.features.units import UNITS, unit_pattern


def in_ascii(pattern: str) -> str:
    r"""Let ``\\b``, ``\\d``, ``\\w`` and ``\\s`` of a pattern mean ASCII (and the letters of Western Europe) alone.

    Unicode's classes have thousands of ranges, and its word boundaries bar the engine's fast automaton: the grammar of
    quantities ran ten times as long on the real titles, with the same matches.
    """
    inside = {r"[\w": "[a-z0-9à-ÿ", r"[\s": "[ ", r"[^\w": "[^a-z0-9à-ÿ"}
    alone = {r"\b": r"(?-u:\b)", r"\d": "[0-9]", r"\w": "[a-z0-9à-ÿ]", r"\W": "[^a-z0-9à-ÿ]", r"\s": " "}
    for written, meant in (inside | alone).items():
        pattern = pattern.replace(written, meant)
    return pattern


NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
PACKS = r"(?:packs?|pks?|pkts|pcks?|packages?|cases?|sets?|bundles?|cartons?|trays?|lots?|multi-?packs?)"

_GAP = r"\.?[- ]{0,2}"
#: grams or millilitres above which thousands are not believed
_BELIEVED = 50_000


def _measured(least: float, most: float) -> str:
    """Names of the masses and volumes whose unit is ``least`` to ``most`` grams or millilitres."""
    units = (unit for unit in UNITS.values() if unit.dimension in ("mass", "volume"))
    return "|".join(unit.name for unit in units if least <= unit.factor < most)


def _spellings(name: str) -> str:
    return unit_pattern("mass", "volume", exclude=tuple(set(UNITS) - {name}))


_BIG, _OUNCES, _SMALL = _measured(400, 1e9), _measured(20, 100), _measured(1, 2)
_COUNT = unit_pattern("count", exclude=("dozen",))
_RANGE = rf"(?: ?(?:-|to) ?{NUMBER})?"
#: thousands of grams and of ounces that are not believed: from 51,000 g and from 2,000 oz
_TOO_MANY_GRAMS = rf"(?:{_BELIEVED // 10_000}[1-9]|[6-9]\d|\d{{3}})"
_TOO_MANY_OUNCES = r"(?:[2-9]|\d{2,3})"

#: proper fractions of a kitchen: lowest terms; anything else ("6/8 oz", "4/5 lb") is a case of packs
_KITCHEN = ("1/2", "1/3", "2/3", "1/4", "3/4", "1/5", "1/6", "1/8", "3/8", "5/8", "7/8",
            *(f"{top}/16" for top in range(1, 16, 2)))  # fmt: skip
#: behind a whole number any proper fraction is one
_PROPER = [f"{top}/{bottom}" for bottom in range(2, 17) for top in range(1, bottom)]


def _decimal(fraction: str) -> str:
    top, bottom = fraction.split("/")
    return f"{int(top) / int(bottom):.6g}"[1:]


_FRACTIONS = {f"¤{text}¤": _decimal(text) for text in _PROPER} | {f"§{text}§": _decimal(text) for text in _KITCHEN}

#: names of the masses and volumes that a size is written with once `plain_numbers` is through with it
MEASURED = tuple(
    name for name, unit in UNITS.items() if unit.dimension in ("mass", "volume") and name not in ("mg", "hg", "dl")
)

_STEPS = (
    # one spelling per unit: with all of them in it, the grammar of quantities is four times as slow
    *((rf"(\d{_GAP})(?:{_spellings(name)})(\b|x ?\d|\d)", f"${{1}}{name}$2") for name in MEASURED),
    (rf"(\d ?(?:{'|'.join(MEASURED)}))x ?(\d)", "$1 x $2"),
    # "1lb4oz"
    (rf"(\d ?(?:{'|'.join(MEASURED)}))(\d)", "$1 $2"),
    # each factor stands by itself: "6x1,5l"
    *2 * ((r"(\d) ?x ?(\d)", "$1 x $2"),), (r"\bx(\d)", "x $1"),
    # several separators: 1,250,000 and 1.250.000, 1,000.5 and 1.000,5
    *((rf"\b([1-9]\d{{0,2}}){mark}(\d{{3}}){mark}(\d{{3}})([^\d]|$)", "$1$2$3$4") for mark in (",", r"\.", "'")),
    (r"\b([1-9]\d{0,2}),(\d{3})(\.\d+)", "$1$2$3"), (r"\b([1-9]\d{0,2})[.'](\d{3}),(\d+)", "$1$2.$3"),
    # "set of 2,4.5 oz" lists two numbers
    (r"\b((?:of|x) \d+|[1-9]\d*),(\d+\.\d)", "$1, $2"),
    # a date, a version, a list
    (r"\d+(?:[.,']\d+){2,}", "?"),
    (r"\b(0\d*),(\d)", "$1.$2"),
    # three digits, and thousands are not believed; a range is read from its end
    *2 * ((rf"\b(\d{{1,3}}),(\d{{3}}{_RANGE}{_GAP}(?:{_BIG})\b)", "$1.$2"),),
    (rf"\b({_TOO_MANY_GRAMS}),(\d{{3}}{_RANGE}{_GAP}(?:{_SMALL})\b)", "$1.$2"),
    (rf"\b({_TOO_MANY_OUNCES}),(\d{{3}}{_RANGE}{_GAP}(?:{_OUNCES})\b)", "$1.$2"),
    # "pack of 6,250 ml" and "pack of 2,5 oz" list two numbers, "bag of 2,5 kg" has one
    (rf"\b({PACKS} of \d{{1,3}}),([1-9])", "$1, $2"),
    (r"\b([1-9]\d{0,2})[,'](\d{3})([^\d]|$)", "$1$2$3"),
    (r"\b(\d{1,4}),(\d+)", "$1.$2"),
    # a point and three digits: 1.250 g, 2.500 pieces; with ounces and kilograms it is always a decimal point
    (rf"\b([1-9])\.(\d{{2}}[05]{_GAP}(?:{_SMALL})\b)", "$1$2"),
    (rf"\b([1-9]\d{{0,2}})\.(\d{{3}}{_GAP}(?:{_COUNT})\b)", "$1$2"),
    # a blank and three digits, but not "pack of 2 500 g", "No. 5 500 g", "2 500 ml bottles"; 400, 800 and 900 g stand
    # behind the stage of an infant milk
    (rf"((?:\b(?:{PACKS} of|of|no|nr|n|stage|step|type|size|x|number|level|grade|formula)|#)[.:]? ?)"
     r"(\d{1,2}) (\d{3})", "$1$2, $3"),
    (rf"\b([1-9]) ((?:[0-35-7]\d|[489][1-9])0{_GAP}(?:{_SMALL})(?:$|[^\w ]| [^a-z]))", "$1$2"),
    (r"\d+[,']\d+", "?"),
    # fractions
    (r"(^|[^\d/.])(\d{1,2}/\d{1,2})([^\d/]|$)", "${1}§${2}§${3}"),
    (r"(\d)(?:[ \-]| and | & )§(\d+/\d+)§", "$1¤$2¤"),
)  # fmt: skip


def plain_numbers(texts: pl.Series) -> pl.Series:
    """Write the numbers of texts as plain decimals, and the units of mass and volume behind them by one name each.

    Parameters
    ----------
    texts : Series of shape (n,)
        String, lower case, of `pricing.catalogue.plain_text.plain_text`; "x" multiplies.

    Returns
    -------
    Series of shape (n,)
        String. Masses and volumes have their names of `UNITS`, factors have blanks around them ("6x500 millilitres" is
        "6 x 500 ml").

    Examples
    --------
    >>> texts = ["0,250 kg", "1.250,5 g", "1'250 g", "6x1,5l", "1 1/2 lb", "4/5 lb", "1,250 count", "10.02.2024"]
    >>> plain_numbers(pl.Series(texts)).to_list()
    ['0.250 kg', '1250.5 g', '1250 g', '6 x 1.5l', '1.5 lb', '4/5 lb', '1250 count', '?']
    """
    return _second_steps(_first_steps(texts))


def _steps(steps: Iterable[tuple[str, str]]) -> pl.Expr:
    text = pl.col("text")
    for pattern, new in steps:
        text = text.str.replace_all(in_ascii(pattern), new)
    return text


_HALF = len(_STEPS) // 2
_FIRST = _steps(_STEPS[:_HALF])
_SECOND = (
    _steps(_STEPS[_HALF:]).str.replace_many(list(_FRACTIONS), list(_FRACTIONS.values())).str.replace_all("[§¤]", "")
)


@keeping_regexes
def _first_steps(texts: pl.Series) -> pl.Series:
    return evaluate(texts.to_frame("text"), _FIRST)


@keeping_regexes
def _second_steps(texts: pl.Series) -> pl.Series:
    return evaluate(texts.to_frame("text"), _SECOND)
