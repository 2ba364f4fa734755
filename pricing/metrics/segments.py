"""Segments of a catalogue: what an analyst wants an error broken down by.

A catalogue of texts has no categories of its own. `product_categories` finds some by k-means over the SVD columns of
the TF-IDF (no price is read) and names each by the title words that set it apart. Where a shop declares categories,
`declared_segments` adds theirs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.metrics.price_metrics import metrics_by_group

SEGMENTS: Mapping[str, str] = {
    "category": "category", "brand_frequency": "brand", "image_there": "image", "pack": "pack",
}  # fmt: skip
"""Column of the products' table to what the reader calls it."""
DECLARED = "column "
"""Beginning of the names of segments by a declared column, behind which the shop's own name of it stands."""
_MOST = 20
"""Maximum number of segments of a declared column: a reader takes in no longer table."""

_BRANDS = (
    (0, "brand unknown"), (9, "brand of under 10 products"), (39, "brand of 10 to 39"), (np.inf, "brand of 40 or more"),
)  # fmt: skip
_PACKS = ((1, "single"), (6, "pack of 2 to 6"), (np.inf, "pack of 7 or more"))
_SHOWN_WORDS = 3
_EMPTY_WORDS = (
    "and", "bag", "bottle", "box", "case", "count", "each", "for", "free", "from", "fluid", "gallon", "gram", "grams",
    "inch", "item", "kg", "large", "lbs", "liter", "litre", "made", "new", "ounce", "ounces", "oz", "pack", "packs",
    "per", "piece", "pieces", "pound", "pounds", "set", "size", "small", "the", "value", "with", "your",
)  # fmt: skip
"""Words that say how much there is, or nothing; no category is called by them."""


def product_categories(vectors: NDArray[np.floating], titles: pl.Series, count: int, seed: int) -> pl.Series:
    """Categories of products, each named by the title words that set it apart.

    k-means (Lloyd 1982; scikit-learn's mini-batch variant) over the rows scaled to length 1. A word's score in a
    cluster is ``p log(p / q)`` with p its share of the cluster's titles and q its share of all titles.

    Parameters
    ----------
    vectors : ndarray of shape (n, d)
        Text embedding of each product, its SVD columns for instance.
    titles : Series of shape (n,)
        Product names.
    count : int
        Most categories; there are fewer where products are few.

    Returns
    -------
    Series of shape (n,), String
        A name such as ``tea, green, bags``.
    """
    from sklearn.cluster import MiniBatchKMeans

    n = len(titles)
    count = max(1, min(count, n // 20))
    if count == 1 or not vectors.shape[1]:
        return pl.Series("category", ["all products"] * n, dtype=pl.String)
    unit = np.nan_to_num(vectors.astype(np.float64))
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096)
    label = means.fit_predict(unit).astype(np.int64)
    return pl.Series("category", _names(label, titles), dtype=pl.String)


def _names(label: NDArray[np.int64], titles: pl.Series) -> list[str]:
    words = (
        pl.DataFrame({"label": label, "title": titles})
        .with_columns(word=pl.col("title").str.to_lowercase().str.extract_all(r"\p{L}{3,}").list.unique())
        .explode("word")
        .filter(pl.col("word").is_not_null() & ~pl.col("word").is_in(_EMPTY_WORDS))
    )
    sizes = dict(enumerate(np.bincount(label).tolist()))
    overall = words.group_by("word").agg(q=pl.len() / len(titles))
    scored = (
        words.group_by("label", "word")
        .agg(count=pl.len())
        .join(overall, on="word")
        .with_columns(p=pl.col("count") / pl.col("label").replace_strict(sizes, return_dtype=pl.Float64))
        .with_columns(score=pl.col("p") * (pl.col("p") / pl.col("q")).log())
        .sort("label", "score", "word", descending=[False, True, False])
    )
    names: dict[int, str] = {}
    for (key,), found in scored.partition_by("label", as_dict=True).items():
        names[int(str(key))] = ", ".join(found["word"].head(_SHOWN_WORDS))
    # two clusters of the same three words are one category to a reader
    return [names.get(int(one), "no title") for one in label]


def product_segments(
    category: pl.Series, brand_titles: NDArray[np.floating], pack: NDArray[np.floating], image: pl.Series
) -> pl.DataFrame:
    """The columns of `SEGMENTS`, readable.

    Parameters
    ----------
    category : Series of shape (n,)
        As `product_categories`.
    brand_titles : ndarray of shape (n,)
        How many products of the brand there are; 0 where the brand is unknown.
    pack : ndarray of shape (n,)
        Units in the pack; NaN where the text does not say.
    image : Series of shape (n,)
        The image's file; null where there is none.
    """
    return pl.DataFrame(
        {
            "category": category,
            "brand_frequency": _binned(np.nan_to_num(brand_titles.astype(np.float64)), _BRANDS),
            "image_there": image.is_not_null().replace_strict({True: "with image", False: "without image"}),
            "pack": _binned(np.nan_to_num(pack.astype(np.float64), nan=1.0), _PACKS),
        }
    )


def declared_segments(values: pl.Series, levels: Sequence[pl.Series] = ()) -> pl.Series:
    """Segments of a declared category column, at most 20 of them.

    They are the values or, where these are too many, those of the deepest level of a path that has few enough. Where
    none has, the most frequent values of the first level are segments, and all others are one.

    Parameters
    ----------
    values : Series of shape (n,), String
        "" where missing.
    levels : sequence of Series of shape (n,), String
        Paths down to their first level, to their second and so on, where the values are paths.

    Returns
    -------
    Series of shape (n,), String
        Null where missing.

    Examples
    --------
    >>> makers = pl.Series(["acme", "acme", "", *(f"maker {number}" for number in range(30))])
    >>> declared_segments(makers).unique(maintain_order=True).to_list()[:4]
    ['acme', None, 'maker 0', 'maker 1']
    >>> declared_segments(makers).to_list()[-1]
    '12 other values'
    """
    depths = (*levels, values)
    chosen = next((depth for depth in reversed(depths) if depth.n_unique() <= _MOST), depths[0])
    counts = chosen.alias("value").value_counts().filter(pl.col("value") != "")
    if counts.height > _MOST:
        rare = counts.sort(["count", "value"], descending=[True, False])["value"][_MOST - 1 :]
        chosen = chosen.set(chosen.is_in(rare.implode()), f"{len(rare):,} other values")
    return chosen.set(chosen == "", None)


def _binned(values: NDArray[np.float64], bins: tuple[tuple[float, str], ...]) -> list[str]:
    """The first bin whose upper limit (inclusive for whole numbers below it) holds the value."""
    limits = [limit for limit, _ in bins]
    names = [name for _, name in bins]
    return [names[index] for index in np.searchsorted(limits, values, side="left")]


def segment_metrics(rows: pl.DataFrame, products: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """The stack's metrics in every segment.

    Parameters
    ----------
    rows : DataFrame
        ``sample_id``, ``price``, ``stack`` (prices).
    products : DataFrame
        ``sample_id`` and any of the columns of `SEGMENTS` and of those that begin with `DECLARED`.

    Returns
    -------
    dict
        Segment column to name to metrics of `pricing.metrics.price_metrics.evaluate_predictions`, largest group first.
    """
    columns = [name for name in products.columns if name.startswith(DECLARED)]
    columns += [name for name in SEGMENTS if name in products.columns]
    joined = rows.join(products.select("sample_id", *columns), on="sample_id", how="left", maintain_order="left")
    found = {}
    for name in columns:
        groups = joined[name].fill_null("unknown").to_list()
        by_group = metrics_by_group(joined["price"].to_numpy(), joined["stack"].to_numpy(), groups)
        found[name] = dict(sorted(by_group.items(), key=lambda item: (-item[1]["rows"], item[0])))
    return found
