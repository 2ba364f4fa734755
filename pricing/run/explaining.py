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
from scipy import sparse

from pricing.download.images import Images
from pricing.ensemble.learners import linear_part
from pricing.ensemble.stack import Ensemble
from pricing.explain.additive import shapley_values, share_out
from pricing.explain.background import Background
from pricing.explain.games import Game, coalitions_needed
from pricing.explain.items import LINEAR, Items
from pricing.explain.mixing import Mixer, make_mixer
from pricing.explain.named_words import NamedWords, term_values
from pricing.explain.occlusion import Typical, occlude, occluded_items, stack_rows
from pricing.explain.own_values import own_values
from pricing.explain.ridge_terms import ridge_added, ridge_shares, ridge_terms
from pricing.features.load import ID, FeatureSet
from pricing.features.price_features import PriceFeatures
from pricing.features.price_ridge import PriceRidge
from pricing.members.contract import Contributions, Member, Reads
from pricing.members.fold_rows import Rows
from pricing.members.predictions import average_models
from pricing.metrics.smape import Floats
from pricing.run.explained_table import SCHEMA, explained_table
from pricing.run.model import REFIT, RunModel
from pricing.run.word_prices import word_prices

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
        self._blocks = model.engineer.tfidf.blocks if model.engineer.tfidf else []
        self.items = Items(model.engineer.declared.roles, columns, self._blocks)
        self._start = model.read(background.frame, background.features, None)
        self._typical = {fold: Typical.of(rows) for fold, rows in self._start.items()}
        self._shares = {fold: ridge_shares(_ridge(made), self.items) for fold, made in model.price_features.items()}
        # fold to the means of what each item and each term adds to the linear model's log price, (k,) and (v,)
        self._linear, self._usual = {}, {}
        for fold, made in model.price_features.items():
            added = ridge_added(_ridge(made), background.features)
            self._linear[fold] = ridge_terms(added, self._shares[fold]).mean(axis=0)
            means = term_values(_ridge(made), added, background.features.tfidf.shape[1]).mean(axis=0)
            self._usual[fold] = np.asarray(means).ravel()
        self._few = {fold: rows.take(_spaced(rows.ridge)) for fold, rows in self._start.items()}
        # by member and fold, of members that cannot tell: what mixes products, and the game; or the mean log price
        self._games: dict[tuple[str, str], tuple[Mixer, Game] | None] = {}
        self._means: dict[tuple[str, str], float] = {}
        self._encoded: dict[str, dict[str, Any]] = {}

    def explain(
        self, frame: pl.DataFrame, images: Images | None = None, features: FeatureSet | None = None
    ) -> pl.DataFrame:  # fmt: skip
        """Explain the prices of n products.

        Parameters
        ----------
        frame, images
            As in `RunModel.predict`.
        features : FeatureSet, optional
            Their features, where they are made already.

        Returns
        -------
        DataFrame
            Rows by product in the products' order, largest contribution first: ``sample_id``; ``item`` in words;
            ``log_contribution``, whose sum over a product is ln(price / base); ``percent``, 100 (exp(c) - 1) for
            contribution c; ``money``, c (P - B) / ln(P / B) for price P and base B; ``price`` and ``base``, unrounded;
            ``exact``, the share of the members' weights, 0 to 1, that is explained exactly. ``value`` is what the
            product itself says under the item, "" where that is no single value. ``words`` lists what single words and
            the item's other words add, as structs of ``word`` and the three measures; they sum to the item's. It is
            empty where no word adds half a percent.
        """
        chunks = [slice(start, start + CHUNK) for start in range(0, len(frame), CHUNK)]
        parts = [
            self._explain(frame[some], images, None if features is None else features.take(np.arange(len(frame))[some]))
            for some in chunks
        ]
        return pl.concat([pl.DataFrame(schema=SCHEMA), *parts])

    def _explain(self, frame: pl.DataFrame, images: Images | None, features: FeatureSet | None) -> pl.DataFrame:
        model = self.model
        features = model.engineer.transform(frame) if features is None else features
        rows = model.read(frame, features, images)
        words, opened = self._opened(features)
        asked, predicted = self._asked(), dict[str, Floats]()
        told = {}
        for name, models in model.members.items():
            found: dict[str, Told] = {}
            # what the frozen parts make of the products as they are, and without an item: the same for every fold
            encoded: dict[str, Any] = {}
            for fold, member in models.items():
                place = fold if fold in rows else next(iter(rows))
                read = _as_read(member, rows[place], encoded)
                found[fold] = self._tell(name, fold, place, read, opened[place], encoded)
            told[name], predicted[name] = _average(found), found[asked].log_price
        added, log_price, log_base = _stacked(model.ensemble, told)
        said = word_prices(model, self.items, words, rows[asked], asked, predicted)
        values = own_values(frame, features, model.engineer.declared.roles)
        exact = _exact(model.ensemble, told)
        return explained_table(frame[ID], self.items, added, words, said, values, log_price, log_base, exact)

    def _asked(self) -> str:
        """The fold whose models are asked without words: the refit, where all members have one."""
        refitted = REFIT in self.model.price_features and all(REFIT in one for one in self.model.members.values())
        return REFIT if refitted else next(iter(self.model.price_features))

    def _opened(self, features: FeatureSet) -> tuple[NamedWords, dict[str, Floats]]:
        """Words that may be named; by fold what items add to the linear model, (n, k)."""
        opened, terms = {}, []
        for fold, made in self.model.price_features.items():
            added = ridge_added(_ridge(made), features)
            opened[fold] = ridge_terms(added, self._shares[fold]) - self._linear[fold]
            terms.append(term_values(_ridge(made), added, features.tfidf.shape[1]))
        mean = sparse.csr_matrix(sum(terms) / len(terms))
        return NamedWords.choose(mean, np.mean(list(self._usual.values()), axis=0), self._blocks), opened

    def _tell(
        self, name: str, fold: str, place: str, rows: Rows, opened: Floats, encoded: dict[str, Any]
    ) -> Told:  # fmt: skip
        member, start = self.model.members[name][fold], self._start[place]
        told = member.contributions(rows)
        log_price, exact = member.predict(rows) if told is None else told.log_price, True
        if told is None:
            game = self._game(name, fold, place)
            if game is None:
                base, exact = self._mean(name, fold, place), False
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

    def _mean(self, name: str, fold: str, place: str) -> float:
        """Mean log price that a member gives the few rows; all of them cost an encoder network 4 s of CPU."""
        if (name, fold) not in self._means:
            member = self.model.members[name][fold]
            read = _as_read(member, self._few[place], self._encoded.setdefault(name, {}), place)
            self._means[name, fold] = float(member.predict(read).mean())
        return self._means[name, fold]

    def _by_item(self, told: Contributions) -> Floats:
        return self.items.totals(told.names, told.values[:, :-1])


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
    """Share out what the linear model's price adds over what that price is made of, (n, k)."""
    place = items.place(LINEAR)
    return share_out(found[:, place], opened) + np.where(np.arange(found.shape[1]) == place, 0.0, found)


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
    weights = member_weights(ensemble)
    added = sum(share_out(shares[:, j], one.items, weights[j]) for j, one in enumerate(members))
    log_base = float(ensemble.blend(base[None, :])[0])
    log_price = ensemble.predict({name: told[name].log_price for name in ensemble.members})
    rest = log_price - log_base - np.sum(added, axis=1)
    return np.column_stack([added, rest]), log_price, log_base


def member_weights(ensemble: Ensemble) -> Floats:
    """Return the members' coefficients in the linear parts of the blend, ndarray of shape (m,)."""
    parts = [weight * linear_part(ensemble.learners[name]).coefficients for name, weight in ensemble.weights.items()]
    return np.asarray(np.sum(parts, axis=0))


def _exact(ensemble: Ensemble, told: dict[str, Told]) -> float:
    weights = np.abs(member_weights(ensemble))
    exact = np.array([told[name].exact for name in ensemble.members])
    return float(weights[exact].sum() / weights.sum()) if weights.sum() > 0 else 1.0
