"""The one object: it learns from a catalogue with prices, says how well, and prices other products."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from pricing.catalogue.renaming import check_renaming
from pricing.catalogue.table_input import as_file, check_declared, read_products
from pricing.config.columns import ColumnsConfig
from pricing.configuration import PricingConfig, load_config, read_columns
from pricing.download.sources import ImageSource
from pricing.errors import InputError
from pricing.features.fields import check_units
from pricing.report.leaderboard import leaderboard
from pricing.run.model_folder import find_model, read_model_record
from pricing.run.output_folder import MODEL, fill_output
from pricing.run.scoring_settings import read_scoring_config
from pricing.store.artifacts import read_json, write_json

if TYPE_CHECKING:
    from pricing.download.images import Images
    from pricing.plan.results import FinishedPlan
    from pricing.run.explaining import Explainer
    from pricing.run.model import RunModel
    from pricing.run.scoring import ScoredFile

Columns = dict[str, Any] | ColumnsConfig | str | Path
"""Roles of a catalogue's columns, or a TOML file of them."""


class Pricer:
    """Learns what products cost from their texts and images, and prices new ones.

    Every step's output is kept in ``artifacts``, so that a second `fit` does only what is new, and a killed one is
    resumed. Training runs on this machine, in processes of its own.

    Parameters
    ----------
    preset : str
        Settings to start from: demo, cpu, best, full, or the path of a TOML file.
    settings : dict, optional
        Settings laid over the preset, by dotted keys.
    columns : dict, ColumnsConfig, str or Path, optional
        Roles of the catalogue's columns, or a TOML file of them: the setting ``catalogue.columns``, over which it wins.
        By default the columns are sample_id, catalog_content, image_link and price.
    artifacts : str or Path
        Folder of all that is made and read again. The setting ``paths.artifacts`` wins over it.

    Attributes
    ----------
    config : PricingConfig
        All settings.

    Raises
    ------
    ConfigError
        A setting, a role or a unit is unknown or impossible.

    Examples
    --------
    >>> from pricing import Pricer
    >>> pricer = Pricer("cpu", {"seed": 1, "members.lightgbm.rounds": 500})
    >>> pricer.config.members.lightgbm.rounds
    500

    A shop's own columns are named by their roles:

    >>> shop = Pricer("cpu", columns={"id": "sku", "title": "title", "category": ["brand"], "amount": {"kilos": "kg"}})
    >>> shop.config.catalogue.columns.category
    ('brand',)

    Training takes minutes. Files are CSV, JSON lines, Parquet or Excel; tables of polars, pandas or pyarrow do too::

        pricer.fit("train.csv", test="test.csv", images="images/")
        pricer.leaderboard()
        pricer.predict(products, intervals=True)
        pricer.comparables(products, k=5)
        pricer.explain(products)
        pricer.importance()
        pricer.save("model/")
        Pricer.load("model/").predict(products)
    """

    def __init__(
        self, preset: str = "cpu", settings: dict[str, Any] | None = None, columns: Columns | None = None,
        artifacts: str | Path = "artifacts",
    ) -> None:  # fmt: skip
        laid = {"paths.artifacts": str(artifacts), **(settings or {})}
        if columns is not None:
            laid["catalogue.columns"] = read_columns(columns)
        self._start(load_config(preset, laid))
        check_units(self.config.catalogue.roles.amount)

    def _start(self, config: PricingConfig, folder: Path | None = None, names: ColumnsConfig | None = None) -> None:
        self.config = config
        self._names = names
        """Roles as the files to price call their columns, where they are not those of the configuration."""
        self._folder = folder
        """Of a run, or its model alone."""
        self._finished: FinishedPlan | None = None
        self._model: RunModel | None = None
        self._explainer: Explainer | None = None

    def fit(
        self, train: Any, test: Any = None, images: str | Path | None = None, floor: dict[str, Any] | None = None
    ) -> Self:
        """Learn from a catalogue with prices.

        Parameters
        ----------
        train : path or table
            Labelled products, with the columns that the roles name. A table is a DataFrame of polars or
            pandas, or a Table of pyarrow.
        test : path or table, optional
            Products to price, without price. Features are fitted on their texts, too.
        images : str or Path, optional
            Folder that holds the images, or the address of a mirror (``http://HOST``) of the links' hosts. By default
            images are fetched from their links.
        floor : dict, optional
            What the noise of a generated catalogue leaves to anybody, for the report.

        Raises
        ------
        InputError
            A file or table cannot be used, or holds too little to learn from.
        RunError
            A step failed.
        """
        from pricing.plan.local_runner import run_locally

        check_declared(train, self.config.catalogue)
        tables, roles = self.config.paths.work / "tables", self.config.catalogue.roles
        files = as_file(train, tables, roles), None if test is None else as_file(test, tables, roles)
        self._finished = run_locally(*files, self.config, ImageSource.of(images), floor=floor)
        self._folder, self._model, self._explainer = self._finished.outputs, None, None
        return self

    def leaderboard(self) -> pl.DataFrame:
        """Return what each model reached, as `pricing.report.leaderboard.leaderboard`.

        Raises
        ------
        InputError
            A model folder alone was loaded, which has no figures.
        """
        stages = self._read("run.json")["stages"] if self._finished is None else self._finished.records()
        return leaderboard(self._read("metrics.json"), stages)

    def predict(
        self, products: Any, intervals: bool = False, images: str | Path | None = None, trust: bool = False
    ) -> pl.DataFrame:
        """Price products. Models are read at the first call; the next ones read none.

        Parameters
        ----------
        products : path or table
            n products, with the columns that the model learned from.
        intervals : bool
            Whether to add the prediction intervals.
        images : str or Path, optional
            As in `fit`; only for models that read images.
        trust : bool
            Whether to add how far each price may be trusted, and why.

        Returns
        -------
        DataFrame
            n rows in the products' order: ``sample_id``, ``price`` (unrounded) and, where asked for, ``low_80``,
            ``high_80``, ``low_95`` and ``high_95``, the ends of the intervals of 80 and 95 %, and ``trust`` (high,
            fair, low) with its ``reason`` in words.
        """
        frame = self._products(products)
        scored = self._loaded().predict(frame, self._images(frame, images))
        ends = scored.intervals if intervals else {}
        table = pl.DataFrame({"sample_id": frame["sample_id"], "price": scored.price, **ends})
        return table.hstack(scored.trust) if trust else table

    def explain(self, products: Any, images: str | Path | None = None) -> pl.DataFrame:
        """Return what each price is made of; see docs/explain.md.

        Parameters
        ----------
        products, images
            As in `predict`.

        Returns
        -------
        DataFrame
            As `pricing.run.explaining.Explainer.explain`: ``sample_id``, ``item``, ``log_contribution``, ``percent``,
            ``money`` among others.

        Raises
        ------
        ArtifactError
            The model is of a version that kept no rows to explain with; run again.
        """
        from pricing.run.explaining import Explainer

        frame = self._products(products)
        if self._explainer is None:
            self._explainer = Explainer(self._loaded())
        return self._explainer.explain(frame, self._images(frame, images))

    def importance(
        self, rows: int = 500, repeats: int = 3, images: str | Path | None = None, seed: int = 0
    ) -> pl.DataFrame:  # fmt: skip
        """Return what drives prices: by how much predictions for the hold-out get worse without each family or column.

        No model judges what it saw: the models of the folds and the stack have not learnt from the hold-out; the refit
        has, and takes no part. Equal arguments give equal figures.

        Parameters
        ----------
        rows : int
            Maximum number of hold-out rows.
        repeats : int
            Number of permutations of each.
        images : str or Path, optional
            As in `fit`, for models that read images.
        seed : int
            Of the choice of rows and of the permutations.

        Returns
        -------
        DataFrame
            As `pricing.run.importance.measure_importance`: ``kind``, ``name``, ``increase`` (SMAPE points), ``low`` and
            ``high`` (95 %).

        Raises
        ------
        InputError
            A model folder alone was loaded, or the run has no hold-out.
        """
        from pricing.run.drivers import importance_of_run

        return importance_of_run(self._loaded(), self._place(), lambda frame: self._images(frame, images), rows,
                                 repeats, seed)  # fmt: skip

    def drift(self, products: Any, images: str | Path | None = None) -> dict[str, Any]:
        """Return how far products are from the rows that were learnt from, as prices_drift.json holds it.

        Parameters
        ----------
        products, images
            As in `predict`.

        Returns
        -------
        dict
            As `pricing.run.model.ScoredPrices` under ``drift``.
        """
        frame = self._products(products)
        return self._loaded().predict(frame, self._images(frame, images), drift=True).drift or {}

    def comparables(self, products: Any, k: int = 5) -> pl.DataFrame:
        """Return the labelled products that each of n products is most like.

        Parameters
        ----------
        products : path or table
            As in `predict`.
        k : int
            Maximum number of comparables per product.

        Returns
        -------
        DataFrame
            As `pricing.features.comparables.find_comparables`: ``sample_id``, ``rank``, ``comparable``, ``title``,
            ``price``, ``similarity`` among others.
        """
        return self._loaded().comparables(self._products(products), k)

    def audit(self) -> pl.DataFrame:
        """Return every labelled product of the run, the most suspicious price first; no model judges what it saw.

        Returns
        -------
        DataFrame
            As `pricing.run.price_audit.audit_run`: ``sample_id``, ``part``, ``price``, ``expected``, ``low_95``,
            ``high_95``, ``direction``, ``cause``, ``comparable_ids``, ``comparable_price``, ``unit_price``.

        Raises
        ------
        InputError
            A model folder alone was loaded, which has no out-of-fold prices.
        """
        from pricing.run.price_audit import audit_run

        return audit_run(self._place(), self.config.resources.available())

    def price_file(
        self, catalogue: str | Path, output: str | Path, images: str | Path | None = None, comparables: int = 0,
        explain: bool = False, **display: Any,
    ) -> "ScoredFile":  # fmt: skip
        """Price a file and write the prices as a run does, rounded, with intervals and comparables beside them.

        Parameters
        ----------
        catalogue : str or Path
            CSV, JSON lines, Parquet or Excel, with the columns that the model learned from.
        output : str or Path
            CSV file of the prices.
        images : str or Path, optional
            As in `predict`.
        comparables : int
            Number of comparables per product; 0 looks none up.
        explain : bool
            Whether to write what each price is made of beside the prices.
        display
            What shows how far it is, as in `pricing.run.scoring.score_file`: ``progress``, ``shown``, ``images_shown``.
        """
        from pricing.run.scoring import score_file

        return score_file(
            self._loaded, Path(catalogue), Path(output), self.config, ImageSource.of(images), comparables=comparables,
            explain=explain, names=self._names, model=read_model_record(find_model(self._place())), **display,
        )  # fmt: skip

    def save(self, folder: str | Path) -> None:
        """Write the model into a folder: all that `load` needs, anywhere.

        Raises
        ------
        InputError
            The folder holds what would be replaced and is no earlier model.
        """
        source = find_model(self._place())
        with fill_output(Path(folder), MODEL) as new:
            for entry in source.glob("[!.]*"):
                (shutil.copytree if entry.is_dir() else shutil.copy)(entry, new / entry.name)
            if not (new / "config.json").exists():
                write_json(new / "config.json", self.config.model_dump(mode="json"))

    @classmethod
    def load(
        cls, folder: str | Path, settings: dict[str, Any] | None = None, artifacts: str | Path = "artifacts",
        columns: Columns | None = None,
    ) -> Self:  # fmt: skip
        """Take up what `save` or a run left.

        Parameters
        ----------
        folder : str or Path
            A model folder, or a run's output folder.
        settings : dict, optional
            Settings for pricing, by dotted keys. Not taken from the run are ``images.allow_hosts``, ``images.proxy``,
            ``catalogue.on_bad_rows``, ``submission.intervals``, ``resources.cores`` and what the run's files were
            written as: ``catalogue.separator``, ``encoding``, ``decimal_mark``, ``date_order``.
        artifacts : str or Path
            Folder that fetched images are kept in.
        columns : dict, ColumnsConfig, str or Path, optional
            Roles as the products to price call their columns, where they have other names than those that the model
            was trained with: as many in each role, in the same order.

        Raises
        ------
        InputError
            The folder holds no model.
        ArtifactError
            The model is of another version.
        ConfigError
            The columns are not the model's under other names, or a setting is one of the training.
        """
        model = find_model(Path(folder))
        read_model_record(model)
        config = read_scoring_config(model, {"paths.artifacts": str(artifacts), **(settings or {})})
        names = None if columns is None else ColumnsConfig.model_validate(read_columns(columns))
        if names is not None:
            check_renaming(names, config.catalogue.roles)
        pricer = cls.__new__(cls)
        pricer._start(config, Path(folder), names)
        return pricer

    def write(self, output: str | Path) -> None:
        """Leave the whole run in a folder: submission, report, figures, plots, model.

        Raises
        ------
        InputError
            The folder holds what would be replaced and is no earlier run, or nothing was fitted here.
        """
        if self._finished is None:
            raise InputError("this Pricer was not fitted here, so that there is no run to write; call fit")
        self._finished.finish(Path(output))

    @property
    def reads_images(self) -> bool:
        """Whether prices depend on images."""
        from pricing.run.scoring import reads_images

        return reads_images(self.config)

    def _products(self, products: Any) -> pl.DataFrame:
        marks = read_model_record(find_model(self._place())).marks
        return read_products(products, self.config.catalogue, self._names, marks).frame

    def _images(self, frame: pl.DataFrame, images: str | Path | None) -> "Images | None":
        if not self.reads_images:
            return None
        from pricing.run.scoring import fetch_images

        return fetch_images(frame, self.config.images, ImageSource.of(images), self.config.paths.work / "images")

    def _loaded(self) -> "RunModel":
        if self._model is None:
            from pricing.run.model import RunModel

            self._model = RunModel.load(find_model(self._place()), self.config.resources.available())
        return self._model

    def _place(self) -> Path:
        if self._folder is None:
            raise InputError("this Pricer has learned nothing yet; call fit, or Pricer.load on a model folder")
        return self._folder

    def _read(self, name: str) -> dict[str, Any]:
        path = self._place() / name
        try:
            return dict(read_json(path))
        except (OSError, ValueError):
            raise InputError(f"{path}: is not there or damaged; figures need a run's output folder") from None
