"""Near-duplicate products: rows that share an image link or a title, known before anything is downloaded."""

from hashlib import blake2b

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pricing.catalogue.links import tidy_links
from pricing.catalogue.plain_text import plain_text
from pricing.catalogue.title import title_of

# longest first where one is the beginning of another; applied to lower-case words between blanks
_UNITS = (
    "fl fluid oz ozs ounce ounces onz lb lbs pound pounds g gm gms gr gram grams kg kgs kilo kilos kilogram kilograms "
    "mg milligram milligrams l lt ltr ltrs liter liters litre litres ml mls milliliter milliliters millilitre "
    "millilitres cl dl gal gallon gallons qt quart quarts pt pint pints inch inches ft feet foot cm mm"
)
_PACK = (
    "pack packs packet packets pk pks pkt pkts pck count counts ct cts cnt case cases set sets bundle bundles piece "
    "pieces pc pcs each ea unit units dozen doz carton cartons of x per qty quantity"
)
_NOISE = frozenset(f"{_UNITS} {_PACK}".split())
# letters that a normalised title needs before it may join rows
_SHORTEST = 6


def normalise_title(title: pl.Expr) -> pl.Expr:
    """A title without case, punctuation, numbers, units and pack words.

    ``"Taco Sauce Mild, 12 Ounce (Pack of 6)"`` and ``"TACO SAUCE - Mild 340g x 2"`` both become
    ``"taco sauce mild"``. Letters of every script stay.
    """
    words = (
        title.str.to_lowercase()
        .str.replace_all(r"['’`]", "")
        # numbers go too, so 12oz becomes oz
        .str.replace_all(r"[^\p{L}\p{M}]+", " ")
        .str.strip_chars()
        .str.split(" ")
    )
    return words.list.eval(pl.element().filter(~pl.element().is_in(list(_NOISE)))).list.join(" ")


def title_keys(content: pl.Series) -> pl.Series:
    """What each row's title is compared by (String; null where it must join nothing).

    A normalised title of one word or fewer than six letters ("coffee", "") says too little: two different products
    would meet in it. Such rows are compared by their whole text instead, and an empty text joins nothing.

    Parameters
    ----------
    content : pl.Series
        catalog_content, (n,).
    """
    column = pl.col("content")
    short = (pl.col("title").str.len_chars() < _SHORTEST) | ~pl.col("title").str.contains(" ", literal=True)
    whole = plain_text(column).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return (
        content.to_frame("content")
        .with_columns(normalise_title(title_of(column)).alias("title"))
        .select(
            pl.when(~short)
            .then(pl.format("title {}", "title"))
            .when(whole != "")
            .then(pl.format("text {}", whole))
            .alias("key")
        )
        .to_series()
    )


def duplicate_groups(frame: pl.DataFrame, *, max_titles_per_link: int = 20) -> pl.Series:
    """Group every row with its near-duplicates.

    Two rows belong together when they share an image_link, a title (:func:`title_keys`) or a declared group, directly
    or through others. A link under more than `max_titles_per_link` different titles is a placeholder ("no image"), and
    joins nothing.

    Parameters
    ----------
    frame : pl.DataFrame
        sample_id, catalog_content, image_link and, where a column of groups is declared, group_key; n rows.
    max_titles_per_link : int
        More titles than that make a link a placeholder.

    Returns
    -------
    pl.Series
        group, String, (n,): 16 hexadecimal digits made of the group's titles, not of row numbers, so the same
        products keep their group when rows are shuffled or unrelated ones are added.
    """
    n = frame.height
    if n == 0:
        return pl.Series("group", [], dtype=pl.String)
    # one image, whichever way its link is written
    first, _ = tidy_links(frame["image_link"])
    first = first.str.replace(r"^(?i:https?:)?//", "")
    table = frame.select("sample_id", first).with_columns(title_keys(frame["catalog_content"]))
    table = table.with_columns(pl.coalesce("key", pl.format("id {}", "sample_id")).alias("own"))
    titles = table["own"].rank("dense").cast(pl.Int64).to_numpy() - 1  # (n,)
    n_titles = int(titles.max()) + 1
    edges = (
        table.select(pl.Series("title", titles), key=pl.format("link {}", "image_link"))
        .drop_nulls()
        .unique()
        .filter(pl.col("title").n_unique().over("key") <= max_titles_per_link)
    )
    if "group_key" in frame.columns:
        name = pl.col("group_key").str.strip_chars()
        known = frame.with_columns(pl.Series("title", titles)).filter(name != "")
        declared = known.select("title", key=pl.format("group {}", name))
        edges = pl.concat([edges, declared.unique()])
    # a graph of titles, and links and declared groups; its components are the groups
    rows, columns = edges["title"].to_numpy(), edges["key"].rank("dense").cast(pl.Int64).to_numpy() - 1 + n_titles
    size = n_titles + edges["key"].n_unique()
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][:n_titles]  # (n_titles,)
    # dense ranks count in this order
    names = table["own"].unique().sort().to_list()
    hashes = np.array([blake2b(name.encode(), digest_size=8).hexdigest() for name in names])
    smallest = (
        pl.DataFrame({"component": component, "hash": hashes})
        .with_columns(pl.col("hash").min().over("component"))["hash"]
        .to_numpy()
    )
    return pl.Series("group", smallest[titles], dtype=pl.String)
