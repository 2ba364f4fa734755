"""The stage's functions. torch is imported inside them, so that importing this module costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pricing.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from pricing.features.load import FeatureSet
    from pricing.members.multimodal.settings import MultimodalSettings

__all__ = ["Member", "encode", "predict_member", "train_fold"]

Member = Literal["multimodal", "sparse_mlp", "gaussian_process"]


def encode(
    catalogue: Path, images: Path | None, config: MultimodalSettings, pictures: Path, out: Path, *, threads: int = 1
) -> None:
    """Run the frozen parts of the encoders once over all texts and pictures of the catalogue.

    Parameters
    ----------
    catalogue : Path
        Output of the catalogue stage: train.parquet and test.parquet.
    images : Path or None
        Output of the download stage: images.parquet; None for no pictures.
    config : MultimodalSettings
        Which encoders, and what of them is frozen.
    pictures : Path
        Folder that the ``file`` column of images.parquet is relative to.
    out : Path
        Existing empty folder; receives encoded.json, encoders/ (see `pricing.pretrained.saved_encoders`), and
        rows.parquet, text_states.npy, text_offsets.npy and picture_patches.npy as far as something is frozen.
    threads : int
        Cores.

    Raises
    ------
    WeightsError
        An encoder cannot be found; names the ways out.
    """
    import polars as pl

    from pricing.members.fold_rows import picture_files, read_catalogue_part
    from pricing.members.multimodal.activations import encode_rows
    from pricing.members.torch_parts.torch_setup import prepare_torch
    from pricing.pretrained.saved_encoders import SavedEncoders

    device = prepare_torch(config.device, threads)
    columns = ["sample_id", "catalog_content", "image_link"]
    parts = {part: read_catalogue_part(catalogue, part).select(columns) for part in ("train", "test")}
    frame = pl.concat([rows.with_columns(part=pl.lit(part)) for part, rows in parts.items()])
    text, image = (tower.name if tower.enabled else None for tower in (config.text, config.image))
    encoders = SavedEncoders.save(text, image, out / "encoders")
    encode_rows(frame, picture_files(images, pictures, config), config, encoders, out, device)


def train_fold(
    catalogue: Path,
    folds: Path,
    features: Path,
    price_features: Path,
    images: Path | None,
    encoded: Path | None,
    config: MultimodalSettings,
    member: Member,
    fold: int | None,
    seed: int,
    out: Path,
    work: Path,
    *,
    pictures: Path,
    threads: int = 1,
    epochs: int | None = None,
) -> None:
    """Train one member on one fold (None: on all labelled rows) and predict the rows that it did not learn from.

    Parameters
    ----------
    catalogue, folds, features, price_features, images, encoded : Path
        Outputs of the stages before; ``price_features`` of the same fold.
    member : {"multimodal", "sparse_mlp", "gaussian_process"}
        Which one.
    work : Path
        Folder for checkpoints; a killed training found there is continued.
    out : Path
        Existing empty folder; receives predictions.parquet (sample_id, part, log_price), member.json, curves.parquet
        and model/.
    threads : int
        Cores.
    epochs : int, optional
        Passes over the rows; by default those of the configuration (the refit gives the folds' median best epoch).

    Raises
    ------
    TrainingError
        Training diverged.
    """
    from pricing.members.torch_parts.torch_setup import prepare_torch

    device = prepare_torch(config.device, threads)
    if member == "sparse_mlp":
        from pricing.members.sparse_mlp import train_sparse_mlp

        train_sparse_mlp(catalogue, folds, features, price_features, config, fold, seed, out, epochs=epochs)
        return
    if member == "gaussian_process":
        from pricing.members.gaussian_process import train_gaussian_process

        train_gaussian_process(catalogue, folds, features, price_features, config, fold, seed, out)
        return
    from pricing.members.multimodal.member import train_multimodal, train_multimodal_here

    if encoded is None:
        raise ArtifactError("the multimodal network needs the output of the encode stage; none was given")
    args = (
        catalogue, folds, features, price_features, images, encoded, config, fold, seed, out, work,
    )  # fmt: skip
    options = {"pictures": pictures, "epochs": epochs}
    if config.processes == 1:
        train_multimodal(*args, **options, device=device)  # type: ignore[arg-type]
        return
    from pricing.members.multimodal.ranks import launch

    launch(train_multimodal_here, config.processes, device, (args, options))


def predict_member(
    model_dir: Path,
    frame: pl.DataFrame,
    features: FeatureSet,
    price_features: pl.DataFrame,
    images: pl.DataFrame | None,
    pictures: Path | None,
    *,
    encoders: Path,
    encoded: Path,
    threads: int = 1,
) -> np.ndarray:
    """Price new rows with a trained member, on the CPU if its run's ``neural.device`` was cpu, else as ``auto`` does.

    Parameters
    ----------
    model_dir : Path
        The model/ folder that `train_fold` wrote.
    frame : DataFrame
        sample_id, catalog_content, image_link.
    features : FeatureSet
        Of these rows.
    price_features : DataFrame
        sample_id and ``price_*`` of these rows (without sample_id: in their order).
    images : DataFrame or None
        image_link, file, status, as images.parquet; None for no pictures.
    pictures : Path or None
        Folder that ``file`` is relative to.
    encoders : Path
        The encoders/ folder that `encode` wrote, or a copy.
    encoded : Path
        Existing folder, empty for the member's first model: what the frozen parts make of these rows is left there, and
        read there by the member's models of the other folds. Unused by members without encoders.
    threads : int
        Cores.

    Returns
    -------
    ndarray
        Log prices (n,) float64, in the order of ``frame``.

    Raises
    ------
    WeightsError
        An encoder is missing there, or is not the one that the member was trained on.
    """
    from pricing.members.torch_parts.tensors import read_config
    from pricing.members.torch_parts.torch_setup import prepare_torch

    features = features.reorder(frame["sample_id"])
    saved = read_config(model_dir)
    if saved["member"] == "sparse_mlp":
        from pricing.members.sparse_mlp import predict_sparse_mlp

        prepare_torch("cpu", threads)
        return predict_sparse_mlp(model_dir, features)
    if saved["member"] == "gaussian_process":
        from pricing.members.gaussian_process import predict_gaussian_process

        prepare_torch("cpu", threads)
        return predict_gaussian_process(model_dir, features, price_features)
    from pricing.members.multimodal.member import predict_multimodal

    # trained on a GPU, it prices on a machine without one too
    device = prepare_torch("cpu" if saved["config"]["device"] == "cpu" else "auto", threads)
    return predict_multimodal(
        model_dir, encoders, frame, features, price_features, images, pictures, encoded, device=device
    )
