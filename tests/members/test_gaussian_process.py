"""The Gaussian process against its formulas written out in NumPy, and as a member."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.preprocessing import normalize

from pricing.errors import ArtifactError, TrainingError
from pricing.features.schema import make_columns
from pricing.members.gaussian_process import GaussianProcessMember, GaussianProcessSettings
from pricing.members.kernels import process as gaussian_process
from pricing.members.kernels.kernel import ProductKernel, Products, group_of
from pricing.members.kernels.process import GaussianProcess, left_out
from tests.members.networks.builders import toy_fold

GROUPS = ("price", "price", "amount", "amount", "brand", "other")
PLAIN = {"steps": 0, "passes": 0}


def products(rows: int, seed: int, *, meaning: bool = True) -> Products:
    rng = np.random.default_rng(seed)
    terms = sparse.random(rows, 30, 0.2, format="csr", dtype=np.float32, random_state=seed)
    vectors = torch.from_numpy(normalize(rng.normal(size=(rows, 5)))) if meaning else None
    return Products(torch.from_numpy(rng.normal(size=(rows, len(GROUPS)))), normalize(terms), vectors)


def kernel(*, meaning: bool = True) -> ProductKernel:
    return ProductKernel(GROUPS, (2, 3), meaning)


def prices(of: Products) -> np.ndarray:
    numbers = of.numbers.numpy()
    return 2.5 + 0.5 * numbers[:, 0] + 0.4 * np.sin(2 * numbers[:, 2]) + 0.2 * numbers[:, 2] * numbers[:, 3]


def test_groups_follow_the_families_of_the_features() -> None:
    families = ("ridge", "means", "comparables", "quantity", "brand", "sub_brand", "text", "declared")
    groups = [group_of(column) for family in families for column in make_columns(family, ("price_x",))]
    assert groups == ["price", "price", "price", "amount", "brand", "other", "other", "other"]


@pytest.mark.parametrize("meaning", [True, False])
def test_the_kernel_is_one(meaning: bool) -> None:
    """Symmetric and positive definite, whatever the length scales; so the evidence is always defined."""
    some, made = products(60, 0, meaning=meaning), kernel(meaning=meaning)
    for factor in (-2.0, 0.0, 2.0):
        with torch.no_grad():
            for value in made.log.values():
                value.add_(factor)
            matrix = made(some, some).numpy()
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-10)
        assert np.linalg.eigvalsh(matrix).min() > -1e-8 * np.trace(matrix)


def test_the_mean_is_the_textbooks() -> None:
    """k(x, z) (K + noise)^-1 y, with all rows as landmarks and without weights."""
    known, new = products(80, 0), products(20, 1)
    log_price = prices(known) + np.random.default_rng(3).normal(0, 0.1, 80)
    process = GaussianProcess(GaussianProcessSettings(**PLAIN), kernel()).fit(known, log_price, 0)
    made = kernel()
    with torch.no_grad():
        inner = made(known, known).numpy() + float(made.noise) * np.eye(80)
        standard = (log_price - np.median(log_price)) / log_price.std()
        expected = np.median(log_price) + log_price.std() * made(new, known).numpy() @ np.linalg.solve(inner, standard)
    np.testing.assert_allclose(process.predict(new), expected, atol=2e-4)


def test_the_kernel_is_learnt_by_the_evidence() -> None:
    known = products(80, 0)
    log_price = prices(known)
    process = GaussianProcess(GaussianProcessSettings(steps=15), kernel()).fit(known, log_price, 0)
    losses = [curve["value"] for curve in process.curves]
    made = kernel()
    with torch.no_grad():
        covariance = made(known, known).numpy() + float(made.noise) * np.eye(80)
    standard = np.clip((log_price - np.median(log_price)) / log_price.std(), -3, 3)
    assert losses[0] == pytest.approx(-multivariate_normal(np.zeros(80), covariance).logpdf(standard) / 80)
    assert losses[-1] < losses[0] - 0.05
    plain = GaussianProcess(GaussianProcessSettings(**PLAIN), kernel()).fit(known, log_price, 0)
    new = products(200, 1)
    errors = [np.abs(made.predict(new) - prices(new)).mean() for made in (process, plain)]
    assert errors[0] < errors[1]


def test_residuals_of_rows_left_out() -> None:
    """Against the ridge fitted again without each row."""
    rng = np.random.default_rng(0)
    phi, target = rng.normal(size=(30, 8)).astype(np.float32), rng.normal(size=30)
    weight = rng.uniform(0.2, 1, 30)

    def ridge(weights: np.ndarray) -> np.ndarray:
        inner = phi.T @ (phi * weights[:, None]) + 0.3 * np.eye(8)
        return np.asarray(np.linalg.solve(inner, phi.T @ (weights * target)))

    expected = [target[row] - phi[row] @ ridge(np.where(np.arange(30) == row, 0, weight)) for row in range(30)]
    factor = np.linalg.cholesky(phi.T @ (phi * weight[:, None]) + 0.3 * np.eye(8))
    given = (torch.from_numpy(value) for value in (phi, weight, target, ridge(weight), factor))
    np.testing.assert_allclose(left_out(*given), expected, atol=1e-4)


def test_absurd_prices_do_not_spread() -> None:
    known, new = products(300, 0), products(200, 1)
    log_price = prices(known)
    log_price[::12] += np.log(50)
    errors = {}
    for passes in (0, 2):
        config = GaussianProcessSettings(steps=0, passes=passes)
        process = GaussianProcess(config, kernel()).fit(known, log_price, 0)
        errors[passes] = np.abs(process.predict(new) - prices(new)).mean()
    assert errors[2] < 0.75 * errors[0]


def test_few_landmarks_are_nearly_as_good() -> None:
    known, new = products(600, 0), products(200, 1)
    errors = []
    for landmarks in (600, 300):
        config = GaussianProcessSettings(steps=5, landmarks=landmarks)
        process = GaussianProcess(config, kernel()).fit(known, prices(known), 0)
        errors.append(np.abs(process.predict(new) - prices(new)).mean())
    assert errors[0] < errors[1] < 1.5 * errors[0]
    assert errors[1] < 0.5 * np.abs(prices(new) - np.median(prices(known))).mean()


def test_round_trip_and_damage(tmp_path: Path) -> None:
    known = products(50, 0)
    known = Products(known.numbers.float().double(), known.terms, known.meaning.float().double())  # type: ignore[union-attr]
    process = GaussianProcess(GaussianProcessSettings(steps=2), kernel()).fit(known, prices(known), 0)
    process.save(tmp_path)
    new = products(20, 1)
    assert np.array_equal(GaussianProcess.load(tmp_path, kernel()).predict(new), process.predict(new))
    (tmp_path / "process.safetensors").write_bytes(b"\x80\x04broken")
    with pytest.raises(ArtifactError, match=r"process\.safetensors"):
        GaussianProcess.load(tmp_path, kernel())


def test_processes_of_one_folder_share_their_landmarks(tmp_path: Path) -> None:
    """Two folds with half of their products in common: each prices as it does alone, rows one by one as well."""
    whole, new = products(60, 0), products(5, 1)
    whole = Products(
        whole.numbers.float().double(), whole.terms, torch.from_numpy(whole.meaning.numpy()).float().double()
    )  # type: ignore[union-attr]
    folds = [whole.take(slice(0, 40)), whole.take(slice(20, 60))]
    made = [GaussianProcess(GaussianProcessSettings(steps=1), kernel()).fit(one, prices(one), 0) for one in folds]
    for number, process in enumerate(made):
        (tmp_path / str(number)).mkdir()
        process.save(tmp_path / str(number))
    loaded = [GaussianProcess.load(tmp_path / str(number), kernel()) for number in range(2)]
    for _ in range(2):
        for process, read in zip(made, loaded, strict=True):
            assert np.array_equal(read.predict(new), process.predict(new))
            assert read.predict(new.take(slice(3, 4))) == process.predict(new)[3]
    np.testing.assert_array_equal(loaded[1].landmarks.meaning.numpy(), folds[1].meaning.numpy())  # type: ignore[union-attr]


def test_too_little_to_learn_from() -> None:
    with pytest.raises(TrainingError, match="1 training rows"):
        GaussianProcess(GaussianProcessSettings(), kernel()).fit(products(1, 0), np.zeros(1), 0)


@pytest.mark.parametrize("fold", [0, None])
def test_as_a_member_it_prices_rows_alike_before_and_after_it_is_saved(
    fold: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaussian_process, "CHUNK", 7)  # several pieces, as in a catalogue
    rows = toy_fold(fold)
    for name in ("a", "b"):
        member = GaussianProcessMember(GaussianProcessSettings()).fit(rows, rounds=fold)
        (tmp_path / name).mkdir()
        member.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file
    made = member.describe()
    assert made.best_round == len(made.curves) == 20
    assert made.record["trainable_parameters"] == len(made.record["kernel"])
    logs = member.predict(rows["test"])
    loaded = GaussianProcessMember.load(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")  # it was read whole
    assert np.array_equal(loaded.predict(rows["test"]), logs)
    every = np.arange(len(logs)) % 2 == 1
    assert np.array_equal(loaded.predict(rows["test"].take(every)), logs[every])
