"""What single words add to prices: the models are asked again without each of them.

Occlusion of words, as Zeiler and Fergus (2014) do it with parts of images. What is no word keeps its value: amounts,
claims, brands and comparables are items of their own. To save time, only the models of one fold are asked, the refit's
where there is one.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace

import numpy as np
import polars as pl

from pricing.explain.items import TEXT, TITLE, Items
from pricing.explain.named_words import NamedWords
from pricing.features.load import ID, FeatureSet
from pricing.members.contract import Reads
from pricing.members.fold_rows import Rows
from pricing.metrics.smape import Floats
from pricing.run.model import RunModel


def word_prices(
    model: RunModel, items: Items, words: NamedWords, rows: Rows, fold: str, predicted: Mapping[str, Floats]
) -> Floats:
    """Measure what the words of n products add.

    Parameters
    ----------
    model : RunModel
        The models.
    items : Items
        Says which columns are of words.
    words : NamedWords
        s slots.
    rows : Rows
        n products, as the models of the fold read them.
    fold : str
        Fold of the models that are asked.
    predicted : mapping of str to ndarray of shape (n,)
        What these say of the products as they are, log price.

    Returns
    -------
    ndarray of shape (n, s)
        Log price of the stack less that without the word, 0 where there is none.
    """
    added = np.zeros(words.words.shape)
    texts = words.texts_without(rows.frame["catalog_content"].fill_null("").to_list())
    if texts.is_empty():
        return added
    places = texts["row"].to_numpy()
    named = pl.format("{}/{}", pl.col(ID), texts["slot"].cast(pl.String)).alias(ID)
    changed = rows.frame[places].with_columns(named, catalog_content=texts["text"])
    engineer = copy(model.engineer)
    engineer.index = None  # comparables stay as they were
    made = engineer.transform(changed)
    kept = rows.features.take(places)
    wordy = items.columns_of(TITLE) | items.columns_of(TEXT)
    tabular = kept.tabular.with_columns(made.tabular[name] for name in made.tabular.columns if name in wordy)
    made = replace(made, tabular=tabular)
    read = _read(model, rows, changed, made, fold, places)
    plain = replace(read, price=pl.DataFrame(), ridge=np.empty(0), price_columns=())
    without = {}
    for name, folds in model.members.items():
        asked = read if Reads.PRICE_FEATURES in folds[fold].reads else plain
        without[name] = folds[fold].predict(replace(asked, prepared=folds[fold].encode(asked)))
    before = model.ensemble.predict({name: predicted[name] for name in model.members})
    added[places, texts["slot"].to_numpy()] = before[places] - model.ensemble.predict(without)
    return added


def _read(
    model: RunModel, rows: Rows, changed: pl.DataFrame, made: FeatureSet, fold: str, places: np.ndarray
) -> Rows:  # fmt: skip
    """The changed products, with the prices of their comparables as they were and the linear model's new price."""
    ridge = model.price_features[fold].predict_ridge(made)
    moved = pl.Series((ridge - rows.ridge[places]).astype(np.float32))
    linear = [column.name for column in rows.price_columns if column.family == "ridge"]
    price = rows.price[places].with_columns(pl.col(name) + moved for name in linear)
    return Rows(changed, made, price, ridge, rows.images, price_columns=rows.price_columns)
