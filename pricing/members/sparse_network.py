"""A sparse MLP on TF-IDF, after the four that won the Mercari price challenge on 4 CPU cores (Lopuhin and Jankiewicz
2018).

The first layer is a sum of embedding rows weighted by the TF-IDF values, so the matrix is never made dense. Terms that
no training row has are left out of it: their rows would stay the random ones that they started as. The numbers scale
that sum (Perez et al., "FiLM", AAAI 2018): what a word is worth depends on how much of it there is; 0.2 better on the
real rows. Batches double each epoch, which anneals like a falling rate at a growing speed. Networks of several seeds,
every second one on the mere presence of terms, are averaged.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from pricing.errors import TrainingError
from pricing.members.sparse_mlp import SparseMLPSettings
from pricing.members.torch_parts.tensors import load_tensors, save_tensors
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

TERMS = "terms.weight"


class SparseMLP(nn.Module):
    """Sparse terms and dense numbers -> log price in standard units.

    Parameters
    ----------
    terms : int
        Columns of the sparse matrix.
    numbers : int
        Columns of the dense block; 0 for none.
    hidden : tuple of int
        Widths.
    dropout : float
        Between layers.
    """

    def __init__(self, terms: int, numbers: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.terms = nn.EmbeddingBag(terms, hidden[0], mode="sum", include_last_offset=True)
        nn.init.normal_(self.terms.weight, std=1.0 / np.sqrt(hidden[0]))
        self.numbers = nn.Linear(numbers, hidden[0]) if numbers else None
        self.scale = nn.Linear(numbers, hidden[0]) if numbers else None
        if self.scale is not None:
            nn.init.zeros_(self.scale.weight)
            nn.init.zeros_(self.scale.bias)
        layers: list[nn.Module] = [nn.ReLU()]
        for width, following in pairwise(hidden):
            layers += [nn.Dropout(dropout), nn.Linear(width, following), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    @torch.no_grad()
    def half_precision_terms(self) -> None:
        """Round the terms' rows to float16, in which they are stored: half the folder, prices 1e-4 off at most."""
        self.terms.weight.copy_(self.terms.weight.half())

    def forward(
        self, indices: torch.Tensor, offsets: torch.Tensor, values: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """CSR pieces (nnz,), (B + 1,), (nnz,), numbers (B, F) -> (B,), of the numbers' type."""
        hidden = self.terms(indices, offsets, per_sample_weights=values).to(numbers.dtype)  # (B, hidden[0])
        if self.numbers is not None and self.scale is not None:
            hidden = hidden * (1 + self.scale(numbers)) + self.numbers(numbers)
        return self.rest(hidden).squeeze(-1)


class SparseMLPEnsemble:
    """The averaged networks.

    Parameters
    ----------
    config : SparseMLPSettings
        Widths, epochs, batches, seeds.
    """

    def __init__(self, config: SparseMLPSettings) -> None:
        self.config = config
        self.networks = nn.ModuleList()
        self.kept = np.empty(0, np.int64)
        self.mean, self.std = 0.0, 1.0
        self.curves: list[dict[str, Any]] = []

    def fit(
        self,
        terms: sparse.csr_matrix,
        numbers: np.ndarray,
        log_price: np.ndarray,
        seed: int,
        *,
        valid: tuple[sparse.csr_matrix, np.ndarray, np.ndarray] | None = None,
    ) -> "SparseMLPEnsemble":
        """Train on terms (n, V), numbers (n, F) float32 and log prices (n,); ``valid`` is only scored.

        Raises
        ------
        TrainingError
            The loss is not finite.
        """
        config = self.config
        self.kept = np.unique(terms.indices).astype(np.int64)
        terms = terms[:, self.kept]
        if valid is not None:
            valid = valid[0][:, self.kept], valid[1], valid[2]
        self.mean, self.std = float(log_price.mean()), float(log_price.std() or 1.0)
        target = torch.from_numpy(((log_price - self.mean) / self.std).astype(np.float32))
        for number in range(config.seeds):
            torch.manual_seed(seed * 1000 + number)
            rng = np.random.default_rng([seed, number])
            network = SparseMLP(terms.shape[1], numbers.shape[1], config.hidden, config.dropout)
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
            matrix = _view(terms, number)
            for epoch in range(config.epochs):
                self._epoch(network, optimizer, matrix, numbers, target, config.batch_size << epoch, rng)
                if valid is not None:
                    prediction = self._predict_one(network, _view(valid[0], number), valid[1])
                    value = smape_of_logs(prediction, valid[2])
                    self.curves.append(
                        {"round": epoch + 1, "split": f"valid_{number}", "metric": "smape", "value": value}
                    )
            network.half_precision_terms()
            self.networks.append(network.eval())
        return self

    def _epoch(
        self,
        network: SparseMLP,
        optimizer: torch.optim.Optimizer,
        matrix: sparse.csr_matrix,
        numbers: np.ndarray,
        target: torch.Tensor,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        network.train()
        order = rng.permutation(matrix.shape[0])
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            prediction = network(*_pieces(matrix[rows]), torch.from_numpy(numbers[rows]))
            delta = self.config.huber_delta / self.std  # the threshold is in log price
            loss = F.huber_loss(prediction, target[torch.from_numpy(rows)], delta=delta)
            if not torch.isfinite(loss):
                raise TrainingError("the sparse MLP's loss is not finite; lower members.sparse_mlp.learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    @torch.inference_mode()
    def _predict_one(self, network: nn.Module, matrix: sparse.csr_matrix, numbers: np.ndarray) -> np.ndarray:
        network.eval()
        # a bag of terms is added up row by row; the rest are products, whose last bits depend on how many rows there
        # are, so they are of double precision, and `predict` rounds the difference of some 1e-15 away
        double = {name: tensor.double() for name, tensor in network.state_dict().items() if name != TERMS}
        parts = []
        for start in range(0, matrix.shape[0], 1024):
            dense = torch.from_numpy(numbers[start : start + 1024].astype(np.float64))
            parts.append(functional_call(network, double, (*_pieces(matrix[start : start + 1024]), dense)).numpy())
        return np.concatenate([*parts, np.empty(0)]) * self.std + self.mean

    def predict(self, terms: sparse.csr_matrix, numbers: np.ndarray) -> np.ndarray:
        """Mean log price (n,) float64 over the networks, to 8 decimals; terms as in `fit`.

        A row's price is the same to the last bit whatever other rows stand beside it.
        """
        terms = terms[:, self.kept]
        each = [self._predict_one(net, _view(terms, number), numbers) for number, net in enumerate(self.networks)]
        return np.asarray(np.round(np.mean(each, axis=0), 8))

    def count_parameters(self) -> int:
        """Return the number of parameters of all networks."""
        return sum(parameter.numel() for parameter in self.networks.parameters())

    def save(self, folder: Path) -> None:
        """Write the networks' tensors and their shape into an existing folder."""
        # exact: these rows were rounded to float16 when the training ended
        tensors = self.networks.state_dict()
        state = {name: tensor.half() if name.endswith(TERMS) else tensor for name, tensor in tensors.items()}
        state["kept"] = torch.from_numpy(self.kept.astype(np.int32))
        save_tensors(state, folder / "networks.safetensors")
        first: Any = self.networks[0].numbers
        record = {"config": self.config.model_dump(mode="json"), "mean": self.mean, "std": self.std}
        write_json(folder / "networks.json", record | {"numbers": first.in_features if first is not None else 0})

    @classmethod
    def load(cls, folder: Path) -> "SparseMLPEnsemble":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing or damaged.
        """
        state = load_tensors(folder / "networks.safetensors")
        with reading(folder, "sparse MLPs"):
            record = read_json(folder / "networks.json")
            config = SparseMLPSettings.model_validate(record["config"])
            ensemble = cls(config)
            ensemble.kept = state.pop("kept").numpy().astype(np.int64)
            ensemble.mean, ensemble.std = float(record["mean"]), float(record["std"])
            shape = len(ensemble.kept), record["numbers"], config.hidden, config.dropout
            ensemble.networks.extend(SparseMLP(*shape) for _ in range(config.seeds))
            ensemble.networks.load_state_dict(state)
            ensemble.networks.eval()
        return ensemble


def _view(terms: sparse.csr_matrix, number: int) -> sparse.csr_matrix:
    """What the network of this number reads: the values, or for odd numbers presence scaled to unit length."""
    if number % 2 == 0:
        return terms
    counts = np.diff(terms.indptr)
    values = np.repeat(1.0 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return sparse.csr_matrix((values, terms.indices, terms.indptr), shape=terms.shape)


def _pieces(rows: sparse.csr_matrix) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    indices, offsets = (torch.from_numpy(array.astype(np.int64)) for array in (rows.indices, rows.indptr))
    return indices, offsets, torch.from_numpy(rows.data.astype(np.float32))
