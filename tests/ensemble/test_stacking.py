"""The stack is honest: noise gives no gain, every fold is judged by what never saw it."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from pricing.config.ensemble import EnsembleConfig
from pricing.ensemble.calibration import Calibration
from pricing.ensemble.decision import Decision, fit_decision
from pricing.ensemble.learners import LinearModel, best_constant, fit_level_1
from pricing.ensemble.meta_features import disagreement, meta_features
from pricing.ensemble.simplex_weights import optimise_weights
from pricing.ensemble.spread import fit_spread
from pricing.ensemble.stack import Ensemble
from pricing.ensemble.stacking import train_ensemble
from pricing.errors import ArtifactError, PredictionsError, SchemaError
from pricing.metrics.smape import smape_of_logs
from tests.ensemble.synthetic import QUICK, make_members, make_plain_members


def stacked(ensemble: Ensemble, members: np.ndarray) -> np.ndarray:
    """Log prices of members that stand in the ensemble's order."""
    return ensemble.predict(dict(zip(ensemble.members, members.T, strict=True)))


def names(m: int) -> tuple[str, ...]:
    return tuple(f"m{j}" for j in range(m))


@settings(max_examples=5)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_stack_reads_only_out_of_fold_predictions(m: int, seed: int) -> None:
    """Property 24: Meta-feature stacking correctness. Level 1 sees one column a member in the members' order, and a
    fold's nested prediction does not depend on that fold's prices."""
    members, log_price = make_members(90, m, seed)
    folds = np.arange(90) % 3
    config = EnsembleConfig(meta_learners=("ridge",), weight_starts=1)
    trained = train_ensemble(members, log_price, folds, names(m), config, 0)
    other = log_price.copy()
    other[folds == 1] = np.random.default_rng(seed).permutation(other[folds == 1]) + 0.5
    again = train_ensemble(members, other, folds, names(m), config, 0)
    assert (trained.oof[folds == 1] == again.oof[folds == 1]).all()
    assert trained.constant[folds == 1].tolist() == again.constant[folds == 1].tolist()
    base = members.mean(axis=1)
    columns = meta_features(members, base)
    assert columns.shape == (90, 2 * m + 6 + m * (m - 1) // 2)
    off = [value - base[7] for value in members[7]]
    expected = [*off, *sorted(off), statistics.mean(off), statistics.median(off), statistics.pstdev(off)]
    assert columns[7, : 2 * m + 3] == pytest.approx(expected)
    assert columns[7, 2 * m + 6] == members[7, 0] - members[7, 1]
    assert disagreement(members, base)[7] == pytest.approx([*off, base[7]])


@pytest.mark.parametrize("m", [3, 8, 17])
def test_what_is_said_of_a_row_does_not_depend_on_the_rows_beside_it(m: int) -> None:
    members, stack = make_members(300, m, 0)
    chosen = members[:, list(range(m))]  # as a part of the members is taken: column by column in memory
    spread = fit_spread(chosen, stack, np.random.default_rng(0).laplace(size=300), tuple(range(m)))
    for row in range(0, 300, 7):
        alone = chosen[row : row + 1], stack[row : row + 1]
        assert (meta_features(*alone)[0] == meta_features(chosen, stack)[row]).all()
        assert spread.predict(*alone)[0] == spread.predict(chosen, stack)[row]


def test_no_part_of_the_judge_sees_the_judged_fold() -> None:
    """Screening, every learner, choice, calibration and decision: other prices in a fold leave its own nested rows, and
    what is reported of the parts for them, as they were."""
    members, log_price = make_members(240, 3, 11)
    folds = np.arange(240) % 3
    other = log_price.copy()
    other[folds == 2] = np.random.default_rng(0).normal(8, 2, 80)
    first, second = (train_ensemble(members, y, folds, names(3), QUICK, 0) for y in (log_price, other))
    assert (first.oof[folds == 2] == second.oof[folds == 2]).all()
    assert (first.raw[folds == 2] == second.raw[folds == 2]).all()
    assert first.fold_choices[2] == second.fold_choices[2]
    assert not np.allclose(first.oof[folds == 0], second.oof[folds == 0])


def test_ridge_is_the_closed_form() -> None:
    members, log_price = make_members(200, 3, 1)
    config = EnsembleConfig(meta_learners=("ridge",), ridge_alpha=2.0)
    model = fit_level_1(members, log_price, config, 0).models["ridge"]
    assert isinstance(model, LinearModel)
    standard = (members - members.mean(0)) / members.std(0)
    design = np.vstack([standard, np.sqrt(2.0) * np.eye(3)])
    target = np.concatenate([log_price - log_price.mean(), np.zeros(3)])
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    assert model.predict(members) == pytest.approx(log_price.mean() + standard @ coefficients)


def test_pure_noise_gives_no_gain() -> None:
    """Members that know nothing are left out, and what remains is the best constant of the other folds."""
    rng = np.random.default_rng(3)
    log_price = rng.normal(2.9, 0.95, 600)
    noise = rng.normal(2.9, 0.9, (600, 5))
    trained = train_ensemble(noise, log_price, np.arange(600) % 3, names(5), QUICK, 0)
    assert trained.kept == ()
    assert trained.oof == pytest.approx(trained.constant, abs=1e-9)
    assert stacked(trained.ensemble, rng.normal(0, 9, (3, 5))) == pytest.approx(best_constant(log_price))
    # let through, they must not look like a gain either
    config = QUICK.model_copy(update={"noise_limit": 0.0})
    honest = train_ensemble(noise, log_price, np.arange(600) % 3, names(5), config, 0)
    stack, constant = smape_of_logs(honest.oof, log_price), smape_of_logs(honest.constant, log_price)
    assert constant - 0.3 < stack < constant + 2.0


@pytest.mark.parametrize("kind", ["shuffled", "heavy"])
def test_fifty_noise_members_cost_nothing(kind: str) -> None:
    members, log_price = make_members(1500, 4, 6)
    folds = np.arange(1500) % 3
    rng = np.random.default_rng(7)
    noise = {
        "shuffled": np.column_stack([rng.permutation(members[:, j % 4]) for j in range(50)]),
        "heavy": 2.9 + rng.standard_t(1.5, (1500, 50)),
    }[kind]
    clean = smape_of_logs(train_ensemble(members, log_price, folds, names(4), QUICK, 0).oof, log_price)
    both = np.column_stack([noise[:, :20], members, noise[:, 20:]])
    trained = train_ensemble(both, log_price, folds, names(54), QUICK, 0)
    assert sorted(trained.kept) == [20, 21, 22, 23]
    assert smape_of_logs(trained.oof, log_price) == pytest.approx(clean, abs=0.1)


def test_threads_change_nothing() -> None:
    members, log_price = make_members(300, 3, 4)
    one, three = (
        train_ensemble(members, log_price, np.arange(300) % 3, names(3), QUICK, 0, threads=threads)
        for threads in (1, 3)
    )
    assert (one.oof == three.oof).all()
    assert one.ensemble.weights == three.ensemble.weights
    assert (stacked(one.ensemble, members) == stacked(three.ensemble, members)).all()


def test_members_good_in_different_places_are_told_apart() -> None:
    """Half of the members know the cheap products, half the dear ones: no fixed weights can use that, the trees and the
    network must."""
    rng = np.random.default_rng(5)
    log_price = rng.normal(2.9, 0.95, 4000)
    dear = log_price > 2.9
    errors = np.where(dear[:, None], [0.15, 0.15, 0.9, 0.9], [0.9, 0.9, 0.15, 0.15])
    members = log_price[:, None] + rng.standard_t(4, (4000, 4)) * errors
    trained = train_ensemble(members, log_price, np.arange(4000) % 3, names(4), QUICK, 0)
    scores = {name: smape_of_logs(values, log_price) for name, values in trained.learner_oof.items()}
    linear = min(scores[name] for name in ("mean", "single", "weights", "greedy", "ridge", "smape_linear"))
    assert max(scores["trees"], scores["network"]) < linear - 1
    assert smape_of_logs(trained.oof, log_price) < linear - 1


def test_stack_beats_its_members_and_the_hold_out_agrees() -> None:
    """Correlated, biased, heavy-tailed members; the nested figure is what new rows then show, intervals cover them."""
    members, log_price = make_members(5000, 5, 8)
    train, new = slice(0, 2000), slice(2000, 5000)
    trained = train_ensemble(members[train], log_price[train], np.arange(2000) % 3, names(5), QUICK, 0)
    fresh_members = {f"m{j}": members[new][:, j] for j in range(5)}
    predicted = trained.ensemble.predict(fresh_members)
    ends = trained.ensemble.predict_intervals(fresh_members, predicted)
    for level, slack in ((80, 2.5), (95, 1.5)):
        inside = (ends[f"low_{level}"] <= log_price[new]) & (log_price[new] <= ends[f"high_{level}"])
        assert 100 * inside.mean() == pytest.approx(level, abs=slack)
    nested = smape_of_logs(trained.oof, log_price[train])
    fresh = smape_of_logs(stacked(trained.ensemble, members[new]), log_price[new])
    best = min(smape_of_logs(members[new][:, j], log_price[new]) for j in range(5))
    mean = smape_of_logs(members[new].mean(axis=1), log_price[new])
    assert fresh < min(best, mean) - 1
    assert nested == pytest.approx(fresh, abs=1.0)


@pytest.mark.parametrize("make", [make_members, make_plain_members])
def test_stack_is_never_much_worse_than_simpler_ones(make: Callable[[int, int, int], tuple]) -> None:
    """Best single, plain mean, best simplex weights, ridge: each learnt on the other folds, as the stack is. On plain
    errors ridge is the best there is, and the stack must find that out."""
    members, log_price = make(2000, 5, 12)
    folds = np.arange(2000) % 5
    rivals = {name: np.empty(2000) for name in ("single", "mean", "simplex", "ridge")}
    for fold in range(5):
        out = folds == fold
        z, y, new = members[~out], log_price[~out], members[out]
        rivals["single"][out] = new[:, np.argmin([smape_of_logs(column, y) for column in z.T])]
        rivals["mean"][out] = new.mean(axis=1)
        rivals["simplex"][out] = new @ optimise_weights(z, y, starts=5, seed=0)
        rivals["ridge"][out] = Ridge(1.0).fit(z, y).predict(new)
    scores = {name: smape_of_logs(values, log_price) for name, values in rivals.items()}
    if make is make_plain_members:
        assert min(scores, key=lambda name: scores[name]) == "ridge"
    trained = train_ensemble(members, log_price, folds, names(5), QUICK, 0)
    assert smape_of_logs(trained.oof, log_price) <= min(scores.values()) + 0.05


def test_one_absurd_price_ruins_no_learner() -> None:
    """A product predicted at 1e-300, as a network that underflows gives it, is -691 in log space: unclipped, it is all
    that least squares sees of its member."""
    members, log_price = make_members(1000, 3, 13)
    folds = np.arange(1000) % 3
    clean = train_ensemble(members, log_price, folds, names(3), QUICK, 0)
    wild = members.copy()
    wild[7, 0] = np.log(1e-300)
    trained = train_ensemble(wild, log_price, folds, names(3), QUICK, 0)
    others = np.arange(1000) != 7
    for name, values in trained.learner_oof.items():
        before = smape_of_logs(clean.learner_oof[name][others], log_price[others])
        assert smape_of_logs(values[others], log_price[others]) == pytest.approx(before, abs=0.3), name
    # a member that is off by a constant factor, cents for dollars, loses nothing by it
    shifted = members + np.array([np.log(100), 0, 0])
    scores = [
        smape_of_logs(train_ensemble(z, log_price, folds, names(3), QUICK, 0).learner_oof["ridge"], log_price)
        for z in (members, shifted)
    ]
    assert scores[1] == pytest.approx(scores[0], abs=1e-6)


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
    members, log_price = make_members(300, 3, 2)
    trained = train_ensemble(members, log_price, np.arange(300) % 3, names(3), QUICK, 0).ensemble
    # every part in use, so that a part that is not saved changes the result
    weights = dict.fromkeys(trained.learners, 1 / len(trained.learners))
    calibration = trained.calibration if trained.calibration.kind != "none" else _isotonic(members, log_price)
    decision = fit_decision(members, members.mean(axis=1), log_price + 0.1, (0, 1, 2))
    ensemble = Ensemble(
        trained.members, trained.learners, weights, calibration, decision, trained.bounds, trained.intervals
    )
    folder = tmp_path_factory.mktemp("ensemble")
    ensemble.save(folder)
    return folder, ensemble, members


def _isotonic(members: np.ndarray, log_price: np.ndarray):  # type: ignore[no-untyped-def]
    from pricing.ensemble.calibration import fit_calibration

    return fit_calibration("isotonic", members.mean(axis=1), log_price)


def test_saved_ensemble_is_complete(saved: tuple[Path, Ensemble, np.ndarray], tmp_path: Path) -> None:
    """Another process predicts the same bits from a copied folder."""
    folder, ensemble, members = saved
    record = json.loads((folder / "ensemble.json").read_text())
    assert {"mean", "weights", "greedy", "ridge", "elasticnet", "trees", "network"} <= set(record["learners"])
    assert set(record) == {
        "format", "members", "learners", "weights", "calibration", "decision", "bounds", "intervals",
    }  # fmt: skip
    assert sum(record["weights"].values()) == pytest.approx(1)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".txt", ".safetensors"}
    np.save(tmp_path / "members.npy", members)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom pricing.ensemble.stack import Ensemble\n"
        "z = np.load(sys.argv[2], allow_pickle=False)\ne = Ensemble.load(Path(sys.argv[1]))\n"
        "given = {f'm{j}': z[:, j] for j in reversed(range(z.shape[1]))}\n"
        "p = e.predict(given)\nends = e.predict_intervals(given, p)\n"
        "print(p.tobytes().hex() + ends['low_80'].tobytes().hex() + ends['high_95'].tobytes().hex())\n"
        "assert 'torch' not in sys.modules and 'prefect' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "members.npy")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    columns = {f"m{j}": members[:, j] for j in range(3)}
    expected = ensemble.predict(columns)
    ends = ensemble.predict_intervals(columns, expected)
    assert done.stdout.strip() == "".join(v.tobytes().hex() for v in (expected, ends["low_80"], ends["high_95"]))
    # one row alone gets the price that it gets among others
    alone = ensemble.predict({f"m{j}": members[5:6, j] for j in range(3)})
    assert alone[0] == expected[5]


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_any_ensemble_is_saved_whole(
    seed: int, saved: tuple[Path, Ensemble, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Property 27: Ensemble artifact completeness. Learners, weights, calibration and members are on disk."""
    _, whole, members = saved
    rng = np.random.default_rng(seed)
    used = rng.choice(sorted(whole.learners), rng.integers(1, len(whole.learners) + 1), replace=False).tolist()
    ensemble = replace(
        whole,
        learners={name: whole.learners[name] for name in used},
        weights=dict(zip(used, rng.dirichlet(np.ones(len(used))).tolist(), strict=True)),
        calibration=whole.calibration if seed % 2 else Calibration(),
        decision=whole.decision if seed % 3 else Decision(),
        intervals=whole.intervals if seed % 5 else None,
    )
    folder = tmp_path_factory.mktemp("any")
    ensemble.save(folder)
    again = Ensemble.load(folder)
    columns = {f"m{j}": members[:, j] for j in range(3)}
    assert again.predict(columns).tobytes() == ensemble.predict(columns).tobytes()
    assert (again.members, set(again.learners), again.weights) == (whole.members, set(used), ensemble.weights)
    for kept, read in ((ensemble, again), (again, ensemble)):
        assert kept.decision.to_dict() == read.decision.to_dict()
        assert kept.calibration == read.calibration
        assert kept.intervals is None or (read.intervals and kept.intervals.to_dict() == read.intervals.to_dict())


def test_other_members_are_refused(saved: tuple[Path, Ensemble, np.ndarray]) -> None:
    _, ensemble, members = saved
    with pytest.raises(SchemaError, match="missing m2, unknown other"):
        ensemble.predict({"m0": members[:, 0], "m1": members[:, 1], "other": members[:, 2]})
    with pytest.raises(PredictionsError, match="member m1: log price nan at row 0"):
        ensemble.predict({"m0": [1.0], "m1": [np.nan], "m2": [1.0]})


def changed(record: dict, name: str, change: dict) -> dict:
    return record | {"learners": record["learners"] | {name: record["learners"][name] | change}}


def renamed(record: dict, old: str, new: str) -> dict:
    learners = {new if name == old else name: item for name, item in record["learners"].items()}
    weights = {new if name == old else name: weight for name, weight in record["weights"].items()}
    return record | {"learners": learners, "weights": weights}


@pytest.mark.parametrize(
    "poison",
    [
        lambda r: r | {"format": 99},
        lambda r: {key: value for key, value in r.items() if key != "weights"},
        lambda r: r | {"weights": dict.fromkeys(r["weights"], 0.9)},
        lambda r: renamed(r, "trees", "../../x"),
        lambda r: renamed(r, "network", "../../x"),
        lambda r: changed(r, "trees", {"members": [7]}),
        lambda r: changed(r, "trees", {"models": 10**9}),
        lambda r: changed(r, "trees", {"kind": "pickle"}),
        lambda r: changed(r, "network", {"members": [0, 1]}),
        lambda r: changed(r, "network", {"scale": [0.0, 1.0, 1.0, 1.0]}),
        lambda r: r | {"decision": r["decision"] | {"offsets": [0.0]}},
        lambda r: r | {"decision": r["decision"] | {"spread": r["decision"]["spread"] | {"members": [9]}}},
        lambda r: r | {"intervals": r["intervals"] | {"quantiles": {"80": [1.0, -1.0]}}},
        lambda r: r | {"learners": r["learners"] | {"ridge": {"intercept": 0, "coefficients": [1.0]}}},
        lambda r: changed(r, "ridge", {"low": [0.0]}),
        lambda r: changed(r, "ridge", {"high": [9.0, float("inf"), 9.0]}),
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


@pytest.mark.parametrize("name", ["trees.0.lgb.txt", "network.safetensors"])
def test_truncated_files_and_pickles_are_refused(saved, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    folder, _, _ = saved
    for path in folder.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ArtifactError):
        Ensemble.load(tmp_path)
    for content in (b"\x80\x04cos\nsystem\n", (folder / name).read_bytes()[:200], b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError):
            Ensemble.load(tmp_path)
    (tmp_path / name).write_bytes((folder / name).read_bytes())
    Ensemble.load(tmp_path)
