"""What items add to the price of a model that cannot tell: its answer with and without each of them.

An approximation: what two items say together counts for both or for none, so that the differences are scaled to add up
(`pricing.explain.additive.share_out`). Occlusion is by Zeiler and Fergus ("Visualizing and understanding convolutional
networks", ECCV 2014); here a product's features are replaced by those of a typical product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import sparse

from pricing.explain.items import IMAGE, LINEAR, TEXT, Items
from pricing.features.load import ID
from pricing.members.fold_rows import Rows


@dataclass(frozen=True)
class Typical:
    """A typical product.

    Attributes
    ----------
    table : dict of str to float or str
        Column of the features and price features to its median, or most frequent category.
    ridge : float
        Mean log price of the linear model.
    embedding : ndarray of shape (d,) or None
        Mean of the embeddings.
    parts : ndarray of shape (p, d) or None
        Mean of the parts' embeddings.
    """

    table: dict[str, float | str]
    ridge: float
    embedding: np.ndarray | None
    parts: np.ndarray | None

    @classmethod
    def of(cls, rows: Rows) -> "Typical":
        """Read it off some rows of the training."""
        table: dict[str, float | str] = {}
        for column in rows.table().iter_columns():
            known = column.drop_nans().drop_nulls() if column.dtype.is_numeric() else column
            if column.dtype.is_numeric():
                table[column.name] = float("nan") if known.is_empty() else float(np.median(known.to_numpy()))
            else:
                table[column.name] = str(known.mode().sort()[0])
        embedding, parts = rows.features.embedding, rows.features.parts
        means = [None if values is None else values.mean(axis=0) for values in (embedding, parts)]
        return cls(table, float(rows.ridge.mean()) if len(rows.ridge) else 0.0, *means)


def occlude(rows: Rows, item: str, items: Items, typical: Typical) -> Rows:
    """Return n rows in which one item is a typical product's; words are taken away, and an image too."""
    names = items.columns_of(item)
    features = rows.features

    def replaced(table: pl.DataFrame) -> pl.DataFrame:
        kinds = table.schema
        return table.with_columns(pl.lit(typical.table[one], kinds[one]).alias(one) for one in kinds if one in names)

    kept = 1 - np.asarray(items.terms[:, items.place(item)].todense()).ravel()  # (v,)
    terms = features.tfidf if kept.all() else sparse.csr_matrix(features.tfidf.multiply(kept), dtype=np.float32)
    embedding, parts = features.embedding, features.parts
    if item == TEXT and embedding is not None and typical.embedding is not None:
        embedding = np.tile(typical.embedding, (len(rows), 1))
    if parts is not None and typical.parts is not None:
        own = [items.of_part(part) == item for part in features.schema.parts]
        parts = np.where(np.array(own)[None, :, None], typical.parts, parts)
    made = replace(features, tabular=replaced(features.tabular), tfidf=terms, embedding=embedding, parts=parts)
    ridge = np.full(len(rows.ridge), typical.ridge) if item == LINEAR else rows.ridge
    away = {TEXT: [pl.lit("").alias("catalog_content")], IMAGE: [pl.lit(None, pl.String).alias("image_link")]}
    frame = rows.frame.with_columns(away.get(item, []))
    return replace(rows, frame=frame, features=made, price=replaced(rows.price), ridge=ridge)


def occluded_items(items: Items, rows: Rows) -> Iterator[str]:
    """Items that can be taken from these rows."""
    columns, schema = set(rows.table().columns), rows.features.schema
    held = np.asarray(items.terms.sum(axis=0)).ravel() > 0
    parts = {items.of_part(part) for part in schema.parts} | {TEXT}  # some members read the whole text itself
    for item in items.names:
        there = {IMAGE: rows.images is not None, LINEAR: len(rows.ridge) > 0}
        if there.get(item, item in parts or held[items.place(item)] or bool(items.columns_of(item) & columns)):
            yield item


def stack_frames(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put frames one below another, under ids that are told apart."""
    return pl.concat(
        part.with_columns(pl.format("{}/{}", pl.lit(place), ID).alias(ID)) for place, part in enumerate(parts)
    )


def stack_rows(parts: Sequence[Rows]) -> Rows:
    """Put rows one below another, named as `stack_frames` does; they have the same columns, and nothing prepared."""
    first, several = parts[0], [rows.features for rows in parts]
    embeddings, vectors = ([getattr(one, what) for one in several] for what in ("embedding", "parts"))
    features = replace(
        first.features,
        ids=pl.concat([one.ids for one in several]),
        tabular=pl.concat([one.tabular for one in several]),
        tfidf=sparse.csr_matrix(sparse.vstack([one.tfidf for one in several], format="csr")),
        nearest=None,
        embedding=None if embeddings[0] is None else np.concatenate(embeddings),
        parts=None if vectors[0] is None else np.concatenate(vectors),
    )
    price = pl.concat([rows.price for rows in parts]) if first.price.width else first.price
    ridge = np.concatenate([rows.ridge for rows in parts])
    frame = stack_frames([rows.frame for rows in parts])
    return replace(first, frame=frame, features=features, price=price, ridge=ridge)
