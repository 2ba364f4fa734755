"""A run's models, read once: they price new products anywhere, as often as one likes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.config.resources import ResourcesConfig
from pricing.download.images import Images
from pricing.ensemble.stack import Ensemble
from pricing.errors import ArtifactError
from pricing.features.engineer import FeatureEngineer
from pricing.features.load import ID, RIDGE, FeatureSet
from pricing.features.price_features import PriceFeatures
from pricing.members.contract import Member, Reads
from pricing.members.fold_rows import Rows
from pricing.members.predictions import average_models
from pricing.members.registry import member_classes
from pricing.metrics.price_metrics import log_to_price
from pricing.run.doubt import WIDTH
from pricing.run.drift import DriftReference, known_words
from pricing.run.model_folder import BACKGROUND, read_model_record
from pricing.run.novelty import Novelty, distrust
from pricing.run.trust import TrustRule, nearest_cosines
from pricing.run.widening import Widening
from pricing.run_progress import ProgressStep, RunProgress

REFIT = "refit"


@dataclass(frozen=True)
class ScoredPrices:
    """Prices of new products.

    Attributes
    ----------
    price : ndarray of shape (n,)
        Positive, unrounded; the same to the last bit whatever other rows are priced with a row. Rounded to
        ``decimals``, on a run's own test rows exactly those of its submission.
    intervals : dict of str to ndarray of shape (n,)
        Prices at the ends of the prediction intervals: ``low_80``, ``high_80``, ``low_95``, ``high_95``. They are wide
        where a row is unlike anything learnt.
    decimals : int
        Decimals that the run rounds its prices to in the files that people read.
    trust : DataFrame
        n rows: ``trust`` and ``reason``, as `pricing.run.trust.TrustRule.judge`; the same whatever other rows are
        priced with a row.
    drift : dict, optional
        As `pricing.run.drift.DriftReference.compare`; ``trust``: level to its ``share`` of these rows and of the
        out-of-fold rows in ``training``; ``unlike``: share of the rows that are unlike anything learnt. Where drift was
        asked for.
    comparables : DataFrame, optional
        The table of `pricing.features.comparables.find_comparables`, where comparables were asked for.
    """

    price: NDArray[np.float64]
    intervals: dict[str, NDArray[np.float64]]
    decimals: int
    trust: pl.DataFrame
    drift: dict[str, Any] | None = None
    comparables: pl.DataFrame | None = None


@dataclass(frozen=True)
class RunModel:
    """A model folder in memory; pricing reads no file.

    Attributes
    ----------
    engineer : FeatureEngineer
        Features that read no price.
    price_features : dict of str to PriceFeatures
        Fold to its features that read prices.
    members : dict of str to dict of str to Member
        Member to its models by fold, fold 0 first and the refit last.
    ensemble : Ensemble
        The stack.
    decimals : int
        As in `ScoredPrices`.
    trust : TrustRule
        How far prices may be trusted.
    reference : DriftReference
        What is known of the training rows.
    novelty : Novelty
        What is unlike anything learnt.
    widening : Widening
        How the intervals of such rows are widened.
    background : Path
        Folder of the products that explanations start from; `pricing.run.explaining` reads it.
    """

    engineer: FeatureEngineer
    price_features: dict[str, PriceFeatures]
    members: dict[str, dict[str, Member[Any]]]
    ensemble: Ensemble
    decimals: int
    trust: TrustRule
    reference: DriftReference
    novelty: Novelty
    widening: Widening
    background: Path

    @classmethod
    def load(cls, folder: Path, threads: int | None = None) -> "RunModel":
        """Read a model folder.

        Parameters
        ----------
        folder : Path
            The ``model`` folder of a run.
        threads : int, optional
            Cores to use; by default those of this machine. Prices do not depend on it, bit for bit: tried with 1 to 8
            on trees and networks, with up to 64 on products of matrices (AMD EPYC, torch 2.13).

        Raises
        ------
        InputError
            The folder is no model folder.
        ArtifactError
            It is of another version, or not whole.
        """
        record = read_model_record(folder)
        threads = threads or ResourcesConfig().available()
        engineer = FeatureEngineer.load(folder / "engineer", folder / "encoders", threads)
        return cls(
            engineer,
            {fold: PriceFeatures.load(folder / "price_features" / fold) for fold in record.price_features},
            {name: _load_member(folder, name, folds, threads) for name, folds in record.members.items()},
            Ensemble.load(folder / "ensemble"),
            record.decimals,
            TrustRule.load(folder / "trust.json"),
            DriftReference.load(folder / "drift", known_words(_terms(engineer))),
            Novelty.load(folder / "novelty"),
            Widening.load(folder / "widening.json"),
            folder / BACKGROUND,
        )

    def predict(
        self, frame: pl.DataFrame, images: Images | None = None, comparables: int = 0,
        progress: RunProgress | None = None, *, drift: bool = False,
    ) -> ScoredPrices:  # fmt: skip
        """Price n products.

        Parameters
        ----------
        frame : DataFrame
            n rows: sample_id, catalog_content, image_link.
        images : Images, optional
            Their images; without it every image counts as missing.
        comparables : int
            How many of the run's labelled products each row is compared with: those that the refit learnt from or,
            without a refit, the first fold. 0 looks none up.
        progress : RunProgress, optional
            Told of every step.
        drift : bool
            Whether to compare the rows with the training rows.

        Raises
        ------
        SchemaError
            Comparables are asked of a run that compared no products.
        """
        steps = _Steps(self._words(), progress or RunProgress())
        with steps.next():
            features = self.engineer.transform(frame)
        base = Rows(frame, features, pl.DataFrame(), np.empty(0), images)
        rows, similar = {}, None
        for fold, fitted in self.price_features.items():
            with steps.next():
                rows[fold] = _with_prices(base, fitted)
        if comparables > 0:
            similar = self._comparables(features, comparables)
        predicted = {}
        for name, models in self.members.items():
            found, prepared = {}, None
            for number, (fold, model) in enumerate(models.items()):
                with steps.next():
                    read = rows[fold] if Reads.PRICE_FEATURES in model.reads else base
                    prepared = model.encode(read) if number == 0 else prepared
                    found[fold] = model.predict(read if prepared is None else read.with_prepared(prepared))
            refit = found.pop(REFIT, None)
            predicted[name] = average_models(list(found.values()), refit)
        log_price = self.ensemble.predict(predicted)
        ends = self.ensemble.predict_intervals(predicted, log_price)
        unlike = self.novelty.judge(frame["catalog_content"], features)
        wide = self.widening.widen(log_price, ends, unlike.is_not_null().to_numpy())
        intervals = {name: log_to_price(values) for name, values in wide.items()}
        price, width = log_to_price(log_price), ends[f"high_{WIDTH}"] - ends[f"low_{WIDTH}"]
        asked = rows[self._asked()]
        nearest = nearest_cosines(asked.price, asked.price_columns)
        # a title that begins with no known brand is priced as well as others (SMAPE 54.1 and 55.2 where trust is fair)
        trust = distrust(self.trust.judge(width, nearest, self.reference.strangers(features)), unlike)
        compared = None
        if drift:
            compared = self.reference.compare(frame, features, price, nearest)
            compared["trust"] = self.trust.compare(trust["trust"])
            compared["unlike"] = unlike.is_not_null().mean()
        return ScoredPrices(price, intervals, self.decimals, trust, compared, similar)

    def read(self, frame: pl.DataFrame, features: FeatureSet, images: Images | None) -> dict[str, Rows]:
        """Return n rows as the models of each fold read them; a member takes its own ``prepared`` beside."""
        base = Rows(frame, features, pl.DataFrame(), np.empty(0), images)
        return {fold: _with_prices(base, fitted) for fold, fitted in self.price_features.items()}

    def comparables(self, frame: pl.DataFrame, count: int) -> pl.DataFrame:
        """Return the labelled products that n products are most like, without pricing these; as `predict` does."""
        return self._comparables(self.engineer.transform(frame), count)

    def _comparables(self, features: FeatureSet, count: int) -> pl.DataFrame:
        asked = self.price_features[self._asked()]
        if self.engineer.index is None:
            raise ArtifactError("the model has no index of products to compare with; run again")
        return asked.comparables(features, self.engineer.index.products, count)

    def _asked(self) -> str:
        """The fold whose labelled products are compared with: the refit's or, without one, the first."""
        return REFIT if REFIT in self.price_features else next(iter(self.price_features))

    def _words(self) -> list[str]:
        """What the steps of a prediction do, in their order."""
        prices = [f"price features, {_fold_words(fold)}" for fold in self.price_features]
        models = [f"pricing with {name.replace('_', ' ')}, {_fold_words(fold)}"
                  for name, models in self.members.items() for fold in models]  # fmt: skip
        return ["building features", *prices, *models]


def _terms(engineer: FeatureEngineer) -> list[str]:
    """Terms of the whole text's words; none where the models read none."""
    blocks = engineer.tfidf.blocks if engineer.tfidf else []
    return next((block.terms for block in blocks if block.name == "words"), [])


def _load_member(folder: Path, name: str, folds: tuple[str, ...], threads: int) -> dict[str, Member[Any]]:
    known = member_classes()
    if name not in known:
        raise ArtifactError(f"{folder}: has a member {name!r}, this version has {', '.join(known)}; train again")
    load, encoders = known[name].load, folder / "encoders"
    return {fold: load(folder / "members" / name / fold, encoders=encoders, threads=threads) for fold in folds}


def _with_prices(rows: Rows, fitted: PriceFeatures) -> Rows:
    """The rows with one fold's price features, as `pricing.members.fold_rows.FoldRows` reads them."""
    table = fitted.transform(rows.features)
    price, ridge = table.drop(ID, RIDGE), table[RIDGE].to_numpy()
    return replace(rows, price=price, ridge=ridge, price_columns=fitted.columns)


def _fold_words(fold: str) -> str:
    return "all rows" if fold == REFIT else fold.replace("_", " ")


class _Steps:
    """Tells the progress what is to be done, and at what it is."""

    def __init__(self, words: list[str], progress: RunProgress) -> None:
        self.progress = progress
        self.numbers = iter([progress.submit(ProgressStep(text)) for text in words])

    @contextmanager
    def next(self) -> Iterator[None]:
        """Do the next step in the block."""
        number = next(self.numbers)
        self.progress.start(number)
        yield
        self.progress.finish(number)
