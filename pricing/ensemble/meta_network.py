"""The network of level 1: a predictive distribution of the log price, and the price that minimises its expected SMAPE.

A small perceptron reads how the members disagree (`pricing.ensemble.meta_features.disagreement`) and predicts in which
of k bins the true log price lies relative to the linear base, by cross-entropy; the bins hold equally many rows.
Regression by classification keeps whatever shape the error has - skewed, heavy-tailed, bimodal - and its gradient is
bounded, so that an outlier counts no more than a near miss (Imani and White, Improving Regression Performance with
Distributional Losses, ICML 2018). The answer is taken from the distribution by `pricing.ensemble.decision`.

Several networks of different seeds are trained as one batched product, and their distributions averaged. Prediction
needs NumPy only; a row's price does not depend on the rows beside it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricing.config.ensemble import MetaNetworkConfig
from pricing.ensemble.decision import smape_optimal_points
from pricing.ensemble.linear import LinearModel
from pricing.ensemble.meta_features import disagreement
from pricing.errors import ArtifactError
from pricing.metrics.smape import Floats
from pricing.store.permissions import apply_umask

_BLOCK = 512
"""Rows at a time, for memory's sake."""
_CLIP = 6.0
"""Standard deviations beyond which an input says nothing new."""
_SHAPES = {"w1": 3, "b1": 3, "w2": 3, "b2": 3, "w3": 3, "b3": 3}


@dataclass(frozen=True)
class NetworkModel:
    """A linear base plus what the networks' distribution of the rest says.

    Attributes
    ----------
    base : LinearModel
        The price that the distribution is relative to.
    members : tuple of int
        The q columns of the members' matrix that the networks see.
    centre, scale : ndarray of shape (q + 1,)
        Of the inputs.
    atoms : ndarray of shape (k,)
        Median log difference from the base in each bin.
    layers : dict of str to ndarray
        ``w1`` (s, q + 1, h), ``b1`` (s, 1, h), ``w2`` (s, h, h), ``b2`` (s, 1, h), ``w3`` (s, h, k), ``b3`` (s, 1, k),
        s networks at once; float32.
    """

    base: LinearModel
    members: tuple[int, ...]
    centre: Floats
    scale: Floats
    atoms: Floats
    layers: dict[str, NDArray[np.float32]]

    def predict(self, members: Floats) -> Floats:
        """Log prices of shape (n,) for members of shape (n, m)."""
        base = self.base.predict(members)
        seen = self.base.clipped(members)[:, list(self.members)]
        low, high = float(self.atoms[0]), float(self.atoms[-1])
        grid = np.linspace(max(low, -1.5), min(high, 1.5), 121)
        found = np.empty(len(members))
        for start in range(0, len(members), _BLOCK):
            rows = slice(start, start + _BLOCK)
            block = self._probabilities(seen[rows], base[rows])
            found[rows] = smape_optimal_points(block, self.atoms, grid)
        return base + found

    def _probabilities(self, seen: Floats, base: Floats) -> Floats:
        """Distributions over the atoms, (n, k)."""
        standard = (disagreement(seen, base) - self.centre) / self.scale
        inputs = np.clip(standard, -_CLIP, _CLIP).astype(np.float32)
        # BLAS may add up a row differently among other rows: in double precision, the difference of some 1e-16 is gone
        # when the logits are rounded to single
        layers = self._layers
        total = np.zeros((len(seen), len(self.atoms)))
        for net in range(len(layers["w1"])):
            hidden = _silu(inputs @ layers["w1"][net] + layers["b1"][net])  # (block, h)
            hidden = _silu(hidden @ layers["w2"][net] + layers["b2"][net])
            logits = np.float32(hidden @ layers["w3"][net] + layers["b3"][net]).astype(np.float64)  # (block, k)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            total += weights / weights.sum(axis=1, keepdims=True)
        return total / len(layers["w1"])

    @cached_property
    def _layers(self) -> dict[str, Floats]:
        """The layers in double precision."""
        return {name: values.astype(np.float64) for name, values in self.layers.items()}

    def save(self, path: Path) -> dict[str, Any]:
        """Write the layers as safetensors; returns the rest, for JSON."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(values) for name, values in self.layers.items()}, path)
        apply_umask(path)
        return {name: np.asarray(getattr(self, name)).tolist() for name in ("members", "centre", "scale", "atoms")}

    @classmethod
    def load(cls, path: Path, base: LinearModel, record: dict[str, Any]) -> "NetworkModel":
        """The reverse of `save`.

        Raises
        ------
        ArtifactError
            The file is damaged, or its arrays do not fit together or are not finite.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            layers = {str(name): np.asarray(values) for name, values in load_file(path).items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise ArtifactError(f"{path}: is not a whole safetensors file ({error}); build the run again") from None
        members = tuple(int(one) for one in record["members"])
        centre, scale, atoms = (np.array(record[name], dtype=np.float64) for name in ("centre", "scale", "atoms"))
        model = cls(base, members, centre, scale, atoms, layers)
        problem = model._problem()
        if problem:
            raise ArtifactError(f"{path}: the network is damaged ({problem}); build the run again")
        return model

    def _problem(self) -> str | None:
        """What does not fit together."""
        if set(self.layers) != set(_SHAPES):
            return f"layers {', '.join(sorted(self.layers))}"
        arrays: list[NDArray[Any]] = [*self.layers.values(), self.centre, self.scale, self.atoms]
        if not all(np.isfinite(values).all() for values in arrays):
            return "a weight is not finite"
        nets, inputs, hidden = self.layers["w1"].shape if self.layers["w1"].ndim == 3 else (0, 0, 0)
        bins = len(self.atoms)
        wanted = {
            "w1": (nets, inputs, hidden),
            "b1": (nets, 1, hidden),
            "w2": (nets, hidden, hidden),
            "b2": (nets, 1, hidden),
            "w3": (nets, hidden, bins),
            "b3": (nets, 1, bins),
        }
        shapes = {name: values.shape for name, values in self.layers.items()}
        fits = shapes == wanted and inputs == len(self.members) + 1 == len(self.centre) == len(self.scale)
        known = all(0 <= one < len(self.base.coefficients) for one in self.members)
        ordered = bins >= 3 and bool((np.diff(self.atoms) >= 0).all()) and bool((self.scale > 0).all())
        return None if fits and known and ordered else f"shapes {json.dumps({k: list(v) for k, v in shapes.items()})}"


def _silu(values: Floats) -> Floats:
    # exp of a very negative input: the result is then 0, as it should be
    with np.errstate(over="ignore"):
        return values / (1 + np.exp(-values))


def fit_network(
    base: LinearModel, members: Floats, log_true: Floats, seen: tuple[int, ...], config: MetaNetworkConfig, seed: int
) -> NetworkModel:
    """Train ``config.networks`` networks on what the base leaves over.

    AdamW under a one-cycle rate. Runs on one thread, so that the result does not depend on how many there are.

    Parameters
    ----------
    base : LinearModel
        Fitted on the same rows.
    members : ndarray of shape (n, m)
        Log prices.
    log_true : ndarray of shape (n,)
        True log prices.
    seen : tuple of int
        Columns of ``members`` that the networks see.
    """
    import torch

    torch.set_num_threads(1)  # of the calling thread
    n = len(log_true)
    start = base.predict(members)
    inputs = disagreement(base.clipped(members)[:, list(seen)], start)
    centre, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    rest = log_true - start
    label, atoms = _bins(rest, max(3, min(config.bins, n // 20)))
    x = torch.from_numpy(np.clip((inputs - centre) / scale, -_CLIP, _CLIP).astype(np.float32))
    target = torch.from_numpy(label)

    generator = torch.Generator().manual_seed(seed)
    nets, hidden = config.networks, config.hidden
    sizes = [(inputs.shape[1], hidden, 1.0), (hidden, hidden, 1.0), (hidden, len(atoms), 0.1)]
    parameters: dict[str, Any] = {}
    for number, (rows, columns, gain) in enumerate(sizes, start=1):
        draw = torch.randn(nets, rows, columns, generator=generator) * (gain / rows**0.5)
        parameters[f"w{number}"] = draw.requires_grad_()
        parameters[f"b{number}"] = torch.zeros(nets, 1, columns, requires_grad=True)
    # at least 16 steps an epoch; 50 of them overfit 5,000 noisy rows by 0.3 to 0.5 SMAPE
    batch = max(64, min(config.batch, n // 16))
    steps = config.epochs * -(-n // batch)
    optimiser = torch.optim.AdamW(parameters.values(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=steps + 1)
    silu, product = torch.nn.functional.silu, torch.baddbmm
    for _ in range(config.epochs):
        order = torch.stack([torch.randperm(n, generator=generator) for _ in range(nets)])  # (s, n)
        for first in range(0, n, batch):
            rows_of = order[:, first : first + batch]
            value = silu(product(parameters["b1"], x[rows_of], parameters["w1"]))  # (s, batch, h)
            value = silu(product(parameters["b2"], value, parameters["w2"]))
            logits = product(parameters["b3"], value, parameters["w3"])  # (s, batch, k)
            # summed over networks, so that each one's step does not depend on how many there are
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target[rows_of].flatten()) * nets
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    layers = {name: values.detach().numpy().copy() for name, values in parameters.items()}
    return NetworkModel(base, seen, centre, scale, atoms, layers)


def _bins(rest: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Bin of each row and median of each bin; bins of equally many rows, in order of the value."""
    order = np.argsort(rest, kind="stable")
    label = np.empty(len(rest), dtype=np.int64)
    label[order] = np.arange(len(rest)) * count // len(rest)
    atoms = np.array([np.median(rest[label == one]) for one in range(count)])
    return label, atoms
