"""The member end to end on tiny real encoders, through the real loading path."""

import gc
import json
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from pricing.errors import ArtifactError, WeightsError
from pricing.members.fold_rows import FoldInputs, FoldRows, Rows
from pricing.members.multimodal import fitting, training
from pricing.members.multimodal.activations import Activations
from pricing.members.multimodal.encode import encode_catalogue, encode_rows, image_files
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.member import Multimodal
from pricing.members.multimodal.settings import MultimodalSettings
from pricing.members.torch_parts import torch_setup as runtime
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.members.train_fold import train_fold
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.store import artifacts
from pricing.store.codehash import code_digests
from tests.members.networks.builders import tiny_config, toy_fold, write_image_encoder, write_inputs, write_text_encoder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> FoldInputs:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def encode(inputs: FoldInputs, config: MultimodalSettings, out: Path) -> Path:
    out.mkdir(parents=True)
    settings = Multimodal.prepare_settings(config)
    encode_catalogue(inputs.catalogue, inputs.images, settings, inputs.image_folder, out)
    return out


def run(inputs: FoldInputs, config: MultimodalSettings, root: Path, fold: int | None = 0, **options: Any) -> Path:
    out, encoded = root / f"out{fold}", root / "encoded"
    out.mkdir(parents=True)
    if not encoded.exists():
        encode(inputs, config, encoded)
    train_fold(
        "pricing.members.multimodal.member:Multimodal", inputs.catalogue, inputs.folds, inputs.features, config, fold,
        0, out, price_features=inputs.price_features, images=inputs.images, prepared=encoded,
        image_folder=inputs.image_folder, resume=root / "work", **options,
    )  # fmt: skip
    return out


def new_rows(inputs: FoldInputs) -> Rows:
    """Other rows than the run's, in another order."""
    rows = FoldRows.read(inputs, None)["test"]
    chosen = np.arange(len(rows))[1::2][::-1]
    return replace(
        rows, frame=rows.frame[chosen], features=rows.features.take(chosen), price=rows.price[chosen],
        ridge=rows.ridge[chosen],
    )  # fmt: skip


def price_again(inputs: FoldInputs, model: Path, encoders: Path | None = None) -> pl.DataFrame:
    loaded = Multimodal.load(model, encoders=encoders or model.parents[1] / "encoded/encoders")
    rows = new_rows(inputs)
    rows = replace(rows, prepared=loaded.encode(rows))
    logs = loaded.predict(rows)
    assert np.array_equal(loaded.predict(rows), logs)
    return rows.ids.to_frame().with_columns(again=pl.Series(logs))


def of_the_fold(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "predictions.parquet").filter(pl.col("role") == "test")


def test_a_network_starts_at_the_ridge_where_there_is_one() -> None:
    """What the skip says of a row before any step, and what is left to learn."""
    rows = toy_fold().train
    scaler, found = TabularScaler.fit(rows.table()), Mock()
    network = Mock(scaler=scaler, settings=Mock(fusion=Mock(start="ridge")), model=found)
    fitting._initialise_output(network, rows)
    weight, bias, scale = found.initialise_output.call_args.args
    ridge = rows.price["price_ridge"].to_numpy()
    np.testing.assert_allclose(scaler.transform(rows.table()) @ weight.numpy() + bias, ridge, atol=1e-4)
    assert scale == pytest.approx(np.std(rows.log_price - ridge), rel=1e-4)
    fitting._initialise_output(network, replace(rows, price_columns=()))
    weight, bias, _ = found.initialise_output.call_args.args
    assert (weight.any().item(), bias) == (False, np.median(rows.log_price))


VARIANTS: dict[str, dict[str, Any]] = {
    "upper layer": {},
    "all frozen": {"text": {"trainable_layers": 0}},
    "all trained, images too": {
        "text": {"trainable_layers": None, "gradient_checkpointing": True}, "image": {"frozen": "early"},
        "training": {"tta": 2},
    },
    "LoRA": {"text": {"trainable_layers": 2}, "lora": {"enabled": True, "r": 2}},
    "two phases, windows": {
        "text": {"trainable_layers": 2, "max_length": 8, "windows": 3},
        "training": {"text_epochs": 1, "second_phase_rate": 0.5},
    },
    "all trained, windows": {"text": {"trainable_layers": None, "max_length": 8, "windows": 2}},
    "gated": {"fusion": {"kind": "gated"}, "training": {"loss": "huber_smape"}},
    "no images": {"image": {"enabled": False}},
    "no text": {"text": {"enabled": False}},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_model_prices_new_rows_as_the_fold_did(
    variant: str, inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    kind = "deberta" if variant in ("upper layer", "LoRA", "all trained, images too") else "bert"
    config = tiny_config(text_encoders[kind], image_encoder, **VARIANTS[variant])
    out = run(inputs, config, tmp_path)
    predictions = pl.read_parquet(out / "predictions.parquet")
    assert predictions["role"].value_counts().sort("role").rows() == [("holdout", 10), ("test", 8), ("valid", 30)]
    both = price_again(inputs, out / "model").join(of_the_fold(out), on="sample_id")
    assert both.height == 4
    # the batches are others, so the padding is, and sums differ in the last bits; other crops of the images make 3e-4
    np.testing.assert_allclose(both["again"], both["log_price"], atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_inputs_give_equal_bytes(
    variant: str, inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    # transformers recomputes no activations of MPNet
    kind = "deberta" if variant == "all trained, images too" else "mpnet"
    config = tiny_config(text_encoders[kind], image_encoder, **VARIANTS[variant])
    first, second = (run(inputs, config, tmp_path / name) for name in ("a", "b"))
    for file in sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file()):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    for file in sorted(path.name for path in (tmp_path / "a/encoded").glob("*.*")):
        assert (tmp_path / "a/encoded" / file).read_bytes() == (tmp_path / "b/encoded" / file).read_bytes(), file


@pytest.mark.parametrize("frozen", ["early", "all"])
def test_a_transformer_sees_images_of_another_side_than_its_own(
    frozen: str, inputs: FoldInputs, text_encoders: dict[str, Path], tmp_path: Path
) -> None:
    """Made for 160 pixels; its position embeddings are resampled alike in the run and when new rows are priced."""
    encoder = write_image_encoder(tmp_path / "image", "test_vit3")
    config = tiny_config(text_encoders["bert"], encoder, image={"frozen": frozen, "side": 40})
    out = run(inputs, config, tmp_path)
    both = price_again(inputs, out / "model").join(of_the_fold(out), on="sample_id")
    np.testing.assert_allclose(both["again"], both["log_price"], atol=1e-5)


@pytest.mark.parametrize(("wish", "place"), [("cpu", "cpu"), ("auto", "auto"), ("cuda", "auto")])
def test_prices_are_made_where_the_configuration_says(
    wish: str, place: str, inputs: FoldInputs, text_encoders: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A model of a GPU is good on a machine without one; one that was made on the CPU stays there, to the bit."""
    out = run(inputs, tiny_config(text_encoders["bert"], tmp_path, image={"enabled": False}), tmp_path)
    path = out / "model/model.json"
    saved = json.loads(path.read_text())
    saved["config"]["device"] = wish
    path.write_text(json.dumps(saved))
    asked: list[str] = []
    prepare = runtime.prepare_torch

    def spy(device: Any, threads: int) -> torch.device:
        asked.append(device)
        return prepare(device, threads)

    monkeypatch.setattr(runtime, "prepare_torch", spy)
    price_again(inputs, out / "model")
    assert set(asked) == {place}


def test_only_what_is_trained_and_no_machine_path_is_saved(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    out = run(inputs, tiny_config(text_encoders["bert"], image_encoder), tmp_path)
    for path in [*out.rglob("*.json"), *(tmp_path / "encoded").rglob("*.json")]:
        assert str(text_encoders["bert"].parent) not in path.read_text()
        assert str(image_encoder.parent) not in path.read_text()
    from safetensors import safe_open

    with safe_open(out / "model/model.safetensors", "pt") as file:
        names = list(file.keys())
    layers = {name.split(".layer.")[1].split(".")[0] for name in names if ".layer." in name}
    assert layers == {"0"}  # the one upper layer, counted from the cut
    assert not any("embeddings" in name or name.startswith("image.") for name in names)
    assert not (tmp_path / "work").exists()  # checkpoints of a finished fold are gone


def test_the_refit_learns_from_all_rows_and_predicts_the_test_rows(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "member.json").write_text('{"best_round": 1}')  # of the folds before
    out = run(inputs, tiny_config(text_encoders["bert"], image_encoder), tmp_path, None, fold_models=[tmp_path])
    assert pl.read_parquet(out / "predictions.parquet")["role"].unique().to_list() == ["test"]
    record = json.loads((out / "member.json").read_text())
    assert record["best_round"] == 1
    assert record["valid_smape"] is None
    assert record["fold"] is None


def test_the_second_phase_takes_up_the_encoder_of_the_first(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    """With a rate of zero in the second phase, the saved encoder is the one that the price alone has made."""
    changes = {"text_epochs": 2, "second_phase_rate": 0.0, "encoder_learning_rate": 1e-2, "ema_decay": 0.0}
    variants = {"a": {}, "b": {"epochs": 1}, "c": {"text_epochs": 0, "encoder_learning_rate": 1e-12}}
    once, again, whole = (
        run(inputs, tiny_config(text_encoders["bert"], image_encoder, training=changes | more), tmp_path / name)
        for name, more in variants.items()
    )
    first, second, untrained = (load_file(out / "model/model.safetensors") for out in (once, again, whole))
    layers = [name for name in first if name.startswith("text.encoder.")]
    assert layers
    assert all(torch.equal(first[name], second[name]) for name in layers)
    assert not all(torch.allclose(first[name], untrained[name], atol=1e-3) for name in layers)
    record = json.loads((once / "member.json").read_text())
    assert record["text_phase"]["valid_smape"] > record["valid_smape"]  # it sees no numbers
    splits = pl.read_parquet(once / "curves.parquet")["split"].unique().sort().to_list()
    assert splits == ["text_train", "text_valid", "train", "valid"]


def test_a_kill_in_the_second_phase_does_not_repeat_the_first(
    inputs: FoldInputs,
    text_encoders: dict[str, Path],
    image_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder, training={"text_epochs": 1})
    undisturbed = run(inputs, config, tmp_path / "whole")
    epochs: list[str] = []
    train_epoch = training._Run.train_epoch

    def counted(self: Any, stop: Any) -> None:
        epochs.append(type(self.model).__name__)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        train_epoch(self, stop)

    monkeypatch.setattr(training._Run, "train_epoch", counted)
    with pytest.raises(KeyboardInterrupt):
        run(inputs, config, tmp_path / "cut")
    (tmp_path / "cut/out0").rename(tmp_path / "half")
    out = run(inputs, config, tmp_path / "cut")
    assert epochs == ["TextPriceModel", *["OptimizedMultimodalModel"] * 3]
    for file in ("predictions.parquet", "model/model.safetensors", "curves.parquet"):
        assert (out / file).read_bytes() == (undisturbed / file).read_bytes(), file


@pytest.mark.parametrize("changed", ["library_versions", "code_digests"])
def test_other_code_or_libraries_do_not_take_up_a_killed_training(
    changed: str, inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Else weights of the old code would be stored under the new code's key."""
    config = tiny_config(text_encoders["bert"], image_encoder, training={"epochs": 3})
    started: list[int] = []
    train_epoch = training._Run.train_epoch

    def counted(self: Any, stop: Any) -> None:
        started.append(self.epoch)
        if self.epoch == 2:
            raise KeyboardInterrupt
        train_epoch(self, stop)

    monkeypatch.setattr(training._Run, "train_epoch", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(inputs, config, tmp_path)
        shutil.rmtree(tmp_path / "out0")
    monkeypatch.setattr(artifacts, changed, lambda entry: {"torch": f"other, behind {entry}"})
    with pytest.raises(KeyboardInterrupt):
        run(inputs, config, tmp_path)
    assert started == [0, 1, 2, 2, 0, 1, 2]


@pytest.mark.parametrize(("max_length", "long"), [(12, True), (40, False)])
def test_windows_change_the_prices_of_long_texts(
    max_length: int,
    long: bool,
    inputs: FoldInputs,
    text_encoders: dict[str, Path],
    image_encoder: Path,
    tmp_path: Path,
) -> None:
    made = []
    for windows in (1, 2):
        text = {"max_length": max_length, "windows": windows}
        out = run(inputs, tiny_config(text_encoders["bert"], image_encoder, text=text), tmp_path / str(windows))
        made.append(pl.read_parquet(out / "predictions.parquet")["log_price"])
    counts = pl.read_parquet(tmp_path / "2/encoded/rows.parquet")["text_windows"]
    assert counts.unique().to_list() == [2 if long else 1]
    assert (made[0] != made[1]).all() if long else made[0].equals(made[1])


@pytest.mark.slow
def test_two_processes_train_a_fold(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder, processes=2)
    out = run(inputs, config, tmp_path)
    record = json.loads((out / "member.json").read_text())
    assert record["processes"] == 2
    both = price_again(inputs, out / "model").join(of_the_fold(out), on="sample_id")
    np.testing.assert_allclose(both["again"], both["log_price"], atol=5e-3)


def test_a_first_phase_without_a_text_encoder_is_refused(text_encoders: dict[str, Path], image_encoder: Path) -> None:
    for text in ({"trainable_layers": 0}, {"enabled": False}):
        with pytest.raises(ValueError, match="text_epochs asks for a phase"):
            tiny_config(text_encoders["bert"], image_encoder, text=text, training={"text_epochs": 1})


def test_other_weights_under_the_same_name_are_refused(
    inputs: FoldInputs, image_encoder: Path, text_encoders: dict[str, Path], tmp_path: Path
) -> None:
    """Predictions of another encoder look like prices too, so nobody would notice."""
    out = run(inputs, tiny_config(text_encoders["bert"], image_encoder), tmp_path)
    saved = json.loads((out / "model/model.json").read_text())["encoders"]["text"]["sha256"][:16]
    write_text_encoder(tmp_path / "encoded/encoders" / saved, "mpnet")
    with pytest.raises(WeightsError, match="hash to"):
        price_again(inputs, out / "model")
    shutil.rmtree(tmp_path / "encoded/encoders" / saved)
    with pytest.raises(WeightsError, match="whole model folder"):
        price_again(inputs, out / "model")


@pytest.mark.parametrize("kind", ["bert", "mpnet", "deberta"])
def test_a_copied_model_prices_without_the_folders_that_its_encoders_came_from(
    kind: str, inputs: FoldInputs, tmp_path: Path
) -> None:
    sources = write_text_encoder(tmp_path / "text", kind), write_image_encoder(tmp_path / "image")
    config = tiny_config(*sources, text={"trainable_layers": 2}, image={"frozen": "early"}, lora={"enabled": True})
    out = run(inputs, config, tmp_path)
    before = price_again(inputs, out / "model")
    for source in sources:
        shutil.rmtree(source)
    copied = tmp_path / "elsewhere"
    shutil.move(out / "model", copied / "fold_0")
    shutil.move(tmp_path / "encoded/encoders", copied / "encoders")
    shutil.rmtree(tmp_path / "encoded")
    assert price_again(inputs, copied / "fold_0", copied / "encoders").equals(before)
    assert len(list((copied / "encoders").iterdir())) == 2  # each once
    fold = sum(path.stat().st_size for path in copied.rglob("fold_0/*"))
    assert fold < sum(path.stat().st_size for path in copied.rglob("encoders/*/*.safetensors"))


def test_damaged_activations_are_named(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder)
    (encode(inputs, config, tmp_path / "encoded") / "text_states.npy").write_bytes(b"\x80\x04]q\x00.")  # a pickle
    with pytest.raises(ArtifactError, match=r"text_states\.npy"):
        run(inputs, config, tmp_path)


def test_a_catalogue_without_test_rows_is_trained(
    text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    paths = write_inputs(tmp_path / "inputs", rows=30, test_rows=0)
    out = run(paths, tiny_config(text_encoders["bert"], image_encoder), tmp_path / "run")
    assert set(pl.read_parquet(out / "predictions.parquet")["role"]) == {"valid", "holdout"}


def test_the_members_are_imported_without_torch() -> None:
    """The flow's process imports every member for its settings; torch would cost it seconds and 200 MB."""
    modules = "multimodal.member", "sparse_mlp", "gaussian_process"
    names = ", ".join(f"pricing.members.{module}" for module in modules)
    code = f"import {names}, sys; sys.exit(bool({{'torch', 'transformers', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_key_depends_on_another_member() -> None:
    """Editing one member trains one member."""
    for entry, other in (
        ("gaussian_process", "multimodal"),
        ("sparse_mlp", "multimodal"),
        ("multimodal.member", "kernels"),
    ):
        modules = set(code_digests(f"pricing.members.{entry}"))
        assert not [name for name in modules if other in name or name.endswith("registry")], entry
    encoding = set(code_digests("pricing.members.multimodal.encode"))
    assert "pricing.members.multimodal.training" not in encoding


def test_activations_of_a_row_do_not_depend_on_the_other_rows(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    """A run encodes its labelled and unlabelled rows together, scoring the new rows alone; prices must be the same."""
    config = tiny_config(text_encoders["bert"], image_encoder)
    folder = encode(inputs, config, tmp_path / "encoded")
    whole = Activations.given(folder).of("unlabelled")
    rows = new_rows(inputs)
    frame, files = rows.frame.with_columns(split=pl.lit("unlabelled")), image_files(rows.images, config)
    parts = EncoderParts(config, SavedEncoders(folder / "encoders", whole.record["encoders"]))
    alone = encode_rows(frame, files, parts, torch.device("cpu"))
    for row in range(len(rows)):
        assert torch.equal(whole.texts(rows.ids).get(row), alone.texts(rows.ids).get(row))
        one, two = whole.images(rows.ids).get(row, None), alone.images(rows.ids).get(row, None)
        assert (one is None and two is None) or torch.equal(one, two)


def test_loaded_models_share_their_encoders_and_read_no_file(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path, tmp_path: Path
) -> None:
    """Five folds with five copies of an encoder would not fit a small machine; a service reads its model once."""
    config = tiny_config(text_encoders["bert"], image_encoder)
    outs = [run(inputs, config, tmp_path, fold) for fold in (0, None)]
    encoders = tmp_path / "encoded/encoders"
    models = [Multimodal.load(out / "model", encoders=encoders) for out in outs]
    assert models[0].network.parts is models[1].network.parts
    for folder in (encoders, *outs):
        shutil.rmtree(folder)
    rows = new_rows(inputs)
    rows = replace(rows, prepared=models[0].encode(rows))
    first, second = (model.predict(rows) for model in models)
    assert not np.array_equal(first, second)
    parts = weakref.ref(models[0].network.parts)
    del models
    gc.collect()
    assert parts() is None


def test_rows_that_nobody_encoded_are_refused(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder)
    with pytest.raises(ArtifactError, match="not encoded"):
        Multimodal(config).fit(FoldRows.read(inputs, 0))
