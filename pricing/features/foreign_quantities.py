"""Quantities of German, French, Spanish and Italian texts, written in English for the one grammar of quantities.

"12er Pack", "lot de 3", "caja de 12 botellas de 75 cl" and "confezione da 6" become "12 pack", "packs of 3",
"12 bottles of 75 cl" and "packs of 6". `pricing.features.quantity_patterns` then reads them by the rules of English. A
step needs a foreign word beside a number. A text without one stays as it is, letter by letter.
"""

from collections.abc import Iterable

import polars as pl

from pricing.catalogue.kept_regexes import keeping_regexes
from pricing.features.numbers import in_ascii
from pricing.features.vocabulary import VOCABULARY

_NOUNS, _LED, _NUMBERS, _HUNDREDS = (VOCABULARY[f"foreign_{name}"] for name in ("nouns", "led", "numbers", "hundreds"))


def _any(*tables: dict[str, list[str]]) -> str:
    """Alternation of all words, the longest first; words that end with an accent have no ASCII boundary."""
    listed = {word for table in tables for words in table.values() for word in words}
    ordered = sorted(listed, key=lambda word: (-len(word), word))
    return "|".join(word.replace(".", r"\.") + r"\b" * (word[-1].isascii() and word[-1] != ".") for word in ordered)


#: marked words are replaced all at once: a step for each of them would take most of the time
_MARKED = [(mark, _NOUNS) for mark in "§¤"] + [("¤", _LED), ("§", _NUMBERS), ("§", _HUNDREDS)]
_MARKED += [("§", {"pieces": ["ud", "pz", "pzs"], "l": ["lt"]})]
_ENGLISH = {f"{mark}{name}{mark}": word for mark, table in _MARKED for word, names in table.items() for name in names}
#: what German compounds begin and end with
_WITHIN = "|".join(word for words in _NUMBERS.values() for word in words)
_HEADS = "packung(?:en)?|flaschen?|dosen?|beuteln?|gläsern?|kapseln?|tabletten|riegeln?|rollen|tüchern?|kartons?"

#: g, kg, ml, cl, l, kilos, and the words for them in any of the languages
_UNIT = r"(?:k?g|gr|[cdm]?l|kilos?|(?:kilo|mill?i)?(?:gram|lit)[a-z]{1,5})\b\.?"
_SIZE = rf"\d+(?:[.,]\d+)? ?{_UNIT}"
#: English words for what holds something, and for what is held
_HOLD = "(?:packs|cases|boxes|bags|sachets|cans|bottles|jars|tubes)"
_HELD = "(?:tea bags|capsules|tablets|bars|rolls|sheets|wipes|pairs|pods|filters|eggs|slices)"
#: what stands between a pack and its number, and between a number and a size
_WITH = "(?:de|da|di|à|mit|von|aus|con|avec|zu|je)(?: je)?"
_PIECES = f"(?:{_any({'': _NOUNS['pieces']})})"
_AT = "(?:à|je|jeweils|zu je|de|da|di|mit)"
_DOZEN = r"(?:dutzend|douzaines?|docenas?|dozzin[ae])\b"
_CARRIER = r"(?:[a-zäöü]+-?)?(?:pack(?:ung)?|set|karton|kiste|kasten|tray|träger|box|schachtel|bundle)\b"
#: before and behind a number and its unit that stand by themselves
_ALONE, _ENDS = r"(^|[a-zß-öø-ÿ)\]][,.]?[ (])", r"( ?(?:$|[.,;)(x/*-]))"
_PER = "(?:par|por|cada|auf|pro|je)"
_EACH = r"(?:je|pro|par|por|per) (?:stück|dose|flasche|beutel|packung|glas|pièce|unidad|pezzo)\b"
_NET = "(?:inhalt|nettogewicht|(?:netto)?füllmenge|poids net|contenance|contenu(?: net)?|peso net?to"
_NET += r"|contenido(?: neto)?|contenuto(?: netto)?)[ :.]{1,3}(?:ca\. ?)?(\d)"
_NUTRIENT = "(?:eiwei(?:ß|ss)|prot[eé]ines?|prote[ií]nas?|zucker|sucres?|az[uú]car|zuccheri|ballaststoffe|fibras?|fett"
_NUTRIENT += "|grasas?|grassi|lipides|glucides|kohlenhydrate)(?:$|[^a-zß-ÿ])"

#: words by themselves and beside numbers
_WORDS = (
    (rf"\b(?:halbes |demi-|demi |media |mezza ){_DOZEN}", "half dozen"),
    (rf"\b{_DOZEN}", "dozen"),
    (rf"\b({_WITHIN})[- ]?{_CARRIER}", "§$1§ pack"),
    (rf"\b(\d+)er[- ]?{_CARRIER}", "$1 pack"),
    # the grammar has no unit of 100 grams or 100 millilitres
    (rf"\b(\d{{1,2}})[.,](\d) ?({_any(_HUNDREDS)})", "${1}${2}0 §$3§"),
    (rf"\b(\d{{1,2}})[.,](\d\d) ?({_any(_HUNDREDS)})", "${1}${2} §$3§"),
    (rf"\b(\d{{1,2}}) ?({_any(_HUNDREDS)})", "${1}00 §$2§"),
    (r"\b(?:medio|mezzo|demi|halber|halbes)[- ](kilo|kg|liter|litre|litro|chilo)\b", "0.5 $1"),
    # points part thousands
    (r"\b(\d{1,3})\.(\d{3}) ?(gramm[ei]?s?|gramos|mililitros)\b", "$1$2 $3"),
    # a unit before its number: kg 1,5
    (rf"{_ALONE}(kg|gr|ml|cl|pz|lt)\.? ?(\d{{1,4}}(?:[.,]\d{{1,3}})?){_ENDS}", "$1$3 §$2§$4"),
    (rf"(\d ?g) (?:de |di |d')?{_NUTRIENT}", "$1 protein "),
    (rf"\b{_NET}", "net weight: $1"),
    # pieces, as pharmacies and grocers count them
    (r"[a-zß-ÿ]*?(kapseln|tabletten|dragees|beutel),? (\d+) ?st\b", "$2 §$1§"),
    (rf"(^|[^.\d])(\d+) ?(ud|pzs?){_ENDS}", "$1$2 §$3§$4"),
    # nouns before "de 6" and "6 unidades", beside a number or a unit
    (rf"(^|[^a-z0-9à-ÿ])(?:({_any(_NOUNS, _LED)})|[a-zß-ÿ]+({_HEADS}))( {_WITH} ?\d| \d+ {_PIECES})", "$1¤$2$3¤$4"),
    (rf"(\d|\b{_UNIT})[ -]?(?:({_any(_NOUNS)})|[a-zß-ÿ]+-?({_HEADS})\b)", "$1 §$2$3§"),
)
#: numbers beside the English nouns
_JOINED = (
    # 2 packs of 6 cans of 400 g
    *2 * ((rf"(\d) ?({_HOLD}|pieces) {_AT} (\d)", "$1 $2 of $3"),),
    (rf"(\d) ?({_HOLD}|{_HELD}|pieces)[ ,(]+{_AT} ({_SIZE})", "$1 $2, $3 each"),
    (rf"(\d) {_HELD} {_AT} (\d+ (?:{_HOLD}|{_HELD}|pieces)\b)", "$1 packs, $2"),
    (rf"(\d) ?x? ?(?:zu je|jeweils|je) ({_SIZE})", "$1 x $2"),
    (rf"(\d) ([a-zß-ÿ]+) (?:à|je) ({_SIZE})", "$1 x $3 $2"),
    # prices and nutrients
    (rf"\b{_PER} ((?:100 ?(?:g|ml)|1 ?(?:kg|l|kilo|liter|litre|litro))\b)", "per $1"),
    (r"(\d) à (\d)", "$1 to $2"),
    # a pack of bottles of 1 l, a pack of 1 l, a pack of tea bags, a pack of 6
    (rf"\b{_HOLD} {_WITH} (\d+ {_HOLD} of \d)", "$1"),
    (rf"\b({_HOLD}) {_WITH} ({_SIZE})", "$1 $2"),
    (rf"\b(?:packs|cases|boxes) {_WITH} (\d+ {_HELD})\b", "boxes of $1"),
    (rf"\b({_HOLD}) {_WITH} (\d+)\b", "$1 of $2"),
    (r"\b(packs|cases|boxes) (\d+ pieces)\b", "$1 of $2"),
    # what one of them holds
    (rf"({_SIZE}),? {_EACH}", "$1 each"),
    (rf"\b(?:jeweils|zu je|je) ({_SIZE})", "$1 each"),
)
#: in a text that had such words; an English one may say this too, and means something else
_THEN = (
    # "(pack of 2) pasta de pollo (2 unidades)" says it twice
    (r"(\b(?:packs?|sets?|cases?) of \d.*)\(\d+ pieces\)", "$1"),
    (r"\b(\d{1,3})\.(\d{3}) ?(g|ml)\b", "$1$2 $3"),
    (rf"(\d) ?({_HOLD}|pieces) (?:a|con|zu) (\d)", "$1 $2 of $3"),
    (rf"(\b{_UNIT} (?:cans|bottles|bags|jars)),?(?: -)? (\d+) pieces\b", "$1, $2 ct"),
)
#: what every text holds that a step changes, and few others do: all that an English catalogue pays for
_TRIGGER = "|".join(
    (
        rf"[0-9](?: ?(?:k?g|gr|[cdm]?l|[klm][a-z]{{3,8}}))?\.?[ -]?(?:{_any(_NOUNS)})",
        rf"[0-9](?:[ -]?[a-zß-ÿ]+-?)?(?:{_HEADS})",
        rf" (?:{_WITH}|{_AT}) ?[0-9]",
        rf"(?:{_DOZEN}|(?:[0-9]er|{_WITHIN})[- ]?{_CARRIER})",
        r"[0-9] ?(?:ett|dl|dezil|d[eé]cil|ud|pz|gramm|gramos|mililitros)",
        r"(?:medio|mezzo|demi|halber|halbes)[ -][ckl]|[ (](?:kg|gr|ml|cl|pz|lt)\.? ?[0-9]",
        rf"(?:kapseln|tabletten|dragees|beutel),? [0-9]|[0-9] ?g (?:de |di |d')?{_NUTRIENT}",
        rf"{_PER} 1(?:00)? ?[gmkl]|{_NET}|{_EACH}",
    )
).replace(r"\d", "[0-9]").replace(r"\b", "")  # fmt: skip


@keeping_regexes
def in_english(texts: pl.Series) -> pl.Series:
    """Write the foreign quantities of texts in English.

    Parameters
    ----------
    texts : Series of shape (n,)
        String, lower case, of `pricing.catalogue.plain_text.plain_text`; "x" multiplies.

    Returns
    -------
    Series of shape (n,)
        String, the same where no foreign word stands beside a number.

    Examples
    --------
    >>> texts = ["12er-pack 330 ml", "caja de 12 botellas de 75 cl", "3 etti", "6 dosen à 400 g", "6 pack da bomb"]
    >>> in_english(pl.Series(texts)).to_list()
    ['12 pack 330 ml', '12 bottles of 75 cl', '300 g', '6 cans of 400 g', '6 pack da bomb']
    """
    places = texts.str.contains(_TRIGGER).fill_null(False).arg_true()
    if places.is_empty():
        return texts
    old = texts.gather(places)
    new = _replaced(old, _WORDS).str.replace_many(list(_ENGLISH), list(_ENGLISH.values())).str.replace_all("[§¤]", "")
    new = _replaced(new, _JOINED)
    changed = (new != old).arg_true()
    return texts.scatter(places.gather(changed), _replaced(new.gather(changed), _THEN))


def _replaced(texts: pl.Series, steps: Iterable[tuple[str, str]]) -> pl.Series:
    for pattern, english in steps:
        texts = texts.str.replace_all(in_ascii(pattern), english)
    return texts
