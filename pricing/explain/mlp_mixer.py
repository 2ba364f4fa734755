"""Averaged MLPs asked about mixtures of products: their first layer is a sum over groups, and only the rest is run."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pricing.explain.mixing import Groups, Mixer, mixed, spread, spread_terms
from pricing.members.fold_rows import Rows
from pricing.members.mlp.mlp_member import MLPMember
from pricing.members.mlp.networks import MLP, Inputs

Layer = dict[str, NDArray[np.float32]]
"""What each group adds to the first layer, by block, (n, k, h); under ``count`` how many terms it has, (n, k, 1)."""


class MLPMixer(Mixer):
    """Mixtures for the networks of a member; single precision, some 1e-6 in log price.

    Parameters
    ----------
    member : MLPMember
        The networks.
    start : Rows
        b rows that are mixed with.
    groups : Groups
        k groups.
    """

    def __init__(self, member: MLPMember, start: Rows, groups: Groups) -> None:
        self.member, ensemble = member, member.ensemble
        self.count = groups.count
        scaler, schema = member.scaler, start.features.schema
        names = () if scaler is None else (*scaler.numeric, *(name for name, _ in scaler.levels))
        self.numbers = groups.of(names)
        blocks = [groups.text] * bool(schema.embedding) + [groups.parts[part] for part in schema.parts]
        self.vectors = np.repeat(np.array(blocks, dtype=np.int64), schema.embedding)
        self.terms = groups.terms[ensemble.kept].astype(np.float32)
        self.networks: list[Any] = list(ensemble.networks)
        inputs = member.inputs(start)
        self.start = list(self._first(inputs))
        self.read = np.zeros(self.count, dtype=bool)
        self.read[self.numbers] = True
        if inputs.vectors.shape[1]:
            self.read[self.vectors] = True
        if inputs.terms.shape[1]:
            self.read |= np.asarray(self.terms.sum(axis=0)).ravel() > 0

    def values(self, rows: Rows, coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return log prices of mixtures, as in `Mixer.values`."""
        inside, ensemble = coalitions.astype(np.float32), self.member.ensemble
        found = np.zeros((len(rows), len(coalitions)))
        layers = zip(self.networks, self._first(self.member.inputs(rows)), self.start, strict=True)
        for network, layer, start in layers:
            for row in range(len(rows)):
                sums = {name: mixed(inside, block[row], start[name]) for name, block in layer.items()}
                found[row] += _rest(network, sums).mean(axis=0)
        return found / len(self.networks) * ensemble.std + ensemble.mean

    def _first(self, inputs: Inputs) -> Iterator[Layer]:
        """The first layer of each network apart by group, without its biases."""
        kept = self.member.ensemble.kept
        terms = spread_terms(inputs.terms[:, kept], self.terms) if inputs.terms.shape[1] else None
        there = None
        if terms is not None:  # a term that two groups share counts for both by halves
            there = terms.copy()
            ones = inputs.terms[:, kept]
            ones.data = np.ones_like(ones.data)
            there = spread_terms(ones, self.terms)
        numbers = spread(inputs.numbers, self.numbers, self.count) if inputs.numbers.shape[1] else None
        vectors = spread(inputs.vectors, self.vectors, self.count) if inputs.vectors.shape[1] else None
        for number, network in enumerate(self.networks):
            layer: Layer = {}
            if network.terms is not None and terms is not None and there is not None:
                seen = terms if number % 2 == 0 else there
                layer["terms"] = (seen @ _weight(network.terms)).reshape(len(inputs), self.count, -1)
                if number % 2:
                    layer["count"] = np.asarray(there.sum(axis=1)).reshape(len(inputs), self.count, 1)
            if network.vectors is not None and vectors is not None:
                layer["vectors"] = vectors @ _weight(network.vectors).T
            if network.numbers is not None and network.scale is not None and numbers is not None:
                layer["numbers"] = numbers @ _weight(network.numbers).T
                layer["scale"] = numbers @ _weight(network.scale).T
            yield layer


@torch.inference_mode()
def _rest(network: MLP, sums: Layer) -> NDArray[np.float32]:
    """From the first layer's sums (b, c, h) to what the network says, (b, c); as `MLP.forward`."""
    tensors = {name: torch.from_numpy(block) for name, block in sums.items()}
    hidden = torch.zeros(1)
    if "terms" in tensors:
        hidden = tensors["terms"]
        if "count" in tensors:
            hidden = hidden / tensors["count"].clamp_min(1).sqrt()
    if network.vectors is not None:
        hidden = hidden + tensors["vectors"] + network.vectors.bias
    if network.numbers is not None and network.scale is not None:
        scale = 1 + tensors["scale"] + network.scale.bias
        hidden = hidden * scale + tensors["numbers"] + network.numbers.bias
    return np.asarray(network.rest(hidden).squeeze(-1).numpy())


def _weight(layer: torch.nn.Module) -> NDArray[np.float32]:
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return np.asarray(weight.detach().numpy())
