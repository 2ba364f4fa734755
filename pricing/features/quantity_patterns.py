"""The grammar of quantities in product titles: one alternation, leftmost match first.

Everything is matched by one regular expression of the Rust engine (linear time, no backtracking), in a text that
`normalized_title` has prepared: lower case, plain digits, decimal points, fractions as decimals, multiplication signs
as ``x``. The order of the alternatives is the priority among readings that begin at the same character.
"""

import re

import polars as pl

from pricing.features.units import SPELLINGS, UNITS

__all__ = [
    "AMOUNT_KINDS", "NUMBER", "NUMBER_WORDS", "TEXT_SIZE", "TOKEN", "TOKEN_KINDS", "normalized_title", "unit_pattern",
]  # fmt: skip

NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: number words that stand before "pack", "bottles", ...
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL, 1)} | {
    "single": "1", "twin": "2", "double": "2", "duo": "2", "triple": "3", "quad": "4",
    "fifteen": "15", "eighteen": "18", "twenty": "20",
}  # fmt: skip
_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_COUNTED = rf"(?:{NUMBER}|\b(?:{_WORD}))"

_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
              "⅞": "7/8", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6"}  # fmt: skip
_SIGNS = {"×": "x", "✕": "x", "✖": "x", "⨯": "x", "*": " x ", "⁄": "/", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
          "–": "-", "—": "-", "‑": "-", "−": "-", "’": "'", "”": '"', "“": '"', "″": '"', "_": " "}  # fmt: skip
#: proper fractions whose denominator is a kitchen measure; anything else ("6/8 oz") is a case of packs
_PROPER = {
    f"§{top}/{bottom}§": f"{top / bottom:.6g}"[1:] for bottom in (2, 3, 4, 5, 6, 8, 16) for top in range(1, bottom)
}


def normalized_title(text: pl.Expr) -> pl.Expr:
    """Prepare a title for `TOKEN`.

    ``1,000`` becomes ``1000``, ``0,5`` becomes ``0.5``, ``1 ½`` and ``1-1/2`` become ``1.5``, ``2 × 500`` becomes
    ``2 x 500``.
    """
    symbols = {sign: f" {fraction}" for sign, fraction in _FRACTIONS.items()} | _SIGNS
    return (
        text.str.to_lowercase()
        .str.replace_many(list(symbols), list(symbols.values()))
        .str.replace_all(r"\b([1-9]\d{0,2}),(\d{3})\b", "$1$2")
        # "set of 2,4.5 oz" lists two numbers, "0,75 oz" is one
        .str.replace_all(r"\b((?:of|x) \d+|\d+),(\d+\.\d)", "$1, $2")
        .str.replace_all(r"\b(of \d+),(\d)", "$1, $2")
        .str.replace_all(r"\b(\d{1,4}),(\d{1,2})([^\d]|$)", "$1.$2$3")
        .str.replace_all(r"(^|[^\d/.])(\d{1,2}/\d{1,2})([^\d/]|$)", "${1}§${2}§${3}")
        .str.replace_all(r"(\d)[ \-]+§([1-9]+/\d+§)", "$1§$2")
        .str.replace_many(list(_PROPER), list(_PROPER.values()))
        .str.replace_all("§", "")
    )


def unit_pattern(*dimensions: str, exclude: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> str:
    """Alternation of all spellings of the given dimensions, longest first; dots and spaces are optional.

    ``exclude`` names units, ``without`` single spellings, that are left out.
    """
    spellings = [
        spelling
        for spelling, name in SPELLINGS.items()
        if UNITS[name].dimension in dimensions and name not in exclude and spelling not in {*_NEVER_INLINE, *without}
    ]
    ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    return "|".join(re.escape(spelling).replace(r"\ ", r"[. \-]*") for spelling in ordered)


#: spellings that a Unit line may hold but that mean something else inside a title
_NEVER_INLINE = {"#", "per box", "per package", "pack", "packs", "pk", "case", "fo", "in", "ins", "once", "onces",
                 "m", "lit", "lt", "item", "items", "net oz", "servings", "carton", "''", '"', "″", "cup",
                 "gs", "sf", "lf", "count per pack", "dl", "cc", "caps", "tabs", "cakes", "singles",
                 "meter"}  # fmt: skip
#: what stands in a row on a shelf: a number of them beside the size of one multiplies it
_CONTAINER_NAMES = ("boxes", "box", "cans", "can", "bottles", "bottle", "jars", "jar", "tins", "tin", "tubs", "tub",
                    "canisters", "canister", "cartons", "pouches", "pouch", "bags", "bag", "tubes", "tube", "buckets",
                    "bucket", "bx", "bgs", "bg")  # fmt: skip

_MEASURE = unit_pattern("mass", "volume", exclude=("mg",))
_LENGTH = unit_pattern("length", "area")
_COUNT = unit_pattern("count", exclude=("dozen",), without=_CONTAINER_NAMES)
_CONTAINER = "|".join(_CONTAINER_NAMES)
_FILLER = r"(?:tea|herbal|individual|individually|wrapped|single|snack|mini|small|large|full|size|serve|serving|protein"
_FILLER += r"|granola|energy|fruit|coffee|foil|assorted|stick|k-cup|keurig|espresso|pyramid|glass|plastic|resealable"
_FILLER += r"|total|meat|paper|\w+ tea)"
_PACKS = r"(?:packs?|pks?|pkts|pcks?|packages?|cases?|sets?|bundles?|cartons?|trays?|lots?|multi-?packs?)"
_GAP = r"\.?[- ]{0,2}"
#: a number of pieces or packs; "single" and "double" only stand beside "pack"
_FEW = "|".join(word for word in _SMALL[1:])
_SOME = rf"(?:{NUMBER}|\b(?:{_FEW})\b)"
_UP_TO = r"(?:makes?|yields?|turns|seasons|feeds|serves|steeps|brews|up to|holds|fits|equals)"

#: kind -> pattern; tried in this order at each position
TOKEN_KINDS: dict[str, str] = {
    # nutrients, doses, and what is made out of the product are no amount of it
    "claim": r"\b(?:no\.|no\. |#)\d+|"
    rf"(?:\d{{1,2}} ?- ?)?\d{{1,2}}(?:\.\d)?{_GAP}(?:g|grams?|gr)\b\.? ?(?:of )?"
    rf"(?:(?:[\w\-]+ ){{0,3}}(?:protein|carbs?|fib(?:er|re))|(?:\w+ )?(?:sugars?|fat|collagen|caffeine|sodium))\b|"
    rf"{NUMBER}{_GAP}(?:mg|mcg)(?:{_GAP}/ ?{NUMBER}{_GAP}\w+)?|{NUMBER}{_GAP}(?:iu|calories|cal|kcal|%)|"
    rf"(?:under|only|just) {NUMBER}{_GAP}g\b|{NUMBER}{_GAP}(?:g|grams?|oz) ?(?:per|/) ?(?:serving|bar)\b|"
    rf"{_UP_TO} (?:about |approx\.? |up to |over |{NUMBER}-)?{NUMBER}{_GAP}\w+|"
    rf"{NUMBER}{_GAP}(?:{_MEASURE})[- ](?:weight )?capacity",
    # 3 lb 4 oz
    "compound": rf"{NUMBER}{_GAP}(?:lbs?|pounds?)\.?,?(?: and| &)? ?(?:1[0-5]|\d)(?:\.\d+)?{_GAP}(?:oz|ounces?)\b",
    # 2 x 500ml, 12/8 oz, 12 packs of 2 oz, two 32 oz jars, (2) 12 oz
    "multiple": rf"{NUMBER} ?(?:x|/|@|ct ?/) ?{NUMBER}{_GAP}(?:{_MEASURE})\b|"
    rf"{_SOME} ?(?:{_PACKS}|{_CONTAINER}) ?(?:of|x|@) ?{NUMBER}{_GAP}(?:{_MEASURE})\b|"
    rf"{_SOME} ?(?:{_CONTAINER}),? ?\(?{NUMBER}{_GAP}(?:{_MEASURE})\b|"
    rf"(?:\b(?:{_FEW})|(?:\b(?:{_FEW}) )?\(\d{{1,2}}\)) ?-? ?{NUMBER}{_GAP}(?:{_MEASURE})\b",
    # 500 ml x 2
    "multiple_back": rf"{NUMBER}{_GAP}(?:{_MEASURE})\.? ?x ?\d{{1,3}}\b",
    # 4-6 oz
    "range": rf"{NUMBER} ?(?:-|to) ?{NUMBER}{_GAP}(?:{_MEASURE})\b",
    "measure": rf"(?:total(?: net)?(?: weight| wt\.?)?(?: of)?:? |{_PACKS} ?[:\-(] ?)?{NUMBER}{_GAP}(?:{_MEASURE})\b"
    r"(?:\.?(?: \([^)]{1,12}\))? ?(?:each|ea)\b|\.? (?:in )?total\b|/ea\b)?|"
    # a lone "gallon" at the end of a phrase
    r"\b(?:half )?(?:gallon|quart)(?: jug| jar| bottle)? ?(?:$|[,)(\-|])",
    # Value Pack - 12 Count
    "pieces_led": rf"\b{_PACKS} ?[:\-(] ?{NUMBER}{_GAP}(?:{_COUNT})\b",
    "length": rf"{NUMBER}{_GAP}(?:{_LENGTH})\b|{NUMBER} ?(?:\"|'')",
    # 4 packs of 6, 6 boxes with 20 tea bags each, 1 box (10 pods)
    "nested": rf"{_SOME} ?(?:{_PACKS}|{_CONTAINER}),? ?(?:of|with|x) ?{NUMBER}\b|"
    rf"{_SOME} ?(?:{_CONTAINER}) ?\( ?{NUMBER}{_GAP}(?:{_COUNT})\b",
    # pack of 6
    "pack": rf"\b{_PACKS}[\s-]*\(?of:?[\s-]*\(?{_COUNTED}(?: ?\+ ?\d{{1,2}})?\b|{_COUNTED}(?:{_GAP}|\s){_PACKS}\b|"
    rf"{_COUNTED} ?(?:/|per|in a|to a|a) ?(?:case|carton|cs|pallet)\b|-- ?{NUMBER} (?:case|cs|each)\b|"
    rf"\b{_PACKS} ?[:\-(] ?\d{{1,3}}\b|\bpack \d{{1,3}}\)|,? pack \d{{1,3}} ?$|\b(?:qty|quantity)[:.]? ?\d+\b|"
    rf"\b(?:twin|single|double|triple|duo){_GAP}pack\b|\bx ?\d{{1,2}} ?(?:packs?|pk)\b|^\W*\d{{1,3}} ?x [a-z]|"
    rf"\bset of {_COUNTED}\b|\(\d{{1,2}}\)\s*$",
    "dozen": rf"(?:{_COUNTED}{_GAP}|half[ \-])?\b(?:dozen|dz|doz)\b",
    # box of 100, 2 per package, total of 42 sachets
    "pieces": rf"\b(?:box|bag|jar|tin|tub|bottle|canister|count|bucket|can|container|display)e?s? of {_SOME}\b|"
    rf"{_SOME} ?(?:/|per|in a|to a|each) ?(?:box|bag|pack|package|pkg|pouch|jar|tin|pk|bx|tub|sleeve)\b|"
    rf"(?:total(?: of)?:? )?{_SOME}(?:{_GAP}|\s)(?:{_FILLER} ){{0,3}}(?:{_COUNT}|tea bags?|teabags?)\b"
    r"(?:\.? (?:in )?total\b)?",
    # 6 cans
    "containers": rf"{_SOME}{_GAP}(?:[a-z]+ )?(?:{_CONTAINER})\b",
}

TOKEN = "|".join(TOKEN_KINDS.values())
#: kinds that state a size
AMOUNT_KINDS = ("compound", "multiple", "multiple_back", "range", "measure")

_SIZE = rf"{NUMBER}{_GAP}(?:{_MEASURE})\b"
#: a size in running text that is the product's own: a net weight, or the size of its container
TEXT_SIZE = (
    rf"\b(?:net (?:wt|weight|contents?)|total (?:wt|weight)|size|contains|includes)\.?:? {{0,2}}(?:of )?"
    rf"(?:{_SOME} ?(?:x|-)? ?)?{_SIZE}|"
    rf"(?:{_SOME} ?(?:x|-) ?|\(\d{{1,2}}\) ?)?{_SIZE}\.? ?(?:refill|bottles?|jars?|cans?|bags?|pouch(?:es)?|boxe?s?|"
    r"containers?|tins?|tubs?|packages?|packets?|canisters?|cartons?|tubes?|cups?|bars?|each|pan)\b"
)
