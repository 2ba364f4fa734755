"""The sparse MLP against a dense computation, and on a problem with a known answer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse

from pricing.errors import ArtifactError
from pricing.members.sparse_mlp import SparseMLPMember, SparseMLPSettings
from pricing.members.sparse_network import SparseMLP, SparseMLPEnsemble, _pieces
from tests.members.networks.builders import toy_fold


def matrix(rows: int, terms: int = 40, seed: int = 0) -> sparse.csr_matrix:
    return sparse.csr_matrix(sparse.random(rows, terms, 0.15, format="csr", dtype=np.float32, random_state=seed))


def test_the_first_layer_is_a_sparse_product() -> None:
    network = SparseMLP(40, 2, (6, 4), 0.0).eval()
    terms, numbers = matrix(7), torch.randn(7, 2)
    terms = sparse.csr_matrix(
        sparse.vstack([terms, sparse.csr_matrix((1, 40), dtype=np.float32)])
    )  # a text without terms
    numbers = torch.cat([numbers, torch.zeros(1, 2)])
    assert network.numbers is not None
    dense = torch.from_numpy(terms.toarray()) @ network.terms.weight + network.numbers(numbers)
    torch.testing.assert_close(network(*_pieces(terms), numbers), network.rest(dense).squeeze(-1))


def problem(rows: int, seed: int) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    terms, rng = matrix(rows, seed=seed), np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2)).astype(np.float32)
    effect = np.random.default_rng(99).normal(size=40)
    present = (terms.toarray() > 0).astype(float)
    return terms, numbers, 2.5 + present @ effect * 0.4 + 0.3 * numbers[:, 0]


def test_it_learns_words_and_numbers_and_ends_with_the_same_bits() -> None:
    torch.set_num_threads(1)
    config = SparseMLPSettings(hidden=(32, 16), epochs=6, batch_size=16, seeds=2, dropout=0.0, learning_rate=1e-2)
    terms, numbers, target = problem(1500, 0)
    new_terms, new_numbers, truth = problem(300, 1)
    predictions = [
        SparseMLPEnsemble(config).fit(terms, numbers, target, 4).predict(new_terms, new_numbers) for _ in range(2)
    ]
    assert predictions[0].tobytes() == predictions[1].tobytes()
    assert np.abs(predictions[0] - truth).mean() < 0.35 * np.abs(target.mean() - truth).mean()


def test_round_trip_and_poison(tmp_path: Path) -> None:
    config = SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=2)
    terms, numbers, target = problem(64, 0)
    ensemble = SparseMLPEnsemble(config).fit(terms, numbers, target, 0, valid=(terms, numbers, target))
    assert [(c["round"], c["split"]) for c in ensemble.curves] == [(1, "valid_0"), (1, "valid_1")]
    ensemble.save(tmp_path)
    np.testing.assert_array_equal(
        SparseMLPEnsemble.load(tmp_path).predict(terms, numbers), ensemble.predict(terms, numbers)
    )
    assert load_file(tmp_path / "networks.safetensors")["0.terms.weight"].dtype == torch.float16
    (tmp_path / "networks.safetensors").write_bytes(b"\x80\x04N.")
    with pytest.raises(ArtifactError, match=r"networks\.safetensors"):
        SparseMLPEnsemble.load(tmp_path)


def test_no_rows_give_no_prices() -> None:
    config = SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=1)
    ensemble = SparseMLPEnsemble(config).fit(*problem(64, 0), 0)
    assert ensemble.predict(matrix(1)[:0], np.empty((0, 2), np.float32)).shape == (0,)


def test_a_term_that_no_learning_row_has_does_not_move_a_price(tmp_path: Path) -> None:
    """Its row would be the random one that it started as; it is not stored either."""
    terms, numbers, target = problem(64, 0)
    none = sparse.csr_matrix((64, 3), dtype=np.float32)
    wider = sparse.csr_matrix(sparse.hstack([terms[:, :10], none, terms[:, 10:]]))
    ensemble = SparseMLPEnsemble(SparseMLPSettings(hidden=(8, 4), epochs=1, seeds=2)).fit(wider, numbers, target, 0)
    new = wider.tolil()
    new[:, 11] = 5.0
    np.testing.assert_array_equal(
        ensemble.predict(sparse.csr_matrix(new, dtype=np.float32), numbers), ensemble.predict(wider, numbers)
    )
    ensemble.save(tmp_path)
    assert load_file(tmp_path / "networks.safetensors")["0.terms.weight"].shape == (40, 8)


@pytest.mark.parametrize(("dense", "rounds"), [(True, None), (False, None), (True, 1)])
def test_as_a_member_it_prices_rows_alike_before_and_after_it_is_saved(
    dense: bool, rounds: int | None, tmp_path: Path
) -> None:
    rows = toy_fold(0 if rounds is None else None)
    settings = SparseMLPSettings(hidden=(8, 4), epochs=2, batch_size=16, dense=dense)
    member = SparseMLPMember(settings, seed=3).fit(rows, rounds=rounds)
    member.save(tmp_path)
    made = member.describe()
    assert made.best_round == made.record["params"]["epochs"] == (rounds or 2)
    assert len(made.curves) == (0 if rounds else 4)  # two networks, two epochs; the refit has no rows to be judged on
    logs = member.predict(rows["test"])
    loaded = SparseMLPMember.load(tmp_path)
    shutil.rmtree(tmp_path)  # it was read whole
    assert np.array_equal(loaded.predict(rows["test"]), logs)
    every = np.arange(len(logs)) % 2 == 1
    assert np.array_equal(loaded.predict(rows["test"].take(every)), logs[every])
