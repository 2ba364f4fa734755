"""The grammar of quantities in product titles: one alternation, leftmost match first.

Everything is matched by one regular expression of the Rust engine (linear time, no backtracking), in a text that
`normalized_title` has prepared: lower case, plain decimals, multiplication signs as ``x``, pounds as ``lb``. The order
of the alternatives is the priority among readings that begin at the same character.
"""

import polars as pl

from pricing.catalogue.kept_regexes import keeping_regexes
from pricing.features.foreign_quantities import in_english
from pricing.features.numbers import MEASURED, NUMBER, PACKS, in_ascii, plain_numbers
from pricing.features.units import unit_pattern

_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: number words that stand before "pack", "bottles", ...
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL, 1)} | {
    "single": "1", "twin": "2", "double": "2", "duo": "2", "triple": "3", "quad": "4",
    "fifteen": "15", "eighteen": "18", "twenty": "20",
}  # fmt: skip
_WORD = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_COUNTED = rf"(?:{NUMBER}|\b(?:{_WORD}))"

_SIGNS = {"×": "x", "✕": "x", "✖": "x", "⨯": "x", "*": " x ", "–": "-", "—": "-", "‐": "-", "−": "-", "’": "'",
          "‘": "'", "`": "'", "”": '"', "“": '"', "′": "'", "_": " "}  # fmt: skip
#: what stands in a row on a shelf: a number of them beside the size of one multiplies it
_CONTAINER_NAMES = ("boxes", "box", "cans", "can", "bottles", "bottle", "jars", "jar", "tins", "tin", "tubs", "tub",
                    "canisters", "canister", "cartons", "pouches", "pouch", "bags", "bag", "tubes", "tube", "buckets",
                    "bucket", "bx", "bgs", "bg")  # fmt: skip

_MEASURE = "|".join(MEASURED)
_LENGTH = unit_pattern("length", "area")
_COUNT = unit_pattern("count", exclude=("dozen",), without=_CONTAINER_NAMES)
_CONTAINER = "|".join(_CONTAINER_NAMES)
_FILLER = r"(?:tea|herbal|individual|individually|wrapped|single|snack|mini|small|large|full|size|serve|serving|protein"
_FILLER += r"|granola|energy|fruit|coffee|foil|assorted|stick|k-cup|keurig|espresso|pyramid|glass|plastic|resealable"
_FILLER += r"|total|meat|paper|mega|giant|jumbo|regular|family|super|huge|extra|king|double|triple|medium|premium"
_FILLER += r"|big|plus|max|ultra|thick|soft|standard|chewable|vegetarian|veggie|vegan|vegetable|coated|effervescent"
_FILLER += r"|disposable|organic|xx?l|plush|(?:ultra|super|double|mega|family)-[a-z]+|\w+ tea)"
_GAP = r"\.?[- ]{0,2}"
#: a number of pieces or packs; "single" and "double" only stand beside "pack"
_FEW = "|".join(word for word in _SMALL[1:])
_SOME = rf"(?:{NUMBER}|\b(?:{_FEW})\b)"
_SIZE = rf"{NUMBER}{_GAP}(?:{_MEASURE})"
_UP_TO = r"(?:makes?|yields?|turns|seasons|feeds|serves|steeps|brews|up to|holds|fits|equals)"
#: a cut of what is sold by weight, and its size: no amount where another is stated
PORTIONS = r"(?:portions?|fillets?|filets?|steaks?|patties|patty)"
_PORTION = rf"(?:\.?[ -]{PORTIONS}\b)?"

_AND = r"\.?,?(?: and| &| \+)? ?"
_OUNCE = r"(?:fl )?oz\b"
#: a larger unit and the rest in a smaller one, which is less than one of the larger
_COMPOUND = "|".join(
    (
        rf"\d+{_GAP}lb{_AND}(?:1[0-5]|\d)(?:\.\d+)?{_GAP}oz\b",
        rf"\d+{_GAP}pint{_AND}(?:1[0-5]|\d)(?:\.\d+)?{_GAP}{_OUNCE}",
        rf"\d+{_GAP}quart{_AND}(?:[12]?\d|3[01])(?:\.\d+)?{_GAP}{_OUNCE}",
        rf"\d+{_GAP}gallon{_AND}(?:[1-3]{_GAP}quart\b|\d{{1,2}}(?:\.\d+)?{_GAP}{_OUNCE})",
        rf"\d+{_GAP}kg(?: and| &)? ?\d{{1,3}}{_GAP}g\b",
        rf"\d+{_GAP}l(?: and| &)? ?\d{{1,3}}{_GAP}ml\b",
        # 500 g + 50 g extra
        rf"{_SIZE}\.? ?\(?(?:\+|plus) ?{_SIZE}\b",
    )
)

#: what a size is multiplied by: "6 x", "(6) x", "12/", "4 packs of", "24 cans x"
_OF = rf"(?:{PACKS}|{_CONTAINER}|pcs?|pieces?|ct|count|bars|sachets|sticks) ?(?:of|x|@)"
_FRONT = rf"(?:\(\d{{1,3}}(?: x \d{{1,3}})*\) ?x|{_SOME} ?(?:{_OF}|x|/|@|ct ?/)) ?[(\[]?"
#: the size again in another unit, and what holds it: "500 ml (17 oz) bottle x 2"
_AGAIN = rf"(?: ?[(\[/|] ?(?:about |approx\.? |~|= ?)?{_SIZE}\.? ?[)\]]?)?(?:[ -](?:{_CONTAINER}|each))?"
#: a size and what may stand between it and its factor
#: what is so many times there beside a count; one bag is full of what is counted
_SINGLE = "cans?|bottles?|bags|pouches|jars|tubs|cartons|tins"
_BACK = rf"{_SIZE}\.?{_AGAIN}"
BACK_SIZE = in_ascii(_BACK)

#: kind -> pattern; tried in this order at each position
TOKEN_KINDS: dict[str, str] = {
    # nutrients, doses, prices per weight, sizes of cans, and what is made out of the product are no amount of it
    "claim": r"(?:\bno\.? ?|# ?)\d+(?:\.\d+)?(?:[ -](?:size )?(?:cans?|tins?)\b)?|"
    rf"(?:\d{{1,2}} ?- ?)?\d{{1,2}}(?:\.\d)?{_GAP}g\b\.? ?(?:of )?"
    rf"(?:(?:[\w\-]+ ){{0,3}}(?:protein|carbs?|fib(?:er|re))|(?:\w+ )?(?:sugars?|fat|collagen|caffeine|sodium))\b|"
    rf"{NUMBER}{_GAP}(?:mg|mcg|μg)(?:{_GAP}/ ?{NUMBER}{_GAP}\w+)?|{NUMBER}{_GAP}(?:iu|calories|cal|kcal|%)|"
    rf"(?:under|only|just) {NUMBER}{_GAP}g\b|{NUMBER}{_GAP}(?:g|oz) ?(?:per|/) ?(?:serving|bar)\b|"
    rf"{_UP_TO} (?:about |approx\.? |up to |over |{NUMBER}-)?{NUMBER}{_GAP}\w+|"
    rf"{NUMBER}{_GAP}(?:{_MEASURE})[- ](?:weight )?capacity|"
    rf"(?:{NUMBER}{_GAP}g )?\b(?:per|pro|je) {_SIZE}\b|\d+\.\d{{2}} ?/ ?(?:100)?{_GAP}(?:{_MEASURE})\b|"
    rf"/ ?100{_GAP}(?:g|ml)\b|\b100{_GAP}(?:g|ml) ?= ?|[€$£] ?{NUMBER} ?/ ?(?:100|1)?{_GAP}(?:{_MEASURE})\b|"
    rf"\b1{_GAP}(?:kg|l) ?= ?(?:[€$£] ?{NUMBER}|{NUMBER} ?(?:€|£|eur))|"
    rf"\bserving size:? ?{_SIZE}\b|{_SIZE}\.? servings?\b|"
    # shrimps a pound, by grade
    r"\b(?:13/15|16/20|21/25|26/30|31/35|31/40|36/40|41/50|51/60|61/70|71/90) ?(?:ct|count)\b|"
    r"\bthe [5-9]0'?s\b|\b[5-9]0's (?:cand|retro|part|theme|styl|nostalgi|kids|decade|music|classic|birthday)",
    # 3 lb 4 oz, 3 lb 4 oz x 2
    "compound": rf"(?:{_COMPOUND})(?:,? ?[(\[]?x \d{{1,3}}\b)?",
    # 2 x 500ml, 4 x 6 x 500 ml, 12/8 oz, 12 packs of 2 oz, pack of 6 x 330 ml, two 32 oz jars, (2) 12 oz
    "multiple": rf"(?:{_FRONT}){{1,3}}{_SIZE}\b(?:,? ?[(\[]?x \d{{1,3}}\b)?|"
    rf"\b(?:{PACKS}|boxe?s? of|bags? of|crates? of) (?:of )?\d{{1,3}}(?: ?(?:x|of) ?\d{{1,3}})? ?(?:x|of) ?{_SIZE}\b|"
    rf"{_SOME} ?(?:{_CONTAINER}),? ?\(?{_SIZE}\b|"
    rf"{_SOME} ?(?:ct|count|pk),? {_SIZE}[ -](?:{_SINGLE})\b|"
    rf"(?:\b(?:{_FEW})|(?:\b(?:{_FEW}) )?\(\d{{1,2}}\)) ?-? ?{_SIZE}\b",
    # 500 ml x 2, 500 ml (17 oz), x 2 x 3, 500 ml (2x), 25 g (6 x 4), 12 oz can 6 ct, 2 oz bags, 10 ct
    "multiple_back": rf"{_BACK}(?:,| -)? ?[(\[]? ?x ?\(?\d{{1,3}}"
    rf"(?:(?:,? (?:{_CONTAINER}|{PACKS}|pcs))? x \d{{1,3}})*(?:pcs)?\b|"
    rf"{_BACK},? ?[(\[] ?\d{{1,2}} ?x(?: \d{{1,2}}(?: (?:{_CONTAINER}|{PACKS}|pcs))?)? ?[)\]]|"
    rf"{_BACK},? \d{{1,2}} ?x ?(?:$|[,;)\]])|"
    rf"{_SIZE}[ -](?:{_SINGLE}),? ?[-(\[]? ?\d{{1,3}}{_GAP}(?:ct|count|cnt)\b",
    # 4-6 oz
    "range": rf"{NUMBER} ?(?:-|to) ?{_SIZE}\b{_PORTION}",
    "measure": rf"(?:total(?: net)?(?: weight| wt\.?)?(?: of)?:? |{PACKS} ?[:\-(/] ?)?{_SIZE}\b"
    rf"(?:(?:\.?(?: \([^)]{{1,12}}\))? ?(?:each|ea)\b|\.? (?:in )?total\b|\.? case(?:$|[,;.)])|/ea\b)|{_PORTION})|"
    # a lone "gallon" at the end of a phrase
    r"\b(?:half )?(?:gallon|quart)(?: jug| jar| bottle)? ?(?:$|[,)(\-|])",
    # Value Pack - 12 Count
    "pieces_led": rf"\b{PACKS} ?[:\-(/] ?{NUMBER}{_GAP}(?:{_COUNT})\b",
    "length": rf"{NUMBER}{_GAP}(?:{_LENGTH})\b|{NUMBER} ?(?:\"|'')",
    # 4 packs of 6, 6 boxes with 20 tea bags each, 1 box (10 pods)
    "nested": rf"{_SOME}[- ]?(?:{PACKS}|{_CONTAINER}),? ?(?:of|with|x) ?{NUMBER}\b|"
    rf"{_SOME} ?(?:{_CONTAINER}) ?\( ?{NUMBER}{_GAP}(?:{_COUNT})\b",
    # pack of 6 x 20 tea bags, 2 x 24 count, 2 x 30's
    "counted": rf"\b{PACKS} of {NUMBER} (?:x|of) {NUMBER}{_GAP}(?:{_COUNT})\b|"
    rf"{NUMBER} x {NUMBER}'s\b|{NUMBER}(?: x |/){NUMBER}{_GAP}(?:ct|count|pcs|pieces|(?:tea ?)?bags|pods|"
    r"capsules|tablets|sachets|rolls|wipes|bars|sticks|softgels|caplets|gummies|lozenges)\b",
    # 80 wipes x 3, 30's x 2
    "counted_back": rf"{NUMBER}(?:'s|{_GAP}(?:{_COUNT})),? ?[(\[]?x ?\d{{1,3}}\b",
    # pack of 6, pack of 6 x 4, 2 x 6-pack, pack/12, 12/ct, 6/#10 cans, (x2)
    "pack": rf"(?:\b\d{{1,3}} x )?\b{PACKS}[\s-]*\(?of:?[\s-]*\(?{_COUNTED}"
    rf"(?: ?\+ ?\d{{1,2}}\b|(?: (?:x|of) \d{{1,3}}\b)+|\b)|"
    rf"{NUMBER} x \d{{1,3}}{_GAP}{PACKS}\b|{_COUNTED}(?:{_GAP}|\s){PACKS}\b|"
    rf"{NUMBER}\)? ?[-/x]? ?(?:# ?|\bno\.? ?)10\b(?: cans?\b)?|{NUMBER} ?/ ?(?:ct|ctn|cse|pk|pack|pkg)\b|"
    rf"{_COUNTED} ?(?:/|per|in a|to a|a) ?(?:case|carton|cs|pallet)\b|-- ?{NUMBER} (?:case|cs|each)\b|"
    rf"\b(?:{PACKS}|cs|ctn) ?[:\-(/] ?\d{{1,3}}\b|\bpack \d{{1,3}}\)|,? pack \d{{1,3}} ?$|"
    rf"\b(?:qty|quantity)[:.]? ?\d+\b|"
    rf"\b(?:twin|single|double|triple|duo){_GAP}pack\b|\bx ?\d{{1,2}} ?(?:packs?|pk)\b|^\W*\d{{1,3}} ?x [a-z]|"
    r"[(\[] ?x ?\d{1,3} ?[)\]]|[(\[] ?\d{1,3} ?x ?[)\]]|[a-z)\],] ?x ?\d{1,3} ?(?:$|[,;|])|"
    rf"\bset of {_COUNTED}\b|\(\d{{1,2}}\)\s*$",
    "dozen": rf"(?:{_COUNTED}{_GAP}|half[ \-])?\b(?:dozen|dz|doz)\b",
    # box of 100, 2 per package, total of 42 sachets, 30's, 24 mega rolls
    "pieces": rf"\b(?:box|bag|jar|tin|tub|bottle|canister|count|bucket|can|container|display)e?s? of {_SOME}\b|"
    r"\b(?:box|bag|bx) ?/ ?\d{1,4} ?(?:$|[,;)\]])|"
    rf"{_SOME} ?(?:/|per|in a|to a|each) ?(?:box|bag|pack|package|pkg|pouch|jar|tin|pk|bx|tub|sleeve)\b|"
    rf"\b\d{{1,3}} ?'s\b|\b\d{{2,3}}s ?(?:$|[,)\]])|"
    rf"\b\d{{1,4}} ?\+ ?\d{{1,3}} (?:(?:free|extra|bonus) )?(?:{_FILLER} ){{0,2}}(?:{_COUNT})\b|"
    rf"(?:total(?: of)?:? )?{_SOME}(?:{_GAP}|\s)(?:{_FILLER} ){{0,3}}(?:{_COUNT}|tea bags?|teabags?)\b"
    r"(?:\.? (?:in )?total\b)?",
    # 6 cans
    "containers": rf"{_SOME}{_GAP}(?:[a-z]+ )?(?:{_CONTAINER})\b",
}

TOKEN_KINDS = {kind: in_ascii(pattern) for kind, pattern in TOKEN_KINDS.items()}
TOKEN = "|".join(TOKEN_KINDS.values())
#: kinds that state a size
AMOUNT_KINDS = ("compound", "multiple", "multiple_back", "range", "measure")

#: a size in running text that is the product's own: a net weight, or the size of its container
TEXT_SIZE = in_ascii(
    rf"\b(?:net (?:wt|weight|contents?)|total (?:wt|weight)|size|contains|includes)\.?:? {{0,2}}(?:of )?"
    rf"(?:{_SOME} ?(?:x|-)? ?)?{_SIZE}\b|"
    rf"(?:{_SOME} ?(?:x|-) ?|\(\d{{1,2}}\) ?)?{_SIZE}\b\.? ?(?:refill|bottles?|jars?|cans?|bags?|pouch(?:es)?|boxe?s?|"
    r"containers?|tins?|tubs?|packages?|packets?|canisters?|cartons?|tubes?|cups?|bars?|each|pan)\b"
)


#: a number sign that means pounds: before what is sold by weight, at the end of a phrase, behind a case's slash
_POUNDS = (
    r"\b(\d{1,3}(?:\.\d+)?) ?#-?( ?(?:bags?|sacks?|cases?|box(?:es)?|pails?|tubs?|blocks?|avg|average|bulk)\b)",
    r"\b(\d{1,3}(?:\.\d+)?)#( ?$|[,;)\]/])",
    r"\b(\d{1,2}/\d{1,3})#($|[^a-z0-9])",
)


def normalized_title(titles: pl.Series) -> pl.Series:
    """Prepare n plain titles (`pricing.catalogue.plain_text`), String, for `TOKEN`.

    ``1,000`` becomes ``1000``, ``0,5`` becomes ``0.5``, ``1-1/2`` becomes ``1.5``, ``2×500`` becomes ``2 x 500``,
    ``5# bag`` becomes ``5 lb bag``.
    """
    lower = titles.str.to_lowercase().str.replace_many(list(_SIGNS), list(_SIGNS.values()))
    return plain_numbers(_in_pounds(in_english(lower)))


@keeping_regexes
def _in_pounds(texts: pl.Series) -> pl.Series:
    for pattern in _POUNDS:
        texts = texts.str.replace_all(pattern, "$1 lb $2")
    # "two (2)" says it twice
    texts = texts.str.replace_all(in_ascii(rf"\b(?:one|{_FEW}) (\(\d{{1,2}}\))"), "$1")
    return texts.str.replace_all(" {2,}", " ")
