"""Units of measurement: spellings, dimensions and factors to one base unit a dimension.

Base units: gram (mass), millilitre (volume), piece (count), metre (length), square metre (area). The factors come from
SciPy's tables of the legal definitions (international avoirdupois pound, US liquid gallon, inch).
"""

import re
from dataclasses import dataclass

from scipy import constants

from pricing.features.vocabulary import VOCABULARY

#: base unit of each dimension
BASE_UNITS = {"mass": "g", "volume": "ml", "count": "piece", "length": "m", "area": "m2"}


@dataclass(frozen=True)
class Unit:
    """One unit: ``amount * factor`` is the amount in the base unit of the dimension."""

    name: str
    dimension: str
    factor: float


#: grams, millilitres, metres
_POUND, _GALLON, _INCH = constants.pound * 1e3, constants.gallon_US * 1e6, constants.inch

#: dimension -> canonical name -> factor
_FACTORS: dict[str, dict[str, float]] = {
    "mass": {"mg": 1e-3, "g": 1.0, "hg": 100.0, "kg": 1e3, "oz": _POUND / 16, "lb": _POUND},
    "volume": {
        "ml": 1.0, "cl": 10.0, "dl": 100.0, "l": 1e3, "fl oz": _GALLON / 128, "dram": _GALLON / 1024,
        "pint": _GALLON / 8, "quart": _GALLON / 4, "gallon": _GALLON,
    },
    "length": {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": _INCH, "ft": _INCH * 12, "yd": _INCH * 36},
    "area": {"sq in": _INCH**2, "sq ft": (_INCH * 12) ** 2, "sq m": 1.0, "sq yd": (_INCH * 36) ** 2},
    "count": {"dozen": 12.0, "count": 1.0},
}  # fmt: skip
UNITS = {name: Unit(name, dimension, factor) for dimension, of in _FACTORS.items() for name, factor in of.items()}
#: any spelling (lower case, single spaces, no dots) -> canonical name
SPELLINGS = {spelling: name for name in reversed(UNITS) for spelling in (*VOCABULARY["spellings"].get(name, ()), name)}
#: those of other languages that only a Unit line is searched for
FOREIGN = {spelling: name for name, spellings in VOCABULARY["foreign_spellings"].items() for spelling in spellings}

#: spellings that a Unit line may hold but that mean something else inside a title
_NEVER_INLINE = {"#", "per box", "per package", "pack", "packs", "pk", "case", "fo", "in", "ins", "once", "onces",
                 "m", "lit", "lt", "item", "items", "net oz", "servings", "carton", "''", '"', "″", "cup",
                 "gs", "sf", "lf", "count per pack", "dl", "cc", "caps", "tabs", "cakes", "singles",
                 "meter", "hg"}  # fmt: skip


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
