"""Units of measurement: spellings, dimensions and factors to one base unit a dimension.

Base units: gram (mass), millilitre (volume), piece (count), metre (length), square metre (area). The factors come from
SciPy's tables of the legal definitions (international avoirdupois pound, US liquid gallon, inch).
"""

import re
from dataclasses import dataclass

from scipy import constants

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

#: canonical name -> (dimension, factor, further spellings; lower case, without dots and plural s where regular)
_TABLE: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "mg": ("mass", 1e-3, ("milligram", "milligrams", "mgs", "milligramme")),
    "g": (
        "mass",
        1.0,
        ("gram", "grams", "gm", "gms", "gr", "grs", "grm", "gramme", "grammes", "gs", "gramm", "gramo", "gramos",
         "grammi"),
    ),
    "kg": (
        "mass",
        1e3,
        ("kilogram", "kilograms", "kgs", "kilo", "kilos", "kilogramme", "kilogrammes", "kgm", "kilogramm", "kilogramo",
         "kilogramos"),
    ),
    "oz": (
        "mass",
        _POUND / 16,
        ("ounce", "ounces", "ozs", "onz", "oz wt", "net oz", "ounce wt", "ozz", "onces", "once", "ouce", "ounes",
         "onza", "onzas"),
    ),
    "lb": ("mass", _POUND, ("pound", "pounds", "lbs", "lbm", "ib", "ibs", "#", "punds", "libra", "libras")),
    "ml": (
        "volume",
        1.0,
        ("milliliter", "milliliters", "millilitre", "millilitres", "mls", "cc", "mililiter", "mililiters", "mililitro",
         "mililitros"),
    ),
    "cl": ("volume", 10.0, ("centiliter", "centilitre", "centiliters", "centilitres")),
    "dl": ("volume", 100.0, ("deciliter", "decilitre", "deciliters", "decilitres")),
    "l": ("volume", 1e3, ("liter", "liters", "litre", "litres", "ltr", "ltrs", "lt", "lts", "lit", "litro", "litros")),
    "fl oz": (
        "volume",
        _GALLON / 128,
        ("floz", "fluid ounce", "fluid ounces", "fl ounce", "fl ounces", "fluid oz", "fl ozs", "oz fl", "fz", "fl",
         "fluidounce", "fluid-ounce", "fl-oz", "oz fluid", "fluid once", "foz", "fo", "ounce fluid",
         "ounces fluid", "ounce fl", "ounces fl"),
    ),
    "dram": ("volume", _GALLON / 1024, ("drams", "fluid dram")),
    "pint": ("volume", _GALLON / 8, ("pints", "pt", "pts")),
    "quart": ("volume", _GALLON / 4, ("quarts", "qt", "qts")),
    "gallon": ("volume", _GALLON, ("gallons", "gal", "gals", "galon")),
    "mm": ("length", 1e-3, ("millimeter", "millimeters", "millimetre", "millimetres")),
    "cm": ("length", 1e-2, ("centimeter", "centimeters", "centimetre", "centimetres", "cms")),
    "m": ("length", 1.0, ("meter", "meters", "metre", "metres", "mtr")),
    "in": ("length", _INCH, ("inch", "inches", "in", "ins", '"', "″", "''")),
    "ft": ("length", _INCH * 12, ("foot", "feet", "fts", "lf", "linear feet")),
    "yd": ("length", _INCH * 36, ("yard", "yards", "yds")),
    "sq in": ("area", _INCH**2, ("square inch", "square inches", "sqin", "sq inch", "sq inches", "in2")),
    "sq ft": ("area", (_INCH * 12) ** 2, ("square foot", "square feet", "sqft", "sq feet", "sq foot", "ft2", "sf")),
    "sq m": ("area", 1.0, ("square meter", "square meters", "square metre", "square metres", "sqm", "m2")),
    "sq yd": ("area", (_INCH * 36) ** 2, ("square yard", "square yards", "sq yard", "sq yards")),
    "dozen": ("count", 12.0, ("dozens", "doz", "dz")),
    "count": (
        "count",
        1.0,
        ("counts", "ct", "cts", "cnt", "count per pack", "each", "ea", "piece", "pieces", "pcs", "pc", "pk", "pack",
         "packs", "unit", "units", "item", "items", "per box", "per package", "carton", "packet", "packets", "bag",
         "bags", "tea bag", "tea bags", "teabag", "teabags", "bottle", "bottles", "can", "cans", "jar", "jars", "box",
         "boxes", "pod", "pods", "capsule", "capsules", "tablet", "tablets", "softgel", "softgels", "stick", "sticks",
         "sachet", "sachets", "pouch", "pouches", "bar", "bars", "k-cup", "k-cups", "kcups", "k cups", "cups", "cup",
         "bunch", "case", "tin", "tins", "roll", "rolls", "sheet", "sheets", "gummies", "lollipops", "cookies",
         "servings", "ziplock bags", "paper cupcake liners", "lozenges", "tube", "tubes", "bucket", "bg", "bgs",
         "vcaps", "caps", "caplets", "tabs", "pair", "pairs", "stems", "bulbs", "discs", "t discs", "donuts",
         "biscuits", "wafers", "strips", "gumballs", "pops", "singles", "meals", "wraps", "tortillas", "buns", "eggs",
         "pads", "wipes", "filters", "liners", "toppers", "candles", "roses", "slices", "suckers", "truffles", "teabgs",
         "canister", "canisters", "cartridges", "patties", "brownies", "muffins", "bagels", "cakes", "pastries",
         "tub", "tubs", "cartons", "sticks packs", "stick packs", "buckets"),
    ),
}  # fmt: skip

#: canonical name -> unit
UNITS = {name: Unit(name, dimension, factor) for name, (dimension, factor, _) in _TABLE.items()}
#: any spelling (lower case, single spaces, no dots) -> canonical name
SPELLINGS = {spelling: name for name, (_, _, spellings) in reversed(_TABLE.items()) for spelling in (*spellings, name)}

#: spellings that a Unit line may hold but that mean something else inside a title
_NEVER_INLINE = {"#", "per box", "per package", "pack", "packs", "pk", "case", "fo", "in", "ins", "once", "onces",
                 "m", "lit", "lt", "item", "items", "net oz", "servings", "carton", "''", '"', "″", "cup",
                 "gs", "sf", "lf", "count per pack", "dl", "cc", "caps", "tabs", "cakes", "singles",
                 "meter"}  # fmt: skip


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
