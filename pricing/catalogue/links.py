"""Links as catalogues hold them, and the addresses that are asked for them.

A catalogue's field holds more than one careful link: several links, quotes, a JSON list, ``&amp;``, no scheme.
:func:`split_links` finds the links in it, :func:`complete` gives a link a scheme, and :func:`request_url` makes the
address that goes out. A link that is good already passes all three unchanged, byte for byte: signatures depend on it,
and so do the names under which images were fetched before.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import polars as pl
from yarl import URL

_BLANKS = " \t\r\n\f\v\u00a0\u200b\u2060\ufeff"
_PLAIN = rf"^(?i:https?)://[^\s{_BLANKS[7:]}|;,\"'`<>&\[\](){{}}\\^~；，、]+$"
"""A field that is one link for certain; polars reads it too, so that a million good links cost nothing."""
_SEVERAL = rf"{_PLAIN[:-1]}(?:[\s|;,]+{_PLAIN[1:-1]})+$"
"""Several such links and nothing else, which polars reads too."""
_EXTENSION = r"\.(?:jpe?g|jfif|png|gif|webp|bmp|avif)"
_HOST = (
    r"(?:(?:[^\W_](?:[\w-]*[^\W_])?\.)+(?:xn--[\w-]+|[^\W\d_]{2,})|localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])"
    r"(?::\d{1,5})?|[\w-]+:\d{1,5}"
)
"""What may stand before the first slash of a link without a scheme: a name with a dot, an address, a port."""
_BARE = rf"(?![^/\s]{{0,255}}{_EXTENSION}/)(?:{_HOST})/"
_LINK = rf"https?://|//(?:{_HOST})/|www\.[\w-]+\."
_START = rf"[\"'<(\[]*(?:{_LINK})"
# a comma, a bar or a blank may stand inside a link; it ends one only where another link begins behind it
_RUN = r"(?<![\s|;,])[\s|;,]++"
_ODD_RUN = r"\s*(?:[\^~>；，、]|\\[nr]|<br ?/?>)+\s*(?=https?://)"
_BETWEEN = re.compile(rf"{_RUN}(?={_START})|{_ODD_RUN}|\|(?=\s*{_BARE})|[\r\n\t]", re.IGNORECASE)
_BETWEEN_BARE = re.compile(rf"{_RUN}(?={_START}|[\"'<(\[]*{_BARE})|[\r\n\t]", re.IGNORECASE)
_BEGIN = re.compile(rf"{_LINK}|{_BARE}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:amp|quot|apos|lt|gt|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'])(.*?)\1""", re.DOTALL)
_IN_MARKUP = re.compile(r"""(?<=["'(=])\s*((?:https?:)?//[^\s"'<>)]+)""", re.IGNORECASE)
_BEFORE, _BEHIND = "\"'`“”‘’«»<" + _BLANKS, '"`“”‘’«»>|' + _BLANKS
_AROUND = ("[]", "()", "{}", "<>", '""', "''")
"""What stands around a list or markup, which may be written on several lines."""
_LEFT_OVER = re.compile(rf"({_EXTENSION})(?:[,;']+| (?:\d+(?:\.\d+)?[wx]|[-/&+]|and))$", re.IGNORECASE)


def split_links(field: str) -> list[str]:
    """Every link of a catalogue's field, in order and without repetition.

    Links may be separated by bars, semicolons, commas, blanks or line breaks, or stand in a JSON list, a Python list or
    HTML. A separator inside a link counts only where another link begins behind it. HTML's entities are resolved.

    Examples
    --------
    >>> split_links("https://shop.example/a.jpg|//shop.example/b.jpg")
    ['https://shop.example/a.jpg', '//shop.example/b.jpg']
    >>> split_links("https://shop.example/w_300,h_200/a.jpg?x=1&amp;y=2")
    ['https://shop.example/w_300,h_200/a.jpg?x=1&y=2']
    """
    text = field.strip(_BLANKS)
    if re.match(_PLAIN, text):
        return [text]
    if re.match(_SEVERAL, text):
        return list(dict.fromkeys(re.split(r"[\s|;,]+", text)))
    lines = text.split("\n") if text[:1] + text[-1:] not in _AROUND else []
    if len(lines) > 1:
        return list(dict.fromkeys(link for line in lines for link in split_links(line)))
    while (plain := _ENTITY.sub(lambda match: html.unescape(match[0]), text)) != text:
        # some feeds escape twice
        text = plain
    items = _items(text) if text[:1] in ("[", "(", "{", '"', "<", "=", "!") else []
    if items:
        return list(dict.fromkeys(link for item in items for link in split_links(item)))
    pieces = _BETWEEN.split(text) if "//" in text else _BETWEEN_BARE.split(text)
    if len(pieces) == 1 and "/" not in text:
        names = re.split(r"\s*[|;,]\s*", text)
        pieces = names if all(re.search(_EXTENSION + "$", name, re.IGNORECASE) for name in names) else pieces
    links = [link for piece in pieces if (link := _unwrapped(piece))]
    return list(dict.fromkeys([link for link in links if _BEGIN.match(link)] or links))


def first_link(field: str) -> str:
    """The first link of a catalogue's field; empty where there is none."""
    return next(iter(split_links(field)), "")


def tidy_links(column: pl.Series) -> tuple[pl.Series, int]:
    """The first link of each row, and how many rows held several.

    Parameters
    ----------
    column : Series of shape (n,), String
        ``image_link`` as read; null where there is none.

    Returns
    -------
    tuple of Series of shape (n,) and int
        Null where a field holds no link.
    """
    # without a single link it may be of no type
    column = column.cast(pl.String)
    doubtful = column.filter(column.is_not_null() & ~column.str.contains(_PLAIN))
    if not len(doubtful):
        return column, 0
    good = doubtful.str.contains(_SEVERAL)
    lists = doubtful.filter(good).str.replace_all(r"[\s|;,]+", "\n").str.split("\n")
    found = {field: split_links(field) for field in doubtful.filter(~good).unique()}
    firsts = {field: links[0] if links else None for field, links in found.items()}
    several = [field for field, links in found.items() if len(links) > 1]
    count = int(doubtful.is_in(several).sum()) + int((lists.list.n_unique() > 1).sum())
    if len(lists):
        field = pl.col(column.name)
        first = pl.when(field.str.contains(_SEVERAL)).then(field.str.extract(r"^([^\s|;,]+)")).otherwise(field)
        column = column.to_frame().select(first).to_series()
    return column.replace_strict(firsts, default=column, return_dtype=pl.String), count


def has_scheme(link: str) -> bool:
    """Whether a link says itself how to ask for it."""
    return bool(re.match(r"https?://", link, re.IGNORECASE))


def complete(link: str, scheme: str = "https") -> str:
    """A link with a scheme: ``//host/a.jpg`` and ``host/a.jpg`` get the one given, others stay as they are.

    Examples
    --------
    >>> complete("//shop.example/a.jpg"), complete("shop.example/a.jpg", "http"), complete("ftp://shop.example/a.jpg")
    ('https://shop.example/a.jpg', 'http://shop.example/a.jpg', 'ftp://shop.example/a.jpg')
    """
    if link.startswith("//"):
        return f"{scheme}:{link}"
    if not has_scheme(link) and re.match(_BARE, link, re.IGNORECASE):
        return f"{scheme}://{link}"
    return link


_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]|%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"(?P<before>(?:[a-z][a-z0-9+.-]*:)?//)(?P<authority>[^/?#]*)(?P<rest>.*)", re.I | re.DOTALL)
_DOTS = re.compile(r"/\.\.?(?:[/?#]|$)")


def request_url(link: str) -> URL:
    """The address that is asked for a link: what RFC 3986 allows goes out as it is, what it does not is escaped.

    ``%27`` stays ``%27`` and ``'`` stays ``'``, since a signed address or a picky server knows the difference. Blanks,
    letters beyond ASCII and percent signs that begin no escape are escaped (UTF-8).

    Parameters
    ----------
    link : str
        A link, or what a redirect names, which may be relative.

    Raises
    ------
    ValueError
        It is no address.

    Examples
    --------
    >>> str(request_url("http://shop.example/my photo 100%.jpg?sig=a%2Fb%27"))
    'http://shop.example/my%20photo%20100%25.jpg?sig=a%2Fb%27'
    """
    parts = _AUTHORITY.fullmatch(link)
    before, authority, rest = parts.group("before", "authority", "rest") if parts else ("", "", link)
    if authority:
        if stray := re.search(r"[\x00-\x20\x7f\"<>\\^`{|}]", authority):
            raise ValueError(f"{stray[0]!r} in the host")
        # checks the rest of it, and spells one beyond ASCII as DNS knows it
        host = URL(f"http://{authority}")
        authority = authority if authority.isascii() else host.raw_authority
    url = URL(before + authority + _NOT_ALLOWED.sub(_escaped, rest), encoded=True)
    # what browsers and servers would do anyway, and yarl's join does without touching escapes
    return url.join(URL(url.raw_path_qs, encoded=True)) if authority and _DOTS.search(url.raw_path) else url


def _escaped(match: re.Match[str]) -> str:
    # bytes of a redirect that are no UTF-8 come as surrogates, and go back as what they were
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _items(text: str) -> list[str]:
    """Texts inside a list or markup; none where the text is neither."""
    try:
        found = list(_texts(json.loads(text, strict=False)))
    except (ValueError, RecursionError):
        found = [match[2] for match in _QUOTED.finditer(text)] if text[0] in "[({" else []
        bracketed = [text[1:-1]] if text[0] + text[-1] in ("[]", "()") else []
        markup = _IN_MARKUP.findall(text) if text[0] in "<=!" or "](" in text else []
        found = found or bracketed or markup
    # beside a link an object may hold a caption
    linked = [item for item in found if "//" in item or _BEGIN.match(item)]
    return [item for item in linked or found if len(item) < len(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from _texts(item)


def _unwrapped(piece: str) -> str:
    """A piece without quotes, brackets around it and separators behind it."""
    text = piece.strip(_BLANKS)
    for opening, closing in ("()", "[]"):
        if text.startswith(opening) and text.endswith(closing):
            text = text[1:-1]
    bare = text.lstrip(_BEFORE)
    if bare != text:
        bare = bare.rstrip("'")
    return _LEFT_OVER.sub(r"\1", bare.rstrip(_BEHIND))
