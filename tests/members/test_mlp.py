"""Averaged MLPs against a dense computation, and on a problem with a known answer."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse

from pricing.errors import ArtifactError, TrainingError
from pricing.members.column_mlp import ColumnMLPMember, ColumnMLPSettings
from pricing.members.contract import Member
from pricing.members.fold_rows import FoldRows
from pricing.members.mlp.mlp_settings import MLPSettings
from pricing.members.mlp.networks import MLP, Inputs, MLPEnsemble, _tensors
from pricing.members.sparse_mlp import SparseMLPMember, SparseMLPSettings
from tests.members.networks.builders import toy_fold


def matrix(rows: int, terms: int = 40, seed: int = 0) -> sparse.csr_matrix:
    return sparse.csr_matrix(sparse.random(rows, terms, 0.15, format="csr", dtype=np.float32, random_state=seed))


def test_the_first_layer_is_a_scaled_sum_of_what_is_read() -> None:
    network = MLP(40, 2, 3, SparseMLPSettings(hidden=(6, 4), dropout=0.0)).eval()
    terms = sparse.csr_matrix(sparse.vstack([matrix(7), sparse.csr_matrix((1, 40), dtype=np.float32)]))  # one without
    rng = np.random.default_rng(0)
    rows = Inputs(terms, rng.normal(size=(8, 2)).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32))
    numbers, vectors = torch.from_numpy(rows.numbers), torch.from_numpy(rows.vectors)
    assert network.terms is not None
    assert network.numbers is not None
    assert network.scale is not None
    assert network.vectors is not None
    torch.nn.init.normal_(network.scale.weight)
    summed = torch.from_numpy(terms.toarray()) @ network.terms.weight + network.vectors(vectors)
    hidden = summed * (1 + network.scale(numbers)) + network.numbers(numbers)
    torch.testing.assert_close(network(*_tensors(rows, torch.float32)), network.rest(hidden).squeeze(-1))


def problem(rows: int, seed: int) -> tuple[Inputs, np.ndarray]:
    """Products whose log price is linear in the presence of terms, a number and an embedding's first entry."""
    terms, rng = matrix(rows, seed=seed), np.random.default_rng(seed)
    numbers, vectors = (rng.normal(size=(rows, width)).astype(np.float32) for width in (2, 3))
    effect = np.random.default_rng(99).normal(size=40)
    present = (terms.toarray() > 0).astype(float)
    log_price = 2.5 + present @ effect * 0.4 + 0.3 * numbers[:, 0] + 0.5 * vectors[:, 0]
    return Inputs(terms, numbers, vectors), log_price


def test_it_learns_words_numbers_and_embeddings_and_ends_with_the_same_bits() -> None:
    torch.set_num_threads(1)
    config = SparseMLPSettings(hidden=(32, 16), epochs=6, batch_size=16, seeds=2, dropout=0.0, learning_rate=1e-2)
    (rows, target), (new, truth) = problem(1500, 0), problem(300, 1)
    predictions = [MLPEnsemble("sparse_mlp", config).fit(rows, target, 4).predict(new) for _ in range(2)]
    assert predictions[0].tobytes() == predictions[1].tobytes()
    assert np.abs(predictions[0] - truth).mean() < 0.35 * np.abs(target.mean() - truth).mean()


def test_round_trip_and_poison(tmp_path: Path) -> None:
    config = SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=2)
    rows, target = problem(64, 0)
    ensemble = MLPEnsemble("sparse_mlp", config).fit(rows, target, 0, valid=(rows, target))
    assert [(c["round"], c["split"]) for c in ensemble.curves] == [(1, "valid_0"), (1, "valid_1")]
    ensemble.save(tmp_path)
    loaded = MLPEnsemble.load(tmp_path, "sparse_mlp", SparseMLPSettings)
    np.testing.assert_array_equal(loaded.predict(rows), ensemble.predict(rows))
    assert load_file(tmp_path / "networks.safetensors")["0.terms.weight"].dtype == torch.float16
    (tmp_path / "networks.safetensors").write_bytes(b"\x80\x04N.")
    with pytest.raises(ArtifactError, match=r"networks\.safetensors"):
        MLPEnsemble.load(tmp_path, "sparse_mlp", SparseMLPSettings)


def test_no_rows_give_no_prices() -> None:
    rows, target = problem(64, 0)
    ensemble = MLPEnsemble("sparse_mlp", SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=1)).fit(rows, target, 0)
    assert ensemble.predict(rows.take(slice(0, 0))).shape == (0,)


def test_a_loss_that_is_not_finite_names_the_setting_to_change() -> None:
    rows, target = problem(64, 0)
    config = SparseMLPSettings(hidden=(8, 4), epochs=8, learning_rate=1e38)
    with pytest.raises(TrainingError, match=r"members\.column_mlp\.learning_rate"):
        MLPEnsemble("column_mlp", config).fit(rows, target, 0)


def test_a_term_that_no_learning_row_has_does_not_move_a_price(tmp_path: Path) -> None:
    """Its row would be the random one that it started as; it is not stored either."""
    rows, target = problem(64, 0)
    none = sparse.csr_matrix((64, 3), dtype=np.float32)
    wider = rows.with_terms(sparse.csr_matrix(sparse.hstack([rows.terms[:, :10], none, rows.terms[:, 10:]])))
    config = SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=2)
    ensemble = MLPEnsemble("sparse_mlp", config).fit(wider, target, 0)
    new = wider.terms.tolil()
    new[:, 11] = 5.0
    moved = wider.with_terms(sparse.csr_matrix(new, dtype=np.float32))
    np.testing.assert_array_equal(ensemble.predict(moved), ensemble.predict(wider))
    ensemble.save(tmp_path)
    assert load_file(tmp_path / "networks.safetensors")["0.terms.weight"].shape == (40, 8)


def with_parts(rows: FoldRows) -> FoldRows:
    """The same rows with embeddings of the text and of two parts."""
    rng = np.random.default_rng(0)
    found = {}
    for role, part in rows.items():
        whole, parts = (rng.normal(size=(len(part), *shape)).astype(np.float32) for shape in ((4,), (2, 4)))
        found[role] = replace(part, features=replace(part.features, embedding=whole, parts=parts))
    return replace(rows, roles=found)


SMALL = {"hidden": (8, 4), "epochs": 2, "batch_size": 16, "seeds": 2}


@pytest.mark.parametrize(
    ("kind", "settings", "rounds"),
    [
        (SparseMLPMember, SparseMLPSettings(**SMALL), None),
        (SparseMLPMember, SparseMLPSettings(**SMALL, dense=False), None),
        (SparseMLPMember, SparseMLPSettings(**SMALL), 1),
        (ColumnMLPMember, ColumnMLPSettings(**SMALL), None),
        (ColumnMLPMember, ColumnMLPSettings(**SMALL), 1),
        (ColumnMLPMember, ColumnMLPSettings(**SMALL, terms=True, dense=False), None),
    ],
)
def test_as_a_member_it_prices_rows_alike_before_and_after_it_is_saved(
    kind: type[Member[Any]], settings: MLPSettings, rounds: int | None, tmp_path: Path
) -> None:
    rows = with_parts(toy_fold(0 if rounds is None else None))
    member = kind(settings, seed=3).fit(rows, rounds=rounds)
    member.save(tmp_path)
    made = member.describe()
    assert made.best_round == made.record["params"]["epochs"] == (rounds or 2)
    assert len(made.curves) == (0 if rounds else 4)  # two networks, two epochs; the refit has no rows to be judged on
    logs = member.predict(rows["test"])
    loaded = kind.load(tmp_path)
    shutil.rmtree(tmp_path)  # it was read whole
    assert np.array_equal(loaded.predict(rows["test"]), logs)
    every = np.arange(len(logs)) % 2 == 1
    assert np.array_equal(loaded.predict(rows["test"].take(every)), logs[every])
    assert loaded.predict(rows["test"].take(np.zeros(len(logs), bool))).shape == (0,)


def test_embeddings_of_parts_move_the_prices_of_the_member_that_reads_them() -> None:
    rows = with_parts(toy_fold(0))
    asked = rows["test"]
    assert asked.features.parts is not None
    other = replace(asked, features=replace(asked.features, parts=-asked.features.parts))
    for kind, settings, moves in (
        (SparseMLPMember, SparseMLPSettings(**SMALL), False),
        (ColumnMLPMember, ColumnMLPSettings(**SMALL), True),
    ):
        member = kind(settings).fit(rows)  # type: ignore[arg-type]
        assert np.array_equal(member.predict(asked), member.predict(other)) != moves
