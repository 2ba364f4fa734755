"""The grammar of quantities in product titles: one alternation, leftmost match first.

Everything is matched by one regular expression of the Rust engine (linear time, no backtracking), in a text that
`normalized_title` has prepared: lower case, plain digits, decimal points, fractions as decimals, multiplication signs
as ``x``. The order of the alternatives is the priority among readings that begin at the same character.
"""

import re

import polars as pl

from pricing.features.units import SPELLINGS, UNITS

__all__ = ["NUMBER", "NUMBER_WORDS", "TOKEN", "TOKEN_KINDS", "normalized_title", "unit_pattern"]

NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: number words that stand before "pack", "bottles", ...
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL, 1)} | {
    "single": "1", "twin": "2", "double": "2", "duo": "2", "triple": "3", "quad": "4",
    "fifteen": "15", "eighteen": "18", "twenty": "20",
}  # fmt: skip
_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_COUNTED = rf"(?:{NUMBER}|{_WORD})"

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
        .str.replace_all(r"\b(\d{1,4}),(\d{1,2})\b", "$1.$2")
        .str.replace_all(r"(^|[^\d/.])(\d{1,2}/\d{1,2})\b", "${1}§${2}§")
        .str.replace_all(r"(\d)[ \-]+§([1-9]+/\d+§)", "$1§$2")
        .str.replace_many(list(_PROPER), list(_PROPER.values()))
        .str.replace_all("§", "")
    )


def unit_pattern(*dimensions: str, exclude: tuple[str, ...] = ()) -> str:
    """Alternation of all spellings of the given dimensions, longest first; dots and spaces are optional."""
    spellings = [
        spelling
        for spelling, name in SPELLINGS.items()
        if UNITS[name].dimension in dimensions and name not in exclude and spelling not in _NEVER_INLINE
    ]
    ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    return "|".join(re.escape(spelling).replace(r"\ ", r"[. \-]*") for spelling in ordered)


#: spellings that a Unit line may hold but that mean something else inside a title
_NEVER_INLINE = {"#", "per box", "per package", "pack", "packs", "pk", "case", "fo", "in", "ins", "once", "onces",
                 "cup", "cups", "m", "gr", "lit", "lt", "item", "items", "net oz", "servings", "carton", "''", '"', "″",
                 "gs", "sf", "lf", "count per pack", "dl", "cc"}  # fmt: skip

_MEASURE = unit_pattern("mass", "volume", exclude=("mg",))
_LENGTH = unit_pattern("length", "area")
_COUNT = unit_pattern("count", exclude=("dozen",))
_FILLER = r"(?:tea|herbal|individual|individually|wrapped|single|snack|mini|small|large|full|size|serve|serving|protein"
_FILLER += r"|granola|energy|fruit|coffee|foil|assorted|stick|k-cup|pyramid|glass|plastic|resealable|\w+ tea)"
_PACKS = r"(?:packs?|pks?|pkts|pck|packages?|cases?|sets?|bundles?|cartons?|trays?|lots?|multipacks?)"
_GAP = r"(?:-| {1,2})?"

#: kind -> pattern; tried in this order at each position
TOKEN_KINDS: dict[str, str] = {
    # nutrients and doses are no amount of product
    "claim": rf"{NUMBER}{_GAP}(?:m?g|mcg|grams?|oz)\.? (?:of )?(?:\w+ )?(?:protein|carbs?|sugars?|fiber|fibre|fat|"
    rf"caffeine|sodium|cbd|thc|collagen|net carbs?)\b|{NUMBER}{_GAP}(?:mg|mcg|iu|calories|cal|kcal|%)|"
    rf"(?:under|only|just) {NUMBER}{_GAP}g\b|{NUMBER}{_GAP}(?:g|grams?|oz) (?:per|/) ?serving\b",
    # 3 lb 4 oz
    "compound": rf"{NUMBER}{_GAP}(?:lbs?|pounds?)\.?(?: and| &)? ?{NUMBER}{_GAP}(?:oz|ounces?)\b",
    # 2 x 500ml, 12/8 oz, 24-12 oz, (12x3.5 oz)
    "multiple": rf"{NUMBER} ?(?:x|/|packs? of|@|pks? of|ct ?/) ?{NUMBER}{_GAP}(?:{_MEASURE})\b",
    # 500 ml x 2
    "multiple_back": rf"{NUMBER}{_GAP}(?:{_MEASURE})\.? ?x ?\d{{1,3}}\b",
    # 4-6 oz
    "range": rf"{NUMBER} ?(?:-|to) ?{NUMBER}{_GAP}(?:{_MEASURE})\b",
    "measure": rf"(?:{_PACKS} ?[:\-(] ?)?{NUMBER}{_GAP}(?:{_MEASURE})\b",
    # Value Pack - 12 Count
    "pieces_led": rf"\b{_PACKS} ?[:\-(] ?{NUMBER}{_GAP}(?:{_COUNT})\b",
    "length": rf"{NUMBER}{_GAP}(?:{_LENGTH})\b|{NUMBER} ?(?:\"|'')",
    # pack of 6
    "pack": rf"\b{_PACKS}\s*\(?of:?\s*{_COUNTED}\b|{_COUNTED}(?:{_GAP}|\s){_PACKS}\b|"
    rf"{_COUNTED} ?(?:/|per|in a|to a|a) ?(?:case|carton|cs|pallet)\b|-- ?{NUMBER} (?:case|cs)\b|"
    rf"\b{_PACKS} ?[:\-(] ?\d{{1,3}}\b|\bqty:? ?\d+\b|\b(?:twin|single|double|triple|duo){_GAP}pack\b|"
    r"\bx ?\d{1,2} ?(?:packs?|pk)\b",
    "dozen": rf"(?:{_COUNTED}{_GAP}|half[ \-])?\b(?:dozen|dz|doz)\b",
    # box of 100, 2 per package
    "pieces": rf"\b(?:box|bag|jar|tin|tub|bottle|canister|count|bucket|can|container|display)e?s? of {_COUNTED}\b|"
    rf"{_COUNTED} ?(?:/|per|in a|to a|each) ?(?:box|bag|pack|package|pkg|pouch|jar|tin|pk|bx|tub|sleeve)\b|"
    rf"{_COUNTED}(?:{_GAP}|\s)(?:{_FILLER} ){{0,2}}(?:{_COUNT})\b",
}

TOKEN = "|".join(TOKEN_KINDS.values())
