"""Why a price: what each item adds to it in log price, percent and money.

Every member's log price is shared out over the items (`pricing.explain.items`), from the mean over some training rows to
the product: exactly where the member can tell, by occlusion where it cannot. The members' shares of the stack's log
price are Shapley values, which for a linear stack are weight times difference. What calibration, decision and bounds
add is an item of its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from pricing.download.images import Images
from pricing.ensemble.learners import linear_part
from pricing.ensemble.stack import Ensemble
from pricing.explain.additive import as_money, as_percent, shapley_values, share_out
from pricing.explain.background import Background
from pricing.explain.items import FINISH, LINEAR, IMAGE, TEXT, Items
from pricing.explain.occlusion import Typical, occlude, occluded_items
from pricing.explain.ridge_terms import ridge_terms
from pricing.features.load import ID
from pricing.features.price_features import PriceFeatures
from pricing.members.contract import Contributions, Member, Reads
from pricing.members.fold_rows import Rows
from pricing.members.predictions import average_models
from pricing.metrics.smape import Floats
from pricing.run.model import REFIT, RunModel

_NOTHING = 1e-12


@dataclass(frozen=True)
class Told:
    """One member of some folds, or their mean.

    Attributes
    ----------
    log_price : ndarray of shape (n,)
        Predictions.
    base : float
        Mean prediction of the background.
    items : ndarray of shape (n, k)
        What each item adds to the base.
    exact : bool
        Whether the member tells it itself.
    """

    log_price: Floats
    base: float
    items: Floats
    exact: bool


def explain_prices(model: RunModel, frame: pl.DataFrame, images: Images | None = None) -> pl.DataFrame:
    """Explain the prices of n products.

    Parameters
    ----------
    model : RunModel
        The models.
    frame, images
        As in `RunModel.predict`.

    Returns
    -------
    DataFrame
        Rows by product in the products' order, largest contribution first: ``sample_id``; ``item`` in words;
        ``log_contribution``, whose sum over a product is ln(price / base); ``percent``, 100 (exp(c) - 1) for
        contribution c; ``money``, c (P - B) / ln(P / B) for price P and base B; ``price`` and ``base``, as the models
        give them; ``exact``, the share of the members' weights, 0 to 1, that is explained exactly.

    Raises
    ------
    ArtifactError
        The model keeps no rows to start from, or they are damaged.
    """
    background = Background.load(model.background)
    fitted = next(iter(model.price_features.values()))
    tfidf = model.engineer.tfidf
    columns = (*background.features.schema.columns, *fitted.columns)
    items = Items(model.engineer.declared.roles, columns, tfidf.blocks if tfidf else ())
    rows = model.read(frame, model.engineer.transform(frame), images)
    start = model.read(background.frame, background.features, None)
    opened = {fold: _opened(made, rows[fold], start[fold], items) for fold, made in model.price_features.items()}
    told = {}
    for name, models in model.members.items():
        found = {}
        for fold, member in models.items():
            place = fold if fold in rows else next(iter(rows))
            found[fold] = _tell(member, rows[place], start[place], opened[place], items)
        told[name] = _average(found)
    return _table(frame[ID], items, *_stacked(model.ensemble, told), _exact(model.ensemble, told))


def _opened(fitted: PriceFeatures, rows: Rows, start: Rows, items: Items) -> Floats:
    """What each item adds to the linear model's log price, from the background's mean, (n, k)."""
    ridge = fitted.ridge
    assert ridge is not None
    added: Floats = ridge_terms(ridge, rows.features, items)
    return added - ridge_terms(ridge, start.features, items).mean(axis=0)


def _tell(member: Member[Any], rows: Rows, start: Rows, opened: Floats, items: Items) -> Told:
    rows, start = (_as_read(member, one) for one in (rows, start))
    log_price, base = member.predict(rows), float(member.predict(start).mean())
    told, begun = member.contributions(rows), member.contributions(start)
    if told is not None and begun is not None:
        found = _by_item(told, items) - _by_item(begun, items).mean(axis=0)
    else:
        found = _occluded(member, rows, log_price, Typical.of(start), items)
    return Told(log_price, base, share_out(log_price - base, _open(found, opened, items)), told is not None)


def _as_read(member: Member[Any], rows: Rows) -> Rows:
    """The rows with what the member reads of them."""
    if Reads.PRICE_FEATURES not in member.reads:
        rows = replace(rows, price=pl.DataFrame(), ridge=np.empty(0), price_columns=())
    return replace(rows, prepared=member.encode(rows))


def _by_item(told: Contributions, items: Items) -> Floats:
    return items.totals(told.names, told.values[:, :-1])


def _occluded(member: Member[Any], rows: Rows, log_price: Floats, typical: Typical, items: Items) -> Floats:
    """Log price less that without each item, (n, k)."""
    found = np.zeros((len(rows), len(items.names)))
    for item in occluded_items(items, rows):
        less = occlude(rows, item, items, typical)
        if item in (TEXT, IMAGE) and Reads.IMAGES in member.reads:
            less = replace(less, prepared=member.encode(less))
        found[:, items.place(item)] = log_price - member.predict(less)
    return found


def _open(found: Floats, opened: Floats, items: Items) -> Floats:
    """Share out what the linear model's price adds over what that price is made of."""
    place = items.place(LINEAR)
    shared = share_out(found[:, place], opened)
    return np.where(np.arange(found.shape[1]) == place, 0.0, found) + shared


def _average(told: dict[str, Told]) -> Told:
    """The mean over the folds and with the refit, as `average_models` takes it of predictions."""
    folds = dict(told)
    refit = folds.pop(REFIT, None)
    first = next(iter(told.values()))

    def mean(what: str) -> Floats:
        every = [np.ravel(getattr(one, what)) for one in folds.values()]
        return average_models(every, None if refit is None else np.ravel(getattr(refit, what)))

    items = mean("items").reshape(first.items.shape)
    return Told(mean("log_price"), float(mean("base")[0]), items, all(one.exact for one in told.values()))


def _stacked(ensemble: Ensemble, told: dict[str, Told]) -> tuple[Floats, Floats, float]:
    """What each item and, last, `FINISH` adds, (n, k + 1); log prices (n,); log base."""
    members = [told[name] for name in ensemble.members]
    matrix = np.column_stack([one.log_price for one in members])
    base = np.array([one.base for one in members])
    shares = shapley_values(ensemble.blend, matrix, base)
    weights = _weights(ensemble)
    added = sum(share_out(shares[:, j], one.items, weights[j]) for j, one in enumerate(members))
    log_base = float(ensemble.blend(base[None, :])[0])
    log_price = ensemble.predict({name: told[name].log_price for name in ensemble.members})
    rest = log_price - log_base - np.sum(added, axis=1)
    return np.column_stack([added, rest]), log_price, log_base


def _weights(ensemble: Ensemble) -> Floats:
    """The members' coefficients in the linear parts of the blend, ndarray of shape (m,)."""
    parts = [weight * linear_part(ensemble.learners[name]).coefficients for name, weight in ensemble.weights.items()]
    return np.asarray(np.sum(parts, axis=0))


def _exact(ensemble: Ensemble, told: dict[str, Told]) -> float:
    weights = np.abs(_weights(ensemble))
    exact = np.array([told[name].exact for name in ensemble.members])
    return float(weights[exact].sum() / weights.sum()) if weights.sum() > 0 else 1.0


def _table(
    ids: pl.Series, items: Items, added: Floats, log_price: Floats, log_base: float, exact: float
) -> pl.DataFrame:
    names = (*items.names, FINISH)
    price, base = np.exp(log_price), np.exp(log_base)
    said = np.flatnonzero(np.abs(added).max(axis=0, initial=0) > _NOTHING)
    product, place = np.repeat(np.arange(len(ids)), len(said)), np.tile(said, len(ids))
    found = added[product, place]
    whole = np.full(len(found), base)
    table = pl.DataFrame({
        "product": product, ID: ids.gather(product), "item": [names[one] for one in place], "log_contribution": found,
        "percent": as_percent(found), "money": as_money(found, price[product], whole), "price": price[product],
        "base": whole, "exact": np.full(len(found), exact),
    })  # fmt: skip
    order = pl.col("log_contribution").abs()
    return table.sort(pl.col("product"), -order, pl.col("item")).drop("product")
