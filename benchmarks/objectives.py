"""What the SMAPE objective costs a boosting round, as a ratio to the library's own objective (5,000 rows x 300).

    python benchmarks/objectives.py [--rows 5000] [--features 300] [--rounds 60] [--repeats 5]

The two are timed in turn and the medians compared. No metric is computed, so that only the objective differs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from pricing.members.trees.objectives import lgb_smape_objective, xgb_smape_objective


def lightgbm_run(values: np.ndarray, labels: np.ndarray, objective: object, rounds: int, threads: int) -> float:
    """Seconds a round."""
    import lightgbm

    params = {"objective": objective, "alpha": 0.3, "num_leaves": 31, "learning_rate": 0.03, "feature_fraction": 0.5}
    params |= {"num_threads": threads, "verbosity": -1, "metric": "None", "max_bin": 127}
    params |= {"deterministic": True, "force_row_wise": True}
    data = lightgbm.Dataset(values, labels, params={**params, "objective": "huber"}).construct()
    started = time.perf_counter()
    lightgbm.train(params, data, num_boost_round=rounds)
    return (time.perf_counter() - started) / rounds


def xgboost_run(values: np.ndarray, labels: np.ndarray, objective: object, rounds: int, threads: int) -> float:
    """Seconds a round."""
    import xgboost

    custom = objective if callable(objective) else None
    params = {"tree_method": "hist", "max_depth": 6, "learning_rate": 0.03, "colsample_bytree": 0.5, "max_bin": 128}
    # pseudo-Huber's Hessian sums are a tenth of SMAPE's: a least sum a leaf would compare trees of different sizes
    params |= {"min_child_weight": 0.0}
    params |= {"nthread": threads, "base_score": 0.0, "disable_default_eval_metric": True, "verbosity": 0}
    if custom is None:
        params |= {"objective": objective, "huber_slope": 0.3}
    data = xgboost.QuantileDMatrix(values, labels, max_bin=128, nthread=threads)
    started = time.perf_counter()
    xgboost.train(params, data, num_boost_round=rounds, obj=custom)
    return (time.perf_counter() - started) / rounds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--features", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    values = rng.normal(size=(options.rows, options.features)).astype(np.float32)
    labels = values[:, 0] + values[:, 1] * values[:, 2] + 0.3 * rng.standard_t(2, options.rows)
    labels -= np.median(labels)
    run: Callable[..., float]
    print(f"{options.rows} rows x {options.features} features, {options.threads} threads, ms a round")
    print(f"{'library':<10}{'built-in':>22}{'ms':>8}{'smape ms':>10}{'ratio':>7}")
    for library, run, custom, builtins in (
        ("lightgbm", lightgbm_run, lgb_smape_objective, ("huber", "regression_l1")),
        ("xgboost", xgboost_run, xgb_smape_objective, ("reg:pseudohubererror", "reg:absoluteerror")),
    ):
        for builtin in builtins:
            times: dict[object, list[float]] = {builtin: [], custom: []}
            for _ in range(options.repeats):
                for objective, seen in times.items():
                    seen.append(run(values, labels, objective, options.rounds, options.threads))
            own, ours = (1000 * statistics.median(seen) for seen in times.values())
            print(f"{library:<10}{builtin:>22}{own:>8.2f}{ours:>10.2f}{ours / own:>7.2f}")


if __name__ == "__main__":
    main()
