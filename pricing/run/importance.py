"""What drives prices: by how much predictions get worse where a family or a column says nothing true of its product.

Permutation importance (Breiman, "Random forests", Machine Learning, 2001; of whole models: Fisher, Rudin and Dominici,
2019): values of some rows change places, and the SMAPE of the predictions grows. A family of items has its features
permuted, all at once; a column of numbers, amounts or categories has its values permuted and its features made anew.
What other features say of the same thing stays: two that say the same are of little importance each.

The rows are of the hold-out, which the folds' models and the stack have not learnt from. The refit has, and takes no
part. Each repeat asks the models of one fold, which costs a fifth and lets the interval know how models differ. An
encoder network with less than a tenth of the weight keeps its answers, which saves a third of the time.
"""

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from pricing.catalogue.roles import role_name
from pricing.download.images import Images
from pricing.explain.items import CATEGORIES, COMPARABLES, IMAGE, LINEAR, TEXT, Items
from pricing.explain.occlusion import stack_frames, stack_rows
from pricing.features.load import ID, FeatureSet
from pricing.members.contract import Reads
from pricing.members.fold_rows import Rows
from pricing.metrics.smape import Floats, smape_rows
from pricing.run.explaining import member_weights
from pricing.run.model import REFIT, RunModel

FAMILY, COLUMN = "family", "column"
SCHEMA = {"kind": pl.String, "name": pl.String, "increase": pl.Float64, "low": pl.Float64, "high": pl.Float64}
SMALL = 0.1
"""Share of the members' weights below which an encoder network keeps its answers."""
_DRAWS = 2000


@dataclass(frozen=True)
class HoldoutRows:
    """Labelled rows that no model has learnt from.

    Attributes
    ----------
    frame : DataFrame
        n rows of the catalogue.
    features : FeatureSet
        Their features.
    log_price : ndarray of shape (n,)
        Their known prices.
    images : Images or None
        Their images.
    """

    frame: pl.DataFrame
    features: FeatureSet
    log_price: Floats
    images: Images | None = None

    def some(self, count: int, seed: int) -> "HoldoutRows":
        """At most so many of them, by chance, in their order."""
        chosen = np.random.default_rng(seed).permutation(len(self.frame)) < count
        return HoldoutRows(self.frame.filter(chosen), self.features.take(chosen), self.log_price[chosen], self.images)


def without_refit(model: RunModel) -> RunModel:
    """Return the models that have not learnt from the hold-out: those of the folds."""
    members = {name: {fold: one for fold, one in folds.items() if fold != REFIT}
               for name, folds in model.members.items()}  # fmt: skip
    priced = {fold: fitted for fold, fitted in model.price_features.items() if fold != REFIT}
    return replace(model, members=members, price_features=priced)


def measure_importance(model: RunModel, rows: HoldoutRows, repeats: int, seed: int) -> pl.DataFrame:
    """Measure how much each family and declared column matters to the stack.

    Parameters
    ----------
    model : RunModel
        The models.
    rows : HoldoutRows
        n rows.
    repeats : int
        Number of permutations of each family and column; repeat r asks the models of the r-th fold.
    seed : int
        Of the permutations and of the bootstrap.

    Returns
    -------
    DataFrame
        The most important first: ``kind`` (family, column), ``name`` in words, ``increase`` of the SMAPE in points, and
        ``low`` and ``high``, the ends of its 95 % interval: the percentiles of a bootstrap over rows and repeats.
    """
    folds = [fold for fold in model.price_features if fold != REFIT]
    tfidf = model.engineer.tfidf
    columns = (*rows.features.schema.columns, *model.price_features[folds[0]].columns)
    items = Items(model.engineer.declared.roles, columns, tfidf.blocks if tfidf else ())
    drivers = _drivers(items, model, rows)
    made = []
    for repeat in range(repeats):
        orders = [np.random.default_rng([seed, repeat, number]).permutation(len(rows.frame))
                  for number in range(len(drivers))]  # fmt: skip
        permuted = [_permuted(model, rows, items, driver, order)
                    for driver, order in zip(drivers, orders, strict=True)]  # fmt: skip
        made.append([_numbered(one, repeat) for one in [rows, *permuted]])
    encoded = _encode(model, made)
    added = np.zeros((len(drivers), repeats, len(rows.frame)))
    for repeat, versions in enumerate(made):
        predicted = _predict(model, folds[repeat % len(folds)], versions, encoded)
        errors = [smape_rows(log_price, rows.log_price) for log_price in predicted]
        added[:, repeat] = [error - errors[0] for error in errors[1:]]
    rng = np.random.default_rng(seed)
    low, high = _interval(added, rng)
    table = pl.DataFrame({
        "kind": [kind for kind, _ in drivers], "name": [name for _, name in drivers],
        "increase": added.mean(axis=(1, 2)), "low": low, "high": high,
    }, schema=SCHEMA)  # fmt: skip
    return table.sort("increase", "name", descending=[True, False])


def _drivers(items: Items, model: RunModel, rows: HoldoutRows) -> list[tuple[str, str]]:
    """Kind and name of what is permuted."""
    roles = model.engineer.declared.roles.roles()
    columns = [column for role in ("number", "amount", "category") for column in roles[role]]
    seen = any(Reads.IMAGES in one.reads for folds in model.members.values() for one in folds.values())
    there = {IMAGE: seen and rows.images is not None, LINEAR: False, CATEGORIES: False}
    families = [item for item in items.names if item not in columns and there.get(item, True)]
    held = [item for item in families if item == IMAGE or items.columns_of(item) or items.holds_terms(item)]
    return [*((FAMILY, item) for item in held), *((COLUMN, column) for column in columns)]


def _permuted(
    model: RunModel, rows: HoldoutRows, items: Items, driver: tuple[str, str], order: np.ndarray
) -> HoldoutRows:  # fmt: skip
    kind, name = driver
    return _column(model, rows, items, name, order) if kind == COLUMN else _family(rows, items, name, order)


def _family(rows: HoldoutRows, items: Items, item: str, order: np.ndarray) -> HoldoutRows:
    """The rows with the features of one item of others."""
    features, other = rows.features, rows.features.take(order)
    own = items.columns_of(item)
    tabular = features.tabular.with_columns(other.tabular[name] for name in features.tabular.columns if name in own)
    moved = np.asarray(items.terms[:, items.place(item)].todense()).ravel() > 0
    terms = sparse.csr_matrix(features.tfidf.multiply(~moved) + other.tfidf.multiply(moved), dtype=np.float32)
    made = replace(features, tabular=tabular, tfidf=terms, parts=_parts(features, items, item, order))
    if item == TEXT and features.embedding is not None:
        made = replace(made, embedding=features.embedding[order])
    if item == COMPARABLES:
        made = replace(made, nearest=other.nearest)
    named = {TEXT: "catalog_content", IMAGE: "image_link"}.get(item)
    frame = rows.frame if named is None else rows.frame.with_columns(rows.frame[named].gather(order))
    return replace(rows, frame=frame, features=made)


def _column(model: RunModel, rows: HoldoutRows, items: Items, column: str, order: np.ndarray) -> HoldoutRows:
    """The rows with one declared column of others: its features are made of it, texts and their embeddings stay.

    What is embedded of all categories together goes with each of them.
    """
    roles = model.engineer.declared.roles.roles()
    kind = next(role for role in ("number", "amount", "category") if column in roles[role])
    name = role_name(kind, column)
    engineer = copy(model.engineer)
    engineer.embedder = engineer.index = None
    frame = rows.frame.with_columns(rows.frame[name].gather(order))
    made, features = engineer.transform(frame), rows.features
    parts = _parts(features, items, CATEGORIES, order) if kind == "category" else features.parts
    return replace(rows, frame=frame, features=replace(
        made, schema=features.schema, nearest=features.nearest, embedding=features.embedding, parts=parts
    ))  # fmt: skip


def _parts(features: FeatureSet, items: Items, item: str, order: np.ndarray) -> np.ndarray | None:
    """Embeddings of parts (n, p, d), those of an item in another order."""
    if features.parts is None:
        return None
    own = np.array([items.of_part(part) == item for part in features.schema.parts])
    return np.where(own[None, :, None], features.parts[order], features.parts)


def _predict(model: RunModel, fold: str, versions: list[HoldoutRows], encoded: dict[str, Any]) -> Floats:
    """Log prices of the stack of one fold's models, of v versions of n rows: ndarray of shape (v, n)."""
    single = replace(model, price_features={fold: model.price_features[fold]})
    read = [single.read(rows.frame, rows.features, rows.images)[fold] for rows in versions]
    small, predicted = _small_encoders(model), {}
    for name, folds in model.members.items():
        member, asked = folds[fold], read[:1] if name in small else read
        if Reads.IMAGES in member.reads:  # all versions at once, so that each text is read once
            asked = [(asked[0] if name in small else stack_rows(asked)).with_prepared(encoded[name])]
        if Reads.PRICE_FEATURES not in member.reads:
            asked = [replace(rows, price=pl.DataFrame(), ridge=np.empty(0), price_columns=()) for rows in asked]
        found = np.concatenate([member.predict(rows) for rows in asked])
        predicted[name] = np.tile(found, len(versions)) if name in small else found
    return model.ensemble.predict(predicted).reshape(len(versions), -1)


def _small_encoders(model: RunModel) -> list[str]:
    """Names of the members that read texts and images themselves and have little weight."""
    weights = np.abs(member_weights(model.ensemble))
    small = {name for name, weight in zip(model.ensemble.members, weights, strict=True)
             if weight < SMALL * weights.sum()}  # fmt: skip
    return [name for name, folds in model.members.items()
            if name in small and Reads.IMAGES in next(iter(folds.values())).reads]  # fmt: skip


def _encode(model: RunModel, made: list[list[HoldoutRows]]) -> dict[str, Any]:
    """What frozen parts make of the versions of all repeats, equal texts and images once."""
    first, small = made[0][0], _small_encoders(model)
    plain = pl.concat(versions[0].frame for versions in made)
    every = pl.concat(stack_frames([rows.frame for rows in versions]) for versions in made)
    asked = {name: next(iter(folds.values())) for name, folds in model.members.items()}
    return {
        name: member.encode(
            Rows(plain if name in small else every, first.features, pl.DataFrame(), np.empty(0), first.images)
        )
        for name, member in asked.items() if Reads.IMAGES in member.reads
    }  # fmt: skip


def _numbered(rows: HoldoutRows, repeat: int) -> HoldoutRows:
    """The rows under ids that those of no other repeat have."""
    return replace(rows, frame=rows.frame.with_columns(pl.format("{}/{}", pl.lit(repeat), ID).alias(ID)))


def _interval(added: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Ends of the 95 % intervals of means over (drivers, repeats, rows): rows and repeats are drawn together."""
    _, repeats, rows = added.shape
    many = rng.multinomial(rows, np.full(rows, 1 / rows), _DRAWS) / rows  # (draws, rows)
    which = rng.multinomial(repeats, np.full(repeats, 1 / repeats), _DRAWS) / repeats  # (draws, repeats)
    means = np.einsum("drn,bn,br->bd", added, many, which, optimize=True)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high
