"""What people set to start a run. Every flow takes it in this form, from the form in the UI, the command and Python."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from pricing.configuration import PricingConfig, load_config
from pricing.download.sources import ImageSource
from pricing.libraries import check_xgboost
from pricing.run.output_folder import check_folder

# a cleared field of the form is an empty text, which as a path would be the working directory
_Unset = BeforeValidator(lambda value: None if value in ("", {}) else value)
OptionalFile = Annotated[Path | None, _Unset]
_Text = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})  # a path is text in the form
OptionalImages = Annotated[str | Path | None, _Unset, _Text]
Overrides = Annotated[dict[str, Any] | None, _Unset]


def resolve(
    preset: str, overrides: dict[str, Any] | None, images: str | Path | None = None
) -> tuple[PricingConfig, ImageSource]:
    """Return what a run's parameters stand for: the whole configuration tree, and where images come from.

    Raises
    ------
    ConfigError
        As `load_config` and `image_source_of`.
    """
    return load_config(preset, overrides or {}), image_source_of(images)


def image_source_of(images: str | Path | None) -> ImageSource:
    """Return where images come from: a mirror for a text with ``://``, else a folder; None asks the links themselves.

    Raises
    ------
    ConfigError
        The mirror's address is none, or there is no such folder.
    """
    if images is None:
        return ImageSource.web()
    text = str(images)
    return ImageSource.mirror(text) if "://" in text else ImageSource.folder(text)


def check_machine(config: PricingConfig) -> None:
    """Refuse what no run could end well with, before anything is started.

    Raises
    ------
    InputError
        Nothing can be written to the artifacts folder, or a library is installed twice.
    """
    check_folder(config.paths.artifacts, "--artifacts")
    if "xgboost" in config.gbdt.members:
        check_xgboost()  # not first after an hour of features


def check_inputs(train: Path, test: Path | None, config: PricingConfig, *, learns: bool = True) -> None:
    """Refuse bad input before anything is started.

    Parameters
    ----------
    learns : bool
        Whether anything is learnt from the labelled file, so that it must hold enough to learn from.

    Raises
    ------
    InputError
        A catalogue file cannot be used, or as `check_machine`.
    """
    from pricing.catalogue.enough import check_training_file  # polars, which most commands need not load
    from pricing.catalogue.reading import check_catalogue_file

    check_machine(config)
    check_training_file(train, config.catalogue, *((config.folds, config.holdout) if learns else ()))
    if test is not None:
        check_catalogue_file(test, labelled=False, on_bad_rows=config.catalogue.on_bad_rows)
