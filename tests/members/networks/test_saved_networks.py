"""Networks of tiny real encoders, saved and loaded: prices, bytes, what a model folder needs."""

import gc
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pricing.errors import WeightsError
from pricing.members.fold_rows import FoldInputs
from pricing.members.multimodal.activations import Activations
from pricing.members.multimodal.encode import encode_rows, image_files
from pricing.members.multimodal.encoder_parts import EncoderParts
from pricing.members.multimodal.member import Multimodal
from pricing.members.torch_parts import torch_setup as runtime
from pricing.pretrained.saved_encoders import SavedEncoders
from tests.members.networks.builders import tiny_config, write_image_encoder, write_text_encoder
from tests.members.networks.multimodal_case import encode, new_rows, of_the_fold, price_again, run

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
