"""The stack is honest: noise gives no gain, every fold is judged by what never saw it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.ensemble import Ensemble
from pricing.ensemble.learners import LinearModel, fit_learners, meta_features
from pricing.ensemble.stacking import best_constant, train_ensemble
from pricing.ensemble.weights import smape_of_logs
from pricing.errors import ArtifactError, PredictionsError, SchemaError
from tests.ensemble.synthetic import make_members

QUICK = EnsembleConfig(lightgbm={"rounds": 60}, weight_starts=3)


def names(m: int) -> tuple[str, ...]:
    return tuple(f"m{j}" for j in range(m))


@settings(max_examples=10)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_stack_reads_only_out_of_fold_predictions(m: int, seed: int) -> None:
    """Property 24: Meta-feature stacking correctness. Level 1 sees one column a member in the members' order, and a
    fold's nested prediction does not depend on that fold's prices."""
    members, log_price = make_members(90, m, seed)
    folds = np.arange(90) % 3
    config = EnsembleConfig(meta_learners=("ridge",), weight_starts=2)
    trained = train_ensemble(members, log_price, folds, names(m), config, 0)
    other = log_price.copy()
    other[folds == 1] = np.random.default_rng(seed).permutation(other[folds == 1]) + 0.5
    again = train_ensemble(members, other, folds, names(m), config, 0)
    assert (trained.oof[folds == 1] == again.oof[folds == 1]).all()
    assert trained.constant[folds == 1].tolist() == again.constant[folds == 1].tolist()
    base = members.mean(axis=1)
    columns = meta_features(members, base)
    assert columns.shape == (90, m + 3)
    assert columns[7, 0] == members[7, 0] - base[7]
    assert columns[7, m + 1] == pytest.approx(np.std(list(members[7])))


def test_ridge_is_the_closed_form() -> None:
    members, log_price = make_members(200, 3, 1)
    model = fit_learners(members, log_price, EnsembleConfig(meta_learners=("ridge",), ridge_alpha=2.0), 0)["ridge"]
    assert isinstance(model, LinearModel)
    standard = (members - members.mean(0)) / members.std(0)
    design = np.vstack([standard, np.sqrt(2.0) * np.eye(3)])
    target = np.concatenate([log_price - log_price.mean(), np.zeros(3)])
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    assert model.predict(members) == pytest.approx(log_price.mean() + standard @ coefficients)


def test_pure_noise_gives_no_gain() -> None:
    """Members that know nothing: the nested figure must not beat the best constant by more than noise."""
    rng = np.random.default_rng(3)
    log_price = rng.normal(2.9, 0.95, 1200)
    noise = rng.normal(2.9, 0.9, (1200, 5))
    trained = train_ensemble(noise, log_price, np.arange(1200) % 4, names(5), QUICK, 0)
    stack, constant = smape_of_logs(trained.oof, log_price), smape_of_logs(trained.constant, log_price)
    assert constant - 0.3 < stack < constant + 2.0


def test_noise_members_cost_little_and_gain_nothing() -> None:
    members, log_price = make_members(2500, 4, 6)
    folds = np.arange(2500) % 4
    noise = np.random.default_rng(7).normal(2.9, 0.9, (2500, 12))
    config = EnsembleConfig(lightgbm={"rounds": 100}, weight_starts=3)
    clean = smape_of_logs(train_ensemble(members, log_price, folds, names(4), config, 0).oof, log_price)
    both = np.column_stack([members, noise])
    dirty = smape_of_logs(train_ensemble(both, log_price, folds, names(16), config, 0).oof, log_price)
    assert clean - 0.15 < dirty < clean + 0.6


def test_stack_beats_its_members_and_the_hold_out_agrees() -> None:
    """Correlated, biased, heavy-tailed members; the nested figure is what new rows then show."""
    members, log_price = make_members(6000, 5, 8)
    train, new = slice(0, 3000), slice(3000, 6000)
    trained = train_ensemble(members[train], log_price[train], np.arange(3000) % 5, names(5), QUICK, 0)
    nested = smape_of_logs(trained.oof, log_price[train])
    fresh = smape_of_logs(trained.ensemble.predict_matrix(members[new]), log_price[new])
    best = min(smape_of_logs(members[new][:, j], log_price[new]) for j in range(5))
    mean = smape_of_logs(members[new].mean(axis=1), log_price[new])
    assert fresh < min(best, mean) - 1
    assert nested == pytest.approx(fresh, abs=1.0)


def test_two_folds_are_enough() -> None:
    members, log_price = make_members(120, 2, 9)
    trained = train_ensemble(members, log_price, np.arange(120) % 2, names(2), QUICK, 0)
    assert np.isfinite(trained.oof).all()


def test_best_constant_beats_the_median_on_skewed_prices() -> None:
    log_price = np.random.default_rng(0).exponential(1.0, 4000)
    point = best_constant(log_price)
    exact = min(smape_of_logs(np.full(4000, c), log_price) for c in np.linspace(0, 3, 1501))
    assert smape_of_logs(np.full(4000, point), log_price) == pytest.approx(exact, abs=0.02)
    assert exact < smape_of_logs(np.full(4000, np.median(log_price)), log_price)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a | {"members": a["members"] * np.nan}, "not finite"),
        (lambda a: a | {"folds": np.zeros(60, dtype=int)}, "at least two folds"),
        (lambda a: a | {"names": ("a", "a")}, "distinct names"),
        (lambda a: a | {"members": a["members"][:50]}, "expected members of shape"),
    ],
)
def test_unusable_input_is_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    members, log_price = make_members(60, 2, 0)
    given = {"members": members, "log_price": log_price, "folds": np.arange(60) % 3, "names": ("a", "b")}
    with pytest.raises(PredictionsError, match=words):
        train_ensemble(**change(given), config=QUICK, seed=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ensemble, np.ndarray]:
    members, log_price = make_members(400, 3, 2)
    trained = train_ensemble(members, log_price, np.arange(400) % 3, names(3), QUICK, 0).ensemble
    # every part in use, so that a part that is not saved changes the result
    weights = dict.fromkeys(trained.learners, 1 / len(trained.learners))
    calibration = trained.calibration if trained.calibration.kind != "none" else _isotonic(members, log_price)
    ensemble = Ensemble(trained.members, trained.learners, weights, calibration, trained.bounds)
    folder = tmp_path_factory.mktemp("ensemble")
    ensemble.save(folder)
    return folder, ensemble, members


def _isotonic(members: np.ndarray, log_price: np.ndarray):  # type: ignore[no-untyped-def]
    from pricing.ensemble.calibration import fit_calibration

    return fit_calibration("isotonic", members.mean(axis=1), log_price)


def test_saved_ensemble_is_complete(saved: tuple[Path, Ensemble, np.ndarray], tmp_path: Path) -> None:
    """Property 27: Ensemble artifact completeness. Learners, weights, calibration and members are on disk, and another
    process predicts the same bits from a copied folder."""
    folder, ensemble, members = saved
    record = json.loads((folder / "ensemble.json").read_text())
    assert {"mean", "weights", "greedy", "ridge", "elasticnet", "lightgbm"} <= set(record["learners"])
    assert set(record) == {"format", "members", "learners", "weights", "calibration", "bounds"}
    assert sum(record["weights"].values()) == pytest.approx(1)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".txt"}
    np.save(tmp_path / "members.npy", members)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom pricing.ensemble.ensemble import Ensemble\n"
        "z = np.load(sys.argv[2], allow_pickle=False)\ne = Ensemble.load(Path(sys.argv[1]))\n"
        "p = e.predict({f'm{j}': z[:, j] for j in reversed(range(z.shape[1]))})\n"
        "print(p.tobytes().hex())\nassert 'torch' not in sys.modules and 'prefect' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "members.npy")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = ensemble.predict({f"m{j}": members[:, j] for j in range(3)})
    assert done.stdout.strip() == expected.tobytes().hex()
    # one row alone gets the price that it gets among others
    alone = ensemble.predict({f"m{j}": members[5:6, j] for j in range(3)})
    assert alone[0] == expected[5]


def test_other_members_are_refused(saved: tuple[Path, Ensemble, np.ndarray]) -> None:
    _, ensemble, members = saved
    with pytest.raises(SchemaError, match="missing m2, unknown other"):
        ensemble.predict({"m0": members[:, 0], "m1": members[:, 1], "other": members[:, 2]})
    with pytest.raises(PredictionsError, match="member m1: log price nan at row 0"):
        ensemble.predict({"m0": [1.0], "m1": [np.nan], "m2": [1.0]})


@pytest.mark.parametrize(
    "poison",
    [
        lambda r: r | {"format": 99},
        lambda r: {key: value for key, value in r.items() if key != "weights"},
        lambda r: r | {"weights": dict.fromkeys(r["weights"], 0.9)},
        lambda r: r | {"learners": r["learners"] | {"lightgbm": r["learners"]["lightgbm"] | {"trees": "../../x.txt"}}},
        lambda r: r | {"learners": r["learners"] | {"ridge": {"intercept": 0, "coefficients": [1.0]}}},
        lambda r: "not a record",
    ],
)
def test_poisoned_ensemble_is_refused(saved, tmp_path: Path, poison) -> None:  # type: ignore[no-untyped-def]
    folder, _, _ = saved
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((folder / "ensemble.json").read_text())
    (tmp_path / "ensemble.json").write_text(json.dumps(poison(record)))
    with pytest.raises(ArtifactError):
        Ensemble.load(tmp_path)


def test_truncated_trees_and_pickles_are_refused(saved, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, _, _ = saved
    (tmp_path / "ensemble.json").write_bytes((folder / "ensemble.json").read_bytes())
    with pytest.raises(ArtifactError, match="cannot be read"):
        Ensemble.load(tmp_path)
    for content in (b"\x80\x04cos\nsystem\n", (folder / "lightgbm.lgb.txt").read_bytes()[:200]):
        (tmp_path / "lightgbm.lgb.txt").write_bytes(content)
        with pytest.raises(ArtifactError):
            Ensemble.load(tmp_path)
