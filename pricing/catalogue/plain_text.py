"""A catalogue text made plain: no HTML entities, one spelling per character, nothing invisible, single blanks.

Everything that reads a text reads this one: quantities, words, titles, the encoders. Lines stay lines, because the
labels of a catalogue text ("Item Name:", "Value:") stand at their beginnings. Ids are never made plain.
"""

import html
import re
from collections.abc import Callable

import polars as pl

#: nobody writes a longer tag, and a text with a lone "<" stays
TAG = r"</?[A-Za-z!][^<>]{0,500}>"
#: a row without any of these is plain already (the letters of Western Europe and typists' quotes and dashes are)
_ODD = r"[^\n\x20-\x7e®°À-ÖØ-öø-ÿ‘’“”–—•]|&(?:#|[a-zA-Z])|  "
#: entities end with a semicolon; without one only those that no word begins with ("R&Copy" stays)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[a-zA-Z][a-zA-Z0-9]{1,30};|(?:nbsp|amp|quot|apos)\b)")
_NARROW = r"[\u2007-\u200a\u202f]"
_LINE_ENDS = "\n\r\x85\u2028\u2029"
#: escaped twice ("&amp;nbsp;") is common where feeds are passed on, three times is seen
_MOST_ESCAPES = 3
#: what NFKC would spoil: "Tabasco™" is no "TabascoTM", and an accent alone becomes a blank with an accent
_SIGNS = {"™": "", "℠": "", "´": "'", "˚": "°"}


def plain_text(text: pl.Expr) -> pl.Expr:
    r"""Make texts plain.

    In this order: entities are replaced (also those escaped several times), blanks narrower than one that stand
    between thousands go ("1 250"), Unicode NFKC, characters of category Cf (zero-width ones, soft hyphens) go, every
    run of white space within a line becomes one blank. ``\r\n`` and ``\r`` end a line as ``\n`` does.

    Parameters
    ----------
    text : Expr
        String; nulls stay null.

    Returns
    -------
    Expr
        String. A fraction sign is written out, a blank before it ("1½" is "1 1/2").

    Examples
    --------
    >>> pl.select(plain_text(pl.lit("Honey&nbsp;１½\\u200b oz\\t(x&amp;#50;)"))).item()
    'Honey 1 1/2 oz (x2)'
    """
    return text.map_batches(_plain, return_dtype=pl.String, is_elementwise=True)


def without_entities(texts: pl.Series) -> pl.Series:
    """Replace HTML entities, also those escaped several times; nulls stay null.

    Examples
    --------
    >>> without_entities(pl.Series(["&euro;9.99", "9&nbsp;&amp;#8364;", None])).to_list()
    ['€9.99', '9\\xa0€', None]
    """
    return _where(texts, _ENTITY.pattern, _unescaped)


def _plain(texts: pl.Series) -> pl.Series:
    odd = texts.str.contains(_ODD).fill_null(False).arg_true()
    if odd.is_empty():
        return texts
    made = without_entities(texts.gather(odd))
    made = _where(made, _NARROW, lambda few: few.str.replace_all(rf"(\d){_NARROW}(\d{{3}})\b", "$1$2"))
    return texts.scatter(odd, _made_plain(made))


def _where(texts: pl.Series, pattern: str, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Change the texts that hold a pattern."""
    places = texts.str.contains(pattern).fill_null(False).arg_true()
    return texts if places.is_empty() else texts.clone().scatter(places, change(texts.gather(places)))


def _unescaped(texts: pl.Series) -> pl.Series:
    made = texts.to_list()
    for _ in range(_MOST_ESCAPES):
        made = [_ENTITY.sub(_character, text) for text in made]
    return pl.Series(made, dtype=pl.String)


def _character(match: re.Match[str]) -> str:
    entity = match.group().rstrip(";") + ";"
    # a title in capitals has "&NBSP;"
    found = html.unescape(entity) if html.unescape(entity) != entity else html.unescape(entity.lower())
    # "&#10;" begins no line of the catalogue's format
    return " " if found in _LINE_ENDS else found


def _made_plain(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    return (
        texts.alias("text")
        .to_frame()
        .select(
            text.str.replace_all(r"\r\n?", "\n")
            .str.replace_many(list(_SIGNS), list(_SIGNS.values()))
            # "m²" is a unit, any other raised digit a footnote
            .str.replace_all(r"\b([ckm]?m|ft|in|yd)²", "${1}2")
            .str.replace_all(r"\b(c?m)³", "${1}3")
            .str.replace_all(r"[²³¹⁰⁴-⁹]", "")
            .str.replace_all(r"(\d)([¼-¾⅐-⅞↉])", "$1 $2")
            .str.normalize("NFKC")
            .str.replace_all("\u2044", "/", literal=True)
            .str.replace_all(r"\p{Cf}", "")
            .str.replace_all(r"[\p{Cc}--\n]", " ")
            .str.replace_all(r"[^\S\n]{2,}|[^\S\n ]", " ")
        )
        .to_series()
    )
