"""Why a price: what each item adds to it in log price, percent and money.

Every member's log price is shared out over the items (`pricing.explain.items`), from the mean over some training rows
to the product: exactly where the member can tell, by occlusion where it cannot. The members' shares of the stack's log
price are Shapley values, which for a linear stack are weight times difference. What calibration, decision and bounds
add is an item of its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.download.images import Images
from pricing.ensemble.learners import linear_part
from pricing.ensemble.stack import Ensemble
from pricing.explain.additive import as_money, as_percent, shapley_values, share_out
from pricing.explain.background import Background
from pricing.explain.games import Game, coalitions_needed
from pricing.explain.items import FINISH, LINEAR, Items
from pricing.explain.mixing import Mixer, make_mixer
from pricing.explain.occlusion import Typical, occlude, occluded_items, stack_rows
from pricing.explain.ridge_terms import ridge_shares, ridge_terms
from pricing.features.load import ID
from pricing.features.price_features import PriceFeatures
from pricing.features.price_ridge import PriceRidge
from pricing.members.contract import Contributions, Member, Reads
from pricing.members.fold_rows import Rows
from pricing.members.predictions import average_models
from pricing.metrics.smape import Floats
from pricing.run.model import REFIT, RunModel

_NOTHING = 1e-12
START_ROWS = 8
"""Number of rows that networks and the process start from. Their time grows with it."""
MOST_COALITIONS = 2048
"""Maximum number of coalitions; beyond it, at some 13 declared columns, members that cannot tell are occluded."""
CHUNK = 500
"""Products in work at a time, which bounds the memory."""


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


class Explainer:
    """Explains prices of a model; what does not depend on the products is computed once, at the first of them.

    Parameters
    ----------
    model : RunModel
        The models.

    Raises
    ------
    ArtifactError
        The model keeps no rows to start from, or they are damaged.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        background = Background.load(model.background)
        columns = (*background.features.schema.columns, *next(iter(model.price_features.values())).columns)
        tfidf = model.engineer.tfidf
        self.items = Items(model.engineer.declared.roles, columns, tfidf.blocks if tfidf else ())
        self._start = model.read(background.frame, background.features, None)
        self._typical = {fold: Typical.of(rows) for fold, rows in self._start.items()}
        self._shares = {fold: ridge_shares(_ridge(made), self.items) for fold, made in model.price_features.items()}
        # fold to the mean of what each item adds to the linear model's log price, (k,)
        self._linear = {fold: self._terms(fold, rows).mean(axis=0) for fold, rows in self._start.items()}
        self._few = {fold: rows.take(_spaced(rows.ridge)) for fold, rows in self._start.items()}
        # by member and fold, of members that cannot tell: what mixes products, and the game; or the mean log price
        self._games: dict[tuple[str, str], tuple[Mixer, Game] | None] = {}
        self._means: dict[tuple[str, str], float] = {}
        self._encoded: dict[str, dict[str, Any]] = {}

    def explain(self, frame: pl.DataFrame, images: Images | None = None) -> pl.DataFrame:
        """Explain the prices of n products.

        Parameters
        ----------
        frame, images
            As in `RunModel.predict`.

        Returns
        -------
        DataFrame
            Rows by product in the products' order, largest contribution first: ``sample_id``; ``item`` in words;
            ``log_contribution``, whose sum over a product is ln(price / base); ``percent``, 100 (exp(c) - 1) for
            contribution c; ``money``, c (P - B) / ln(P / B) for price P and base B; ``price`` and ``base``, unrounded;
            ``exact``, the share of the members' weights, 0 to 1, that is explained exactly.
        """
        parts = [self._explain(frame[start : start + CHUNK], images) for start in range(0, len(frame), CHUNK)]
        if not parts:
            return self._table(frame[ID], np.empty((0, len(self.items.names) + 1)), np.empty(0), 0.0, 0.0)
        added, log_price, log_base, exact = zip(*parts, strict=True)
        return self._table(frame[ID], np.concatenate(added), np.concatenate(log_price), log_base[0], exact[0])

    def _explain(self, frame: pl.DataFrame, images: Images | None) -> tuple[Floats, Floats, float, float]:
        """As `_stacked`, and the share that is exact."""
        model = self.model
        rows = model.read(frame, model.engineer.transform(frame), images)
        opened = {fold: self._terms(fold, read) - self._linear[fold] for fold, read in rows.items()}
        told = {}
        for name, models in model.members.items():
            found: dict[str, Told] = {}
            # what the frozen parts make of the products as they are, and without an item: the same for every fold
            encoded: dict[str, Any] = {}
            for fold, member in models.items():
                place = fold if fold in rows else next(iter(rows))
                read = _as_read(member, rows[place], encoded)
                found[fold] = self._tell(name, fold, place, read, opened[place], encoded)
            told[name] = _average(found)
        return *_stacked(model.ensemble, told), _exact(model.ensemble, told)

    def _terms(self, fold: str, rows: Rows) -> Floats:
        """What each item adds to the linear model's log price, (n, k)."""
        return ridge_terms(_ridge(self.model.price_features[fold]), rows.features, self._shares[fold])

    def _tell(
        self, name: str, fold: str, place: str, rows: Rows, opened: Floats, encoded: dict[str, Any]
    ) -> Told:  # fmt: skip
        member, start = self.model.members[name][fold], self._start[place]
        told = member.contributions(rows)
        log_price, exact = member.predict(rows) if told is None else told.log_price, True
        if told is None:
            game = self._game(name, fold, place)
            if game is None:
                base, exact = self._mean(name, fold, start), False
                found = _occluded(member, rows, log_price, self._typical[place], self.items, encoded)
            else:
                worth = game[0].values(rows, game[1].coalitions)
                base, found = float(worth[0, 0]) if len(rows) else 0.0, worth @ game[1].weights
        elif told.centred:
            base, found = float(told.values[0, -1]) if len(rows) else 0.0, self._by_item(told)
        else:
            begun = member.contributions(start)
            assert begun is not None
            base = float(begun.values.sum(axis=1).mean())
            found = self._by_item(told) - self._by_item(begun).mean(axis=0)
        return Told(log_price, base, share_out(log_price - base, _open(found, opened, self.items)), exact)

    def _game(self, name: str, fold: str, place: str) -> tuple[Mixer, Game] | None:
        """What mixes products for a member, and the game of the items that it reads; None where that takes too long."""
        if (name, fold) not in self._games:
            member, found = self.model.members[name][fold], None
            mixer = make_mixer(member, _as_read(member, self._few[place], {}), self.items.groups())
            if mixer is not None:
                unions = self.items.unions(mixer.read)
                if coalitions_needed([len(union) for union in unions]) <= MOST_COALITIONS:
                    found = mixer, Game.of(unions, len(self.items.names))
            self._games[name, fold] = found
        return self._games[name, fold]

    def _mean(self, name: str, fold: str, start: Rows) -> float:
        """Mean log price that a member gives the rows that explanations start from."""
        if (name, fold) not in self._means:
            member = self.model.members[name][fold]
            read = _as_read(member, start, self._encoded.setdefault(name, {}))
            self._means[name, fold] = float(member.predict(read).mean())
        return self._means[name, fold]

    def _by_item(self, told: Contributions) -> Floats:
        return self.items.totals(told.names, told.values[:, :-1])

    def _table(
        self, ids: pl.Series, added: Floats, log_price: Floats, log_base: float, exact: float
    ) -> pl.DataFrame:  # fmt: skip
        names = (*self.items.names, FINISH)
        price, base = np.exp(log_price), np.exp(log_base)
        said = np.flatnonzero(np.abs(added).max(axis=0, initial=0) > _NOTHING)
        product, place = np.repeat(np.arange(len(ids)), len(said)), np.tile(said, len(ids))
        found = added[product, place]
        whole = np.full(len(found), base)
        table = pl.DataFrame({
            "product": product, ID: ids.gather(product), "item": [names[one] for one in place],
            "log_contribution": found,
            "percent": as_percent(found), "money": as_money(found, price[product], whole), "price": price[product],
            "base": whole, "exact": np.full(len(found), exact),
        })  # fmt: skip
        order = pl.col("log_contribution").abs()
        return table.sort(pl.col("product"), -order, pl.col("item")).drop("product")


def _spaced(log_price: Floats) -> NDArray[np.bool_]:
    """Choose the rows that stand in the middle of so many equal parts of the ordered ones, as a mask of shape (n,)."""
    count = min(START_ROWS, len(log_price))
    chosen = np.zeros(len(log_price), dtype=bool)
    chosen[np.argsort(log_price, kind="stable")[((np.arange(count) + 0.5) * len(log_price) / count).astype(int)]] = True
    return chosen


def _ridge(fitted: PriceFeatures) -> PriceRidge:
    assert fitted.ridge is not None
    return fitted.ridge


def _as_read(member: Member[Any], rows: Rows, encoded: dict[str, Any], what: str = "") -> Rows:
    """The rows as the member reads them, without what it does not read; encoded once for all folds."""
    if what not in encoded:
        encoded[what] = member.encode(rows)
    read = replace(rows, prepared=encoded[what])
    return read if Reads.PRICE_FEATURES in member.reads else replace(
        read, price=pl.DataFrame(), ridge=np.empty(0), price_columns=()
    )  # fmt: skip


def _occluded(
    member: Member[Any], rows: Rows, log_price: Floats, typical: Typical, items: Items, encoded: dict[str, Any]
) -> Floats:
    """Log price less that without each item, (n, k)."""
    found = np.zeros((len(rows), len(items.names)))
    asked = list(occluded_items(items, rows))
    # all at once: of a single product, what a network does before its first layer takes longer than the network
    stacked = stack_rows([occlude(rows, item, items, typical) for item in asked])
    answers = np.split(member.predict(_as_read(member, stacked, encoded, "without")), len(asked))
    for item, answer in zip(asked, answers, strict=True):
        found[:, items.place(item)] = log_price - answer
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
