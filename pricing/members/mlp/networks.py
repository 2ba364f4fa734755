"""Averaged MLPs on sparse terms, numbers and embeddings, after the four that won the Mercari price challenge on 4 CPU
cores (Lopuhin and Jankiewicz 2018).

The first layer is a sum of embedding rows weighted by the TF-IDF values, so the matrix is never made dense. Terms that
no training row has are left out of it: their rows would stay the random ones that they started as. Embeddings of texts
are one more summand. The numbers scale that sum (Perez et al., "FiLM", AAAI 2018): what a word is worth depends on how
much of it there is; 0.2 better on the real rows. Batches double each epoch, which anneals like a falling rate at a
growing speed. Networks of several seeds, every second one on the mere presence of terms, are averaged.
"""

import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from pricing.errors import TrainingError
from pricing.members.mlp.mlp_settings import MLPSettings
from pricing.members.torch_parts.tensors import load_tensors, save_tensors
from pricing.metrics.smape import smape_of_logs
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

TERMS = "terms.weight"


@dataclass(frozen=True)
class Inputs:
    """What the networks read of n products."""

    terms: sparse.csr_matrix
    """(n, V) TF-IDF."""
    numbers: np.ndarray
    """(n, F) float32 standard scores."""
    vectors: np.ndarray
    """(n, D) float32 embeddings."""

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray | slice) -> Self:
        """Some of the products: positions or a slice."""
        return type(self)(self.terms[rows], self.numbers[rows], self.vectors[rows])

    def with_terms(self, terms: sparse.csr_matrix) -> Self:
        """The same products with other terms."""
        return type(self)(terms, self.numbers, self.vectors)


class MLP(nn.Module):
    """Sparse terms, numbers and embeddings -> log price in standard units.

    Parameters
    ----------
    terms : int
        Columns of the sparse matrix; 0 for none, as for the other blocks.
    numbers : int
        Columns of the numbers.
    vectors : int
        Columns of the embeddings.
    config : MLPSettings
        Widths, dropout, activation.
    """

    def __init__(self, terms: int, numbers: int, vectors: int, config: MLPSettings) -> None:
        super().__init__()
        hidden, activation = config.hidden, nn.ReLU if config.activation == "relu" else nn.GELU
        self.terms = nn.EmbeddingBag(terms, hidden[0], mode="sum", include_last_offset=True) if terms else None
        if self.terms is not None:
            nn.init.normal_(self.terms.weight, std=1.0 / np.sqrt(hidden[0]))
        self.numbers = nn.Linear(numbers, hidden[0]) if numbers else None
        self.scale = nn.Linear(numbers, hidden[0]) if numbers else None
        if self.scale is not None:
            nn.init.zeros_(self.scale.weight)
            nn.init.zeros_(self.scale.bias)
        self.vectors = nn.Linear(vectors, hidden[0]) if vectors else None
        layers: list[nn.Module] = [activation()]
        for width, following in pairwise(hidden):
            layers += [nn.Dropout(config.dropout), nn.Linear(width, following), activation()]
        if config.output_dropout:
            layers.append(nn.Dropout(config.output_dropout))
        self.rest = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    @property
    def widths(self) -> dict[str, int]:
        """Columns of the dense blocks by name."""
        blocks = {"numbers": self.numbers, "vectors": self.vectors}
        return {name: 0 if layer is None else layer.in_features for name, layer in blocks.items()}

    @torch.no_grad()
    def half_precision_terms(self) -> None:
        """Round the terms' rows to float16, in which they are stored: half the folder, prices 1e-4 off at most."""
        if self.terms is not None:
            self.terms.weight.copy_(self.terms.weight.half())

    def in_double(self) -> "MLP":
        """Return the network for prices, in double precision but for the terms, which both share.

        A bag of terms is added up row by row. The rest are products, whose last bits depend on how many rows there are:
        in double precision these differ by some 1e-15, which rounding takes away.
        """
        shared = {} if self.terms is None else {id(self.terms): self.terms}
        other = copy.deepcopy(self, shared).eval()
        for name, layer in other.named_children():
            if name != "terms":
                layer.double()
        return other

    def forward(
        self,
        indices: torch.Tensor,
        offsets: torch.Tensor,
        values: torch.Tensor,
        numbers: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """CSR pieces (nnz,), (B + 1,), (nnz,), numbers (B, F), embeddings (B, D) -> (B,), of the numbers' type."""
        hidden = numbers.new_zeros(len(numbers), 1)
        if self.terms is not None:
            hidden = self.terms(indices, offsets, per_sample_weights=values).to(numbers.dtype)  # (B, hidden[0])
        if self.vectors is not None:
            hidden = hidden + self.vectors(vectors)
        if self.numbers is not None and self.scale is not None:
            hidden = hidden * (1 + self.scale(numbers)) + self.numbers(numbers)
        return self.rest(hidden).squeeze(-1)


class MLPEnsemble:
    """The averaged networks.

    Parameters
    ----------
    member : str
        Whose they are; errors name its settings.
    config : MLPSettings
        Widths, epochs, batches, seeds.
    """

    def __init__(self, member: str, config: MLPSettings) -> None:
        self.member, self.config = member, config
        self.networks = nn.ModuleList()
        self.kept = np.empty(0, np.int64)
        self._places: np.ndarray | None = None
        self._priced: list[MLP] = []
        self.mean, self.std = 0.0, 1.0
        self.curves: list[dict[str, Any]] = []

    def fit(
        self, rows: Inputs, log_price: np.ndarray, seed: int, *, valid: tuple[Inputs, np.ndarray] | None = None
    ) -> "MLPEnsemble":
        """Train on n products and their log prices (n,); ``valid`` is only scored.

        Raises
        ------
        TrainingError
            The loss is not finite.
        """
        config = self.config
        self.kept = np.unique(rows.terms.indices).astype(np.int64)
        self.mean, self.std = float(log_price.mean()), float(log_price.std() or 1.0)
        target = torch.from_numpy(((log_price - self.mean) / self.std).astype(np.float32))
        known, scored = self._known(rows), valid and (self._known(valid[0]), valid[1])
        for number in range(config.seeds):
            torch.manual_seed(seed * 1000 + number)
            rng = np.random.default_rng([seed, number])
            network = self._network(rows.numbers.shape[1], rows.vectors.shape[1])
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
            seen = self._view(known, number)
            for epoch in range(config.epochs):
                self._epoch(network, optimizer, seen, target, config.batch_size << epoch, rng)
                if scored is not None:
                    value = smape_of_logs(
                        self._predict_one(network.in_double(), self._view(scored[0], number)), scored[1]
                    )
                    self.curves.append(
                        {"round": epoch + 1, "split": f"valid_{number}", "metric": "smape", "value": value}
                    )
            network.half_precision_terms()
            self.networks.append(network.eval())
        return self

    def _network(self, numbers: int, vectors: int) -> MLP:
        return MLP(len(self.kept), numbers, vectors, self.config)

    def _epoch(
        self,
        network: MLP,
        optimizer: torch.optim.Optimizer,
        seen: Inputs,
        target: torch.Tensor,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        network.train()
        order = rng.permutation(len(seen))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            prediction = network(*_tensors(seen.take(rows), torch.float32))
            delta = self.config.huber_delta / self.std  # the threshold is in log price
            loss = F.huber_loss(prediction, target[torch.from_numpy(rows)], delta=delta)
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss is not finite; lower members.{self.member}.learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    @torch.inference_mode()
    def _predict_one(self, network: MLP, seen: Inputs) -> np.ndarray:
        """Log prices (n,) by a network that `MLP.in_double` made ready."""
        parts = [
            network(*_tensors(seen.take(slice(start, start + 1024)), torch.float64)).numpy()
            for start in range(0, len(seen), 1024)
        ]
        return np.concatenate([*parts, np.empty(0)]) * self.std + self.mean

    def predict(self, rows: Inputs) -> np.ndarray:
        """Mean log price (n,) float64 over the networks, to 8 decimals.

        A row's price is the same to the last bit whatever other rows stand beside it.
        """
        known = self._known(rows)
        views = [self._view(known, number) for number in range(min(2, len(self.networks)))]
        if len(self._priced) < len(self.networks):
            networks: Any = self.networks
            self._priced = [network.in_double() for network in networks]
        each = [self._predict_one(network, views[number % 2]) for number, network in enumerate(self._priced)]
        return np.asarray(np.round(np.mean(each, axis=0), 8))

    def _known(self, rows: Inputs) -> Inputs:
        """The products with the terms of `kept` alone, without a pass over all terms that there are."""
        terms = rows.terms
        if self._places is None:
            self._places = np.full(terms.shape[1], -1)
            self._places[self.kept] = np.arange(len(self.kept))
        places = self._places[terms.indices]
        known = places >= 0
        indptr = np.concatenate([[0], np.cumsum(known)])[terms.indptr]
        shape = (len(rows), len(self.kept))
        return rows.with_terms(sparse.csr_matrix((terms.data[known], places[known], indptr), shape=shape))

    def _view(self, rows: Inputs, number: int) -> Inputs:
        """What the network of this number reads of known terms: the values, or for odd numbers presence scaled to unit
        length."""
        if number % 2 == 0:
            return rows
        terms = rows.terms
        counts = np.diff(terms.indptr)
        values = np.repeat(1.0 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
        return rows.with_terms(sparse.csr_matrix((values, terms.indices, terms.indptr), shape=terms.shape))

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
        first: Any = self.networks[0]
        record = {"config": self.config.model_dump(mode="json"), "mean": self.mean, "std": self.std}
        write_json(folder / "networks.json", record | first.widths)

    @classmethod
    def load(cls, folder: Path, member: str, settings: type[MLPSettings]) -> "MLPEnsemble":
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            A file is missing or damaged.
        """
        state = load_tensors(folder / "networks.safetensors")
        with reading(folder, "averaged MLPs"):
            record = read_json(folder / "networks.json")
            ensemble = cls(member, settings.model_validate(record["config"]))
            ensemble.kept = state.pop("kept").numpy().astype(np.int64)
            ensemble.mean, ensemble.std = float(record["mean"]), float(record["std"])
            widths = int(record["numbers"]), int(record["vectors"])
            ensemble.networks.extend(ensemble._network(*widths) for _ in range(ensemble.config.seeds))
            ensemble.networks.load_state_dict(state)
            ensemble.networks.eval()
        return ensemble


def _tensors(rows: Inputs, kind: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return what `MLP.forward` takes; the dense blocks of the given type."""
    terms = rows.terms
    indices, offsets = (torch.from_numpy(array.astype(np.int64)) for array in (terms.indices, terms.indptr))
    values = torch.from_numpy(terms.data.astype(np.float32))
    return indices, offsets, values, *(torch.from_numpy(block).to(kind) for block in (rows.numbers, rows.vectors))
