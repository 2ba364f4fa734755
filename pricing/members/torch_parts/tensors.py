"""Saving and loading: safetensors for tensors, JSON for the rest; nothing that is read can execute code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pricing.errors import ArtifactError
from pricing.store.artifacts import read_json, write_json
from pricing.store.permissions import apply_umask
from pricing.store.tables import reading

WEIGHTS, CONFIG = "model.safetensors", "model.json"


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What training may have changed: parameters that require a gradient, and buffers."""
    state = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    persistent = set(model.state_dict())
    return state | {name: b.detach() for name, b in model.named_buffers() if name in persistent}


def save_model(model: nn.Module, folder: Path, config: Mapping[str, Any]) -> None:
    """Write a model's trained tensors (model.safetensors) and its configuration (model.json) into an existing folder.

    Equal weights give equal bytes.
    """
    save_tensors({name: tensor.cpu().clone() for name, tensor in trained_state(model).items()}, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


def load_model(model: nn.Module, folder: Path) -> dict[str, Any]:
    """Put saved tensors into a model of the same shape; return the configuration beside them.

    Raises
    ------
    ArtifactError
        A file is missing, damaged or poisoned, or its tensors are not those that this model trains.
    """
    put_trained(model, load_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return read_config(folder)


def put_trained(model: nn.Module, state: Mapping[str, torch.Tensor], source: Path) -> None:
    """Put what `trained_state` gave into a model of the same shape.

    Raises
    ------
    ArtifactError
        Names or shapes are not those that this model trains; it is left as it was. Names ``source``.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in trained_state(model).items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))[:3]
        raise ArtifactError(f"{source}: tensors are not those of this model, first differences {wrong}")
    model.load_state_dict(state, strict=False)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration beside a model.

    Raises
    ------
    ArtifactError
        Missing or not JSON.
    """
    with reading(folder / CONFIG, "a model's configuration"):
        return dict(read_json(folder / CONFIG))


def save_tensors(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors on the CPU as safetensors, with the permissions of any new file; equal tensors give equal bytes."""
    save_file({name: tensor.contiguous() for name, tensor in sorted(state.items())}, path)
    apply_umask(path)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises
    ------
    ArtifactError
        Missing, damaged, or another format (a pickle among them).
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: cannot be read as safetensors ({error}); train this stage again") from None


def pack(tree: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Take the tensors out of a nested state into ``tensors``; what is left is plain JSON.

    Dictionaries keep integer keys and tuples stay tuples, which an optimiser's state needs.
    """
    if isinstance(tree, torch.Tensor):
        # numbered: the keys 1 and "1", or "a/b" and "b" in "a", make equal paths
        name = f"{len(tensors)}{path}"
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(tree, Mapping):
        return {"dict": [[key, pack(value, tensors, f"{path}/{key}")] for key, value in tree.items()]}
    if isinstance(tree, tuple | list):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [pack(value, tensors, f"{path}/{index}") for index, value in enumerate(tree)]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"value": tree}
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(tree).__name__} (at {path})")


def unpack(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The inverse of `pack`."""
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: unpack(item, tensors) for key, item in value}
    if kind in ("tuple", "list"):
        items = [unpack(item, tensors) for item in value]
        return tuple(items) if kind == "tuple" else items
    if kind == "value":
        return value
    raise KeyError(f"unknown kind {kind!r}")
