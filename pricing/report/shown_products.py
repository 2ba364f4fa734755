"""Single products as the report shows them: the worst errors, each with its image and its comparables.

A single product is spoken of as an analyst reads it: its listed price lies above or below what it looks like, which is
the price that the models predict for it. Averages over many products are errors of the predictions, with the other
sign: a product that is listed too high is one that is predicted too low.
"""

import base64
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from pricing.catalogue.plain_text import plain_text
from pricing.report.price_reasons import Explanation, explained_price
from pricing.report.run_folder import RunFolder, shown_title

logger = logging.getLogger(__name__)

_THUMBNAIL = 120
"""Longest side of a product image in the file, in pixels."""
_TEXT = 700
"""Characters of the catalogue text that are shown."""


@dataclass(frozen=True)
class Comparable:
    """A similar product with a known price.

    Attributes
    ----------
    id, name : str
        Of the similar product.
    price : float
        What it costs.
    similarity : float
        Cosine of the texts, 0 to 1.
    image : Path or None
        Its image.
    """

    id: str
    name: str
    price: float
    similarity: float
    image: Path | None = None


@dataclass(frozen=True)
class ShownProduct:
    """A product with its listed price, its prediction and what similar ones cost.

    Attributes
    ----------
    price : float
        The listed price.
    predicted : float
        What it looks like: the price that the stack predicts.
    members : tuple of float or None
        Lowest and highest price that a base model predicted.
    reasons : Explanation or None
        What its price is made of.
    """

    id: str
    title: str
    price: float
    predicted: float
    text: str = ""
    members: tuple[float, float] | None = None
    image: Path | None = None
    comparables: Sequence[Comparable] = field(default=())
    reasons: Explanation | None = None

    @property
    def factor(self) -> float:
        """How many times the listed price and the prediction differ, 1 or more."""
        return max(self.predicted / self.price, self.price / self.predicted)

    @property
    def position(self) -> str:
        """Where the product is listed, as `listed_position` says it."""
        return listed_position(self.price, self.predicted)

    @property
    def suspicion(self) -> str | None:
        """What the comparables say of the catalogue's price where they agree with one another and not with it."""
        prices = np.array([one.price for one in self.comparables])
        if len(prices) < 3 or self.factor < 2:
            return None
        middle = float(np.median(prices))
        agree = float(np.median(np.abs(np.log(prices / middle)))) < np.log(1.5)
        off = np.log(self.price / middle)
        near = abs(np.log(self.predicted / middle)) < abs(off) / 2
        if not (agree and near and abs(off) > np.log(2)):
            return None
        return f"similar products cost {'less' if off > 0 else 'more'} than this one: check the price in the catalogue"


def listed_position(price: float, predicted: float) -> str:
    """Say of a product where its listed price lies.

    Parameters
    ----------
    price : float
        The listed price, above 0.
    predicted : float
        What the product looks like: its predicted price, above 0.

    Returns
    -------
    str
        In percent of the predicted price, or as a factor from 1.5 on.

    Examples
    --------
    >>> listed_position(48.73, 30.91)
    'listed 1.6 times above what it looks like'
    >>> listed_position(8.80, 10.00)
    'listed 12 % below what it looks like'
    """
    factor = max(price / predicted, predicted / price)
    percent = f"{100 * abs(price / predicted - 1):.0f}"
    if percent == "0":
        return "listed at what it looks like"
    distance = f"{percent} %" if factor < 1.5 else f"{factor:,.{0 if factor >= 100 else 1}f} times"
    return f"listed {distance} {'above' if price > predicted else 'below'} what it looks like"


def worst_rows(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """The ``count`` rows whose log price the stack misses most, the worst first; ties by id.

    Parameters
    ----------
    rows : DataFrame
        ``sample_id``, ``price``, ``stack`` (prices).
    """
    error = (pl.col("stack").log() - pl.col("price").log()).abs()
    return rows.sort(error, "sample_id", descending=[True, False]).head(count)


def worst_products(folder: RunFolder, rows: pl.DataFrame | None, count: int) -> list[ShownProduct]:
    """The products with the largest error.

    Parameters
    ----------
    rows : DataFrame or None
        ``sample_id``, ``price``, ``stack`` and the members' columns, prices all of them.
    count : int
        Most products.
    """
    if rows is None or not count:
        return []
    chosen = worst_rows(rows, count)
    if folder.products is not None:
        content = pl.col("catalog_content")
        texts = folder.products.join(chosen, on="sample_id", how="semi")
        texts = texts.select("sample_id", plain_text(content), title=shown_title(content))
        chosen = chosen.join(texts, on="sample_id", how="left", maintain_order="left")
    members = [name for name in folder.metrics.get("models", {}) if name in rows.columns]
    found = []
    for row in chosen.iter_rows(named=True):
        prices = [row[name] for name in members]
        found.append(
            ShownProduct(
                id=row["sample_id"],
                title=row.get("title") or "(no text)",
                price=row["price"],
                predicted=row["stack"],
                text=(row.get("catalog_content") or "")[:_TEXT],
                members=(min(prices), max(prices)) if prices else None,
                image=_image(folder.path, row["sample_id"]),
                comparables=_comparables(folder, row["sample_id"]),
                reasons=explained_price(folder, row["sample_id"]),
            )
        )
    return found


def _comparables(folder: RunFolder, sample_id: str) -> list[Comparable]:
    if folder.comparables is None:
        return []
    own = folder.comparables.filter(pl.col("sample_id") == sample_id).sort("rank")
    return [
        Comparable(row["comparable_id"], row["name"], row["price"], row["similarity"],
                   _image(folder.path, row["comparable_id"]))
        for row in own.iter_rows(named=True)
    ]  # fmt: skip


def _image(run: Path, sample_id: str) -> Path | None:
    path = run / "evaluation" / "images" / f"{sample_id}.jpg"
    return path if Path(sample_id).name == sample_id and path.is_file() else None


def thumbnail(path: Path | None, side: int = _THUMBNAIL) -> str | None:
    """A small JPEG as a data URI; None where there is no image, or none that can be read."""
    if path is None:
        return None
    from PIL import Image

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (side, side))
            image = opened.convert("RGB")
        image.thumbnail((side, side))
        held = io.BytesIO()
        image.save(held, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        logger.warning("report: image %s cannot be read", path)
        return None
    return data_uri(held.getvalue(), "jpeg")


def data_uri(image: bytes, kind: str) -> str:
    """An image as the address that holds it; ``kind`` is png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
