"""The member trained end to end on tiny real encoders, through the real loading path."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from pricing.errors import ArtifactError
from pricing.members.fold_rows import FoldInputs, FoldRows
from pricing.members.multimodal import fitting, training
from pricing.members.multimodal.member import Multimodal
from pricing.members.torch_parts.scaler import TabularScaler
from pricing.store import keys
from pricing.store.codehash import code_digests
from tests.members.networks.builders import tiny_config, toy_fold, write_inputs
from tests.members.networks.multimodal_case import encode, of_the_fold, price_again, run


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
    monkeypatch.setattr(keys, changed, lambda entry: {"torch": f"other, behind {entry}"})
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


def test_rows_that_nobody_encoded_are_refused(
    inputs: FoldInputs, text_encoders: dict[str, Path], image_encoder: Path
) -> None:
    config = tiny_config(text_encoders["bert"], image_encoder)
    with pytest.raises(ArtifactError, match="not encoded"):
        Multimodal(config).fit(FoldRows.read(inputs, 0))
