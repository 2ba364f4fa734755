"""A model in memory, as the service prices with it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from pricing.catalogue.links import request_url, split_links
from pricing.configuration import PricingConfig
from pricing.download.hosts import HostRules
from pricing.download.images import Images
from pricing.download.sources import ImageSource
from pricing.errors import ArtifactError, SchemaError
from pricing.run.explaining import Explainer
from pricing.run.model import RunModel, ScoredPrices
from pricing.run.model_folder import ModelRecord, find_model, read_model_record
from pricing.run.scoring import fetch_images, reads_images
from pricing.run.scoring_settings import read_scoring_config
from pricing.run.thumbnails import Thumbnails
from pricing.serve.model_card import model_card
from pricing.serve.product_rows import read_product_rows
from pricing.serve.serve_settings import ServeSettings
from pricing.store.artifacts import file_digest

ENDS = ("low_80", "high_80", "low_95", "high_95")
_IMAGES = {"images.max_redirects": 0, "images.retries": 1, "images.total_timeout": 10.0, "images.connect_timeout": 3.0}
"""A redirect leads to a host that the operator has not named; a client waits for the rest."""


@dataclass(frozen=True)
class ServedModel:
    """Models with the settings to price with.

    Attributes
    ----------
    name : str
        16 hexadecimal digits of a hash of the folder's content: the same model has one name everywhere.
    config : PricingConfig
        Of the run, with bad rows quarantined.
    record : ModelRecord
        What model.json says.
    models : RunModel
        The models.
    card : dict
        What `pricing.serve.model_card.model_card` returns.
    settings : ServeSettings
        What the operator allows.
    explainer : Explainer or None
        Explains prices; None where the model is of a version that kept no rows to explain with.
    thumbnails : Thumbnails
        Of the labelled products.
    """

    name: str
    config: PricingConfig
    record: ModelRecord
    models: RunModel
    card: dict[str, Any]
    settings: ServeSettings
    explainer: Explainer | None
    thumbnails: Thumbnails

    @classmethod
    def load(cls, folder: Path, settings: ServeSettings) -> "ServedModel":
        """Read the model of a run's folder, or a model folder; errors as `pricing.run.model.RunModel.load`."""
        model = find_model(folder)
        record = read_model_record(model)
        laid = {"catalogue.on_bad_rows": "quarantine", "images.allow_hosts": list(settings.allow_hosts), **_IMAGES}
        config = read_scoring_config(model, laid)
        # requests share the cores: each is priced on one, bit for bit as on several
        models = RunModel.load(model, 1)
        name, thumbnails = _content_name(model), Thumbnails.load(model)
        # now, as another model may stand in the folder when it is asked for
        try:
            explainer = Explainer(models)
        except ArtifactError:
            explainer = None
        card = model_card(name, folder, config, record, models, settings)
        there = {"explain": explainer is not None, "thumbnails": bool(thumbnails.places),
                 "comparables": any(made.spaces for made in models.price_features.values())}  # fmt: skip
        card["offers"] = sorted(what for what, has in there.items() if has)
        return cls(name, config, record, models, card, settings, explainer, thumbnails)

    def price(self, products: list[Any], comparables: int = 0, explain: bool = False) -> dict[str, Any]:
        """Price the products of a request.

        Parameters
        ----------
        products : list
            One JSON value per product.
        comparables : int
            Number of comparables per product; 0 looks none up.
        explain : bool
            Whether to say what each price is made of.

        Returns
        -------
        dict
            As `pricing.serve.answers.PriceAnswer` describes it; prices are unrounded.

        Raises
        ------
        SchemaError
            Comparables are asked of a run that compared no products, or explanations of a model that has none.
        """
        if explain and self.explainer is None:
            raise SchemaError("the model kept no rows to explain with; train it again, or ask without explain")
        read = read_product_rows(products, self.config.catalogue, self.record.marks, self.settings.max_text)
        prices: dict[int, dict[str, Any]] = {
            place: {"id": name, "error": error} for place, (name, error) in read.errors.items()
        }
        if read.places:
            scored, why = self._asked(read.frame, comparables, explain)
            table = price_table(read.frame["sample_id"], scored)
            for place, row in zip(read.places, table.iter_rows(named=True), strict=True):
                prices[place] = row
            if scored.comparables is not None:
                self._add_comparables(scored.comparables, [prices[place] for place in read.places])
            if why is not None:
                self._add_why(why, [prices[place] for place in read.places])
        answer = {"model": self.name, "prices": [prices[place] for place in range(len(products))]}
        return {**answer, "unused_columns": read.unused} if read.unused else answer

    def score(self, frame: pl.DataFrame) -> ScoredPrices:
        """Price n checked products, with the images that the operator lets be fetched."""
        return self._asked(frame, 0, False)[0]

    def _asked(
        self, frame: pl.DataFrame, comparables: int, explain: bool
    ) -> tuple[ScoredPrices, pl.DataFrame | None]:  # fmt: skip
        def ask(images: Images | None) -> tuple[ScoredPrices, pl.DataFrame | None]:
            why = self.explainer.explain(frame, images) if explain and self.explainer else None
            return self.models.predict(frame, images, comparables), why

        shown = self._allowed(frame) if self.settings.allow_hosts and reads_images(self.config) else None
        if shown is None or shown["image_link"].null_count() == frame.height:
            return ask(None)
        with TemporaryDirectory(prefix="pricing-") as folder:
            images = fetch_images(shown, self.config.images, ImageSource.of(None), Path(folder))
            return ask(images)

    def _allowed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The products without the links whose host the operator has not named."""
        rules = HostRules(self.settings.allow_hosts)

        def allowed(links: str) -> str | None:
            return links if all(_host_allowed(rules, link) for link in split_links(links)) else None

        return frame.with_columns(pl.col("image_link").map_elements(allowed, return_dtype=pl.String))

    @staticmethod
    def _add_comparables(found: pl.DataFrame, rows: list[dict[str, Any]]) -> None:
        shown = found.select("sample_id", pl.col("comparable").alias("id"), "title", "price", "similarity")
        listed = {str(name): part.drop("sample_id").to_dicts()
                  for (name,), part in shown.group_by("sample_id", maintain_order=True)}  # fmt: skip
        for row in rows:
            row["comparables"] = listed.get(row["id"], [])

    @staticmethod
    def _add_why(found: pl.DataFrame, rows: list[dict[str, Any]]) -> None:
        parts = {str(name): part for (name,), part in found.group_by("sample_id", maintain_order=True)}
        for row in rows:
            part = parts[row["id"]]
            row |= {"base": part["base"][0], "explained_exactly": part["exact"][0]}
            row["why"] = part.select("item", "log_contribution", "percent", "money").to_dicts()


def price_table(ids: pl.Series, scored: ScoredPrices) -> pl.DataFrame:
    """Return the prices of n products as the service gives them: id, price, ends of the intervals, trust, reason."""
    ends = {name: scored.intervals[name] for name in ENDS}
    return pl.DataFrame({"id": ids, "price": scored.price, **ends}).hstack(scored.trust)


def _host_allowed(rules: HostRules, link: str) -> bool:
    try:
        host = request_url(link).host
    except (ValueError, TypeError):
        return False
    return host is not None and rules.allows(host)


def _content_name(model: Path) -> str:
    files = sorted(path for path in model.rglob("*") if path.is_file())
    listed = "\n".join(f"{path.relative_to(model).as_posix()} {file_digest(path)}" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()[:16]
