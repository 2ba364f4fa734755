"""The stack against four simpler ones on made-up members, all nested: `python benchmarks/ensemble_suites.py --rows
10000`.

Every figure is out of fold; what a rival learns, it learns on the other folds too. ``gain`` is the best rival's SMAPE
minus the stack's, with a paired 95 % bootstrap interval; the stack must never be more than 0.05 worse, and should be
better where members are correlated, biased or heavy-tailed.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from pricing.config.ensemble import EnsembleConfig
from pricing.config.resources import ResourcesConfig
from pricing.ensemble.simplex_weights import optimise_weights
from pricing.ensemble.stacking import train_ensemble
from pricing.metrics.bootstrap import bootstrap_interval
from pricing.metrics.smape import smape_of_logs, smape_rows
from pricing.report.markdown import markdown_table

Floats = NDArray[np.float64]
FOLDS = 5


def prices(n: int, rng: np.random.Generator) -> Floats:
    """Log prices like the challenge's: median 14, standard deviation 0.95."""
    return rng.normal(np.log(14), 0.95, n)


def plain(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Independent normal errors of different size: ridge is the best there is."""
    y = prices(n, rng)
    return y[:, None] + rng.normal(0, 1, (n, m)) * rng.uniform(0.5, 0.9, m), y


def correlated(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Most of the error is common to all members, who shrink it and the price differently."""
    y = prices(n, rng)
    common = rng.standard_t(4, n) * 0.45
    own = rng.standard_t(4, (n, m)) * rng.uniform(0.1, 0.3, m)
    return 2.64 + rng.uniform(0.6, 1, m) * (y[:, None] - 2.64) + common[:, None] * rng.uniform(0.3, 1.2, m) + own, y


def biased(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Shrunk to the mean, shifted, and bent at the ends."""
    y = prices(n, rng)
    off = y[:, None] - 2.64
    bend = rng.normal(0, 0.12, m) * off**2
    shrunk = 2.64 + rng.normal(0, 0.25, m) + rng.uniform(0.5, 0.95, m) * off + bend
    return shrunk + rng.standard_t(5, (n, m)) * rng.uniform(0.35, 0.6, m), y


def heavy_tailed(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Student errors of 1.8 degrees of freedom: some predictions are wild."""
    y = prices(n, rng)
    return np.clip(y[:, None] + rng.standard_t(1.8, (n, m)) * rng.uniform(0.2, 0.5, m), -4, 9), y


def regional(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Each member is good in its own range of prices and shrinks all others."""
    y = prices(n, rng)
    centre = np.quantile(y, (np.arange(m) + 0.5) / m)
    far = np.minimum(np.abs(y[:, None] - centre), 2)
    return y[:, None] + rng.standard_t(4, (n, m)) * (0.25 + 0.45 * far) - 0.35 * (y[:, None] - centre) * (far > 0.5), y


def bimodal(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One price in four is for the case of twelve, which members guess at differently."""
    y = prices(n, rng)
    case = rng.random(n) < 0.25
    y = y + np.log(12) * case
    guess = np.where(case, 0.75, 0.15)[:, None] + rng.normal(0, 0.3, (n, m))
    return y[:, None] - np.log(12) * (case[:, None] - np.clip(guess, 0, 1)) + rng.standard_t(4, (n, m)) * 0.35, y


def one_good(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One member knows it all; nothing can be added to it."""
    y = prices(n, rng)
    error = rng.standard_t(4, n) * 0.4
    rest = y[:, None] + error[:, None] + rng.normal(0, 1.2, (n, m - 1))
    return np.column_stack([y + error, rest]), y


def clones(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Half of the members are copies of one."""
    z, y = correlated(n, m, rng)
    z[:, : m // 2] = z[:, :1]
    return z, y


def mixed(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Members of every kind over the same prices: what real teams' predictions look like."""
    y = prices(n, rng)
    width = np.exp(rng.normal(0, 0.4, n))  # some products are hard for everybody
    common = rng.standard_t(3, n) * 0.33 * width
    columns = []
    for j in range(m):
        off = y - 2.64
        bend = rng.normal(0, 0.06) * off**2
        shift = rng.normal(0, 0.1)
        own = rng.standard_t(4, n) * rng.uniform(0.25, 0.55) * np.where((off > rng.normal()) == (j % 2 == 0), 0.7, 1.5)
        columns.append(2.64 + shift + rng.uniform(0.55, 0.95) * off + bend + common * rng.uniform(0.5, 1.2) + own)
    return np.column_stack(columns), y


def with_noise(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """`mixed` and fifty columns that know nothing."""
    z, y = mixed(n, m, rng)
    noise = np.column_stack([rng.permutation(z[:, j % m]) if j % 2 else rng.normal(2.64, 0.9, n) for j in range(50)])
    return np.column_stack([z, noise]), y


def with_weak(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """`mixed` and fifty columns that know next to nothing, and cannot be told from members by their correlation."""
    z, y = mixed(n, m, rng)
    return np.column_stack([z, 2.64 + 0.1 * (y[:, None] - 2.64) + rng.normal(0, 0.9, (n, 50))]), y


def pure_noise(n: int, m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Nobody knows anything; the best constant is the rival to look at."""
    return rng.normal(np.log(14), 0.9, (n, m)), prices(n, rng)


SUITES: dict[str, Callable[[int, int, np.random.Generator], tuple[Floats, Floats]]] = {
    made.__name__: made
    for made in (plain, correlated, biased, heavy_tailed, regional, bimodal, one_good, clones, mixed, with_noise,
                 with_weak, pure_noise)
}  # fmt: skip


def rivals(members: Floats, log_price: Floats, folds: NDArray[np.int64]) -> dict[str, Floats]:
    """Out-of-fold log prices of what any stack has to beat."""
    found = {name: np.empty_like(log_price) for name in ("single", "mean", "simplex", "ridge")}
    for fold in range(FOLDS):
        out = folds == fold
        z, y, new = members[~out], log_price[~out], members[out]
        found["single"][out] = new[:, int(np.argmin([smape_of_logs(z[:, j], y) for j in range(z.shape[1])]))]
        found["mean"][out] = new.mean(axis=1)
        found["simplex"][out] = new @ optimise_weights(z, y, starts=5, seed=0)
        found["ridge"][out] = Ridge(1.0).fit(z, y).predict(new)
    return found


def measure(name: str, rows: int, members: int, seed: int, config: EnsembleConfig, threads: int) -> tuple[str, ...]:
    """One line of the table."""
    z, y = SUITES[name](rows, members, np.random.default_rng(seed))
    folds = np.random.default_rng(seed + 1).permutation(rows) % FOLDS
    scores = rivals(z, y, folds)
    began = time.perf_counter()
    names = tuple(f"m{j:02d}" for j in range(z.shape[1]))
    trained = train_ensemble(z, y, folds, names, config, seed, threads=threads)
    seconds = time.perf_counter() - began
    stack = smape_rows(trained.oof, y)
    smapes = {rival: smape_of_logs(values, y) for rival, values in scores.items()}
    best = min(smapes, key=lambda rival: smapes[rival])
    gain = bootstrap_interval(smape_rows(scores[best], y) - stack, resamples=1000, seed=0)
    figures = [f"{smapes[rival]:.2f}" for rival in ("single", "mean", "simplex", "ridge")]
    span = f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    constant = f"{smape_of_logs(trained.constant, y):.2f}"
    return (name, *figures, f"{stack.mean():.2f}", span, constant, trained.choice.name, f"{seconds:.0f}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suites", nargs="*", default=list(SUITES), choices=list(SUITES))
    arguments = parser.parse_args()
    threads = ResourcesConfig().available()
    header = ("suite", "single", "mean", "simplex", "ridge", "stack", "gain", "constant", "choice", "seconds")
    print(f"{arguments.rows} rows, {arguments.members} members, seed {arguments.seed}, nested SMAPE in percent\n")
    print(markdown_table(header, []))
    for name in arguments.suites:
        row = measure(name, arguments.rows, arguments.members, arguments.seed, EnsembleConfig(), threads)
        print(markdown_table(header, [row]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
