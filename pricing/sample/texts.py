"""The sample catalogue's texts: names, bullet points, descriptions and quantities as sellers spell them.

Nothing here but the brand, the quality words and the quantity bears on the price.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

_PHRASES: dict[str, Any] = tomllib.loads((resources.files("pricing.sample") / "texts.toml").read_text(encoding="utf-8"))
_BULLETS, _SENTENCES = _PHRASES["bullets"], _PHRASES["sentences"]


@dataclass(frozen=True)
class Product:
    """What a text is made from; `dice` are uniform numbers in [0, 1) that decide how it is spelled."""

    category: str
    brand: str
    unit: str
    size: float
    pack: int
    words: Sequence[str]
    title_dice: Sequence[float]
    dice: Sequence[float]


TITLE_DICE = 9
DICE = 14


def _pick(options: Sequence[str], dice: float) -> str:
    return options[int(dice * len(options))]


def _plain(number: float) -> str:
    return f"{number:.4g}"


def spell_size(size: float, unit: str, dice: float) -> str:
    """The size of one item in one of its usual spellings, exact to a third of a percent."""
    plain = _plain(size)
    if unit == "Count":
        return _pick((f"{plain} Count", f"{plain}-Count", f"{plain} ct", f"{plain} Count"), dice)
    if unit == "Fl Oz":
        millilitres = round(size * 29.5735)
        litres = f"{size * 0.0295735:.3g} L" if size > 30 else f"{millilitres} ml"
        return _pick((f"{plain} fl oz", f"{plain} Fl Oz", f"{plain} Fluid Ounce", f"{millilitres}ml", litres), dice)
    grams = f"{size * 28.3495:.4g} g" if size < 30 else f"{size * 0.0283495:.4g} kg"
    pounds = f"{_plain(size / 16)} lb" if size >= 16 else f"{plain} Oz"
    return _pick((f"{plain} oz", f"{plain} Ounce", f"{plain}-Ounce", f"{plain}oz", grams, pounds), dice)


def spell_quantity(size: float, pack: int, unit: str, size_dice: float, pack_dice: float) -> str:
    """Size and pack together, as in ``"12 Ounce (Pack of 6)"`` or ``"6 x 340 g"``."""
    item = spell_size(size, unit, size_dice)
    if pack == 1:
        return f"{item} (Pack of 1)" if pack_dice < 0.2 else item
    forms = [f"{item} (Pack of {pack})", f"{item} (Pack of {pack})", f"{item}, {pack} Pack", f"{item} - {pack}-Pack",
             f"{item}, Pack of {pack}"]  # fmt: skip
    if unit != "Count":
        forms += [f"{pack} x {item}", f"{item} (Case of {pack})"]
    return _pick(forms, pack_dice)


def write_content(product: Product) -> str:
    """A product's catalog_content.

    The name always holds brand, kind and flavour. About 8 % of the names leave the quantity to the Value and Unit
    lines, and about 4 % of the texts have no such lines (never both); bullet points and description come and go.
    """
    t, d = product.title_dice, product.dice
    kind = _pick(_PHRASES["products"][product.category], t[0])
    flavour, style = _pick(_PHRASES["flavours"], t[1]), _pick(_PHRASES["styles"], t[2])
    line = _pick(_PHRASES["line_beginnings"], t[3]) + _pick(_PHRASES["line_ends"], t[4]) + " " if t[5] < 0.7 else ""
    # this quality word stands in a bullet point instead of the name
    hidden = int(t[6] * 10) if t[6] < 0.2 else -1
    spelled = [word.upper() if t[7] < 0.1 else word for word in product.words]
    named = [word for place, word in enumerate(spelled) if place != hidden]
    told = [word for place, word in enumerate(spelled) if place == hidden]
    tail = ", ".join(named)
    name = f"{product.brand} {line}{style} {flavour} {kind}{', ' + tail if tail else ''}"
    if t[8] < 0.3 and tail:
        name = f"{product.brand} {line}{' '.join(named)} {kind}, {flavour}, {style}"
    with_value = d[0] >= 0.04
    if d[1] >= 0.08 or not with_value:
        quantity = spell_quantity(product.size, product.pack, product.unit, d[2], d[3])
        name += (" - " if d[4] < 0.15 else ", ") + quantity
    bullets = [_pick(_PHRASES["quality_bullets"], d[5]).format(word=word, product=kind.lower()) for word in told]
    if d[6] < 0.8:
        start, step = int(d[7] * len(_BULLETS)), 1 + 2 * int(d[8] * 3)
        bullets += [_BULLETS[(start + step * place) % len(_BULLETS)] for place in range(1 + int(d[9] * 5))]
    lines = [f"Item Name: {name}"]
    lines += [f"Bullet Point {place}: {bullet}" for place, bullet in enumerate(bullets, 1)]
    if d[10] < 0.45:
        start = int(d[11] * len(_SENTENCES))
        told_off = [_SENTENCES[(start + 3 * place) % len(_SENTENCES)] for place in range(1 + int(d[12] * 4))]
        text = " ".join(told_off).format(product=kind.lower(), brand=product.brand, flavour=flavour.lower())
        lines.append(f"Product Description: {text}")
    if with_value:
        lines += [
            f"Value: {round(product.size * product.pack, 2)}",
            f"Unit: {_pick(_PHRASES['unit_spellings'][product.unit], d[13])}",
        ]
    return "\n".join(lines) + "\n"
