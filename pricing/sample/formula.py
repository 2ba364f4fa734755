r"""The sample catalogue's price formula, and the smallest error that is possible.

Formula
-------
For a product of category c, brand b, total quantity q (size times pack, in the category's unit), quality words W and
image grade g::

    log price = base[c] + brand[b] + elasticity[c] * log(q / reference[c]) + sum of word[w], w in W + grade[g] + e
    e ~ Normal(0, NOISE)

All but g stands in the text. g is shown by the seal on the image alone, and is drawn independently of everything
else. The price is exp(log price), rounded to cents. Formula and noise were fixed before any model was tuned on them.

The floor
---------
One row's SMAPE is 2 tanh(\|d\| / 2), d the difference of the logs. Given text and image, the best prediction is the
median of log price, for e is symmetric and unimodal: d = e, and the least expected SMAPE is::

    readable = integral of 2 tanh(|x| / 2) phi(x; NOISE) dx

Where the image is broken or missing, the grade is unknowable and log price is a mixture of one normal a grade. The
best prediction is then the point p that makes the expectation smallest::

    unreadable = min over p of  mean over g of  integral of 2 tanh(|grade[g] + x - p| / 2) phi(x; NOISE) dx

The floor of a catalogue is the mean of the two, weighted by the share of its rows whose image can be read. Rounding
to cents and what a broken image's near-duplicates tell about its grade are left out: both are below 0.01.
"""

from dataclasses import dataclass

import numpy as np

from pricing.metrics.smape import smape_rows

NOISE = 0.0735
"""Standard deviation of the log price around the formula."""

GRADES = (-0.15, 0.0, 0.15)
"""Effect of the seal on the log price; each grade is as frequent as the others."""

WORDS = {"Organic": 0.26, "Gourmet": 0.16, "Imported": 0.12, "Handmade": 0.22, "Budget": -0.20}
"""Effect of each quality word on the log price."""

WORD_SHARES = (0.25, 0.20, 0.20, 0.12, 0.15)
"""How often each quality word stands in a product's text."""

BRANDS = {
    "Avenor": -0.38, "Bellcrest": 0.31, "Corvina": 0.12, "Dunmarra": -0.22, "Estrell": 0.40, "Fennimore": -0.05,
    "Galloway Hill": 0.22, "Harrowgate": -0.30, "Isolara": 0.05, "Juniper Lane": 0.35, "Kestrel": -0.14,
    "Lomondi": 0.17, "Marisol": -0.40, "Northlea": -0.09, "Oakhurst": 0.27, "Pellegrine": 0.09, "Quillon": -0.26,
    "Rosmere": 0.00, "Sablewood": 0.20, "Tarrano": -0.18,
}  # fmt: skip
"""Effect of each brand on the log price."""

BRANDS_PER_CATEGORY = 8


@dataclass(frozen=True)
class Category:
    """One kind of product.

    Attributes
    ----------
    name, unit : str
        Category, and the unit of its quantities ("Ounce", "Fl Oz" or "Count").
    price : float
        Price of the reference quantity without any other effect.
    reference : float
        That quantity.
    elasticity : float
        d log price / d log quantity.
    sizes : tuple of float
        Sizes of one item, in `unit`.
    """

    name: str
    unit: str
    price: float
    reference: float
    elasticity: float
    sizes: tuple[float, ...]


CATEGORIES = (
    Category("coffee", "Ounce", 11.0, 12.0, 0.72, (8, 10, 12, 16, 24, 32, 40)),
    Category("tea", "Count", 6.5, 20.0, 0.68, (16, 20, 25, 40, 50, 80, 100)),
    Category("chocolate", "Ounce", 5.0, 3.5, 0.74, (1.5, 2.8, 3.5, 4.4, 7, 10.5)),
    Category("oil", "Fl Oz", 12.0, 16.9, 0.70, (8.5, 12.7, 16.9, 25.4, 33.8)),
    Category("sauce", "Fl Oz", 4.5, 6.0, 0.67, (5, 6, 8, 10, 12, 16)),
    Category("nuts", "Ounce", 8.5, 12.0, 0.73, (6, 8, 10, 12, 16, 24, 32)),
)

PACKS = (1, 2, 3, 4, 6, 12)
PACK_SHARES = (0.45, 0.14, 0.11, 0.09, 0.13, 0.08)


def brands_of(category: int) -> list[int]:
    """Indices into BRANDS of the brands that sell in a category; most sell in two or three."""
    return [(3 * category + step) % len(BRANDS) for step in range(BRANDS_PER_CATEGORY)]


def log_price_without_noise(
    category: np.ndarray, brand: np.ndarray, quantity: np.ndarray, words: np.ndarray, grade: np.ndarray
) -> np.ndarray:
    """The formula without its last term.

    Parameters
    ----------
    category, brand, grade : ndarray of int, (n,)
        Indices into CATEGORIES, BRANDS and GRADES.
    quantity : ndarray of float, (n,)
        Total quantity, in the category's unit.
    words : ndarray of bool, (n, len(WORDS))

    Returns
    -------
    ndarray of float64, (n,)
        Log price.
    """
    base = np.log([kind.price for kind in CATEGORIES])[category]
    reference = np.array([kind.reference for kind in CATEGORIES])[category]
    elasticity = np.array([kind.elasticity for kind in CATEGORIES])[category]
    effects = np.array(list(WORDS.values()))
    return (
        base
        + np.array(list(BRANDS.values()))[brand]
        + elasticity * np.log(quantity / reference)
        + words @ effects
        + np.array(GRADES)[grade]
    )


def expected_smape(offsets: tuple[float, ...]) -> tuple[float, float]:
    """Least expected SMAPE where log price is an even mixture of normals of the standard deviation `NOISE`.

    Parameters
    ----------
    offsets : tuple of float
        Centres of the mixture, in log price.

    Returns
    -------
    smape : float
        In percent.
    point : float
        The prediction that reaches it, in log price.
    """
    points = np.linspace(min(offsets), max(offsets), 301 if len(set(offsets)) > 1 else 1)
    costs = [smape_at(np.array(offsets), point) for point in points]
    best = int(np.argmin(costs))
    return costs[best], float(points[best])


def smape_at(offsets: np.ndarray, point: float) -> float:
    """Expected SMAPE in percent of one prediction, where log price is such a mixture.

    Parameters
    ----------
    offsets : ndarray of shape (g,)
        Centres of the mixture, in log price.
    point : float
        The prediction, in log price.
    """
    x = np.linspace(-8 * NOISE, 8 * NOISE, 4001)  # (4001,), the trapezoid rule's error is far below 1e-4 here
    weight = np.exp(-0.5 * (x / NOISE) ** 2)
    weight /= weight.sum()
    return float((smape_rows(offsets[:, None] + x, point) @ weight).mean())


def bayes_floor(readable: float) -> float:
    """Bayes-optimal SMAPE in percent of a catalogue in which the share `readable` of the rows has a whole image."""
    return readable * expected_smape((0.0,))[0] + (1 - readable) * expected_smape(GRADES)[0]
