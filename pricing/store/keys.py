"""The key of an output: what made it, in a form that hashes alike in every process."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pricing.store.codehash import code_digests, library_versions
from pricing.store.references import Reference, file_digest


def key_parts(
    step: str, entries: str | Sequence[str], inputs: Mapping[str, Any], digest: Callable[[Path], str] = file_digest
) -> dict[str, Any]:
    """What makes a stage's output, in a form that hashes alike in every process.

    Parameters
    ----------
    step : str
        Name of the step.
    entries : str or sequence of str
        Dotted names of the modules that do the work.
    inputs : mapping
        The stage's arguments: References count by digest, configuration sections by value, files (Path) by
        content; anything else must be JSON.
    digest : callable
        Returns the SHA-256 of a file's content; see `pricing.store.digests` for one that remembers it.
    """
    modules = [entries] if isinstance(entries, str) else entries
    return {
        "step": step,
        "inputs": {name: _canonical(value, digest) for name, value in sorted(inputs.items())},
        "code": code_digests(*modules),
        "versions": library_versions(*modules),
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of the key parts, 32 hexadecimal digits of it."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _canonical(value: Any, digest: Callable[[Path], str]) -> Any:
    if isinstance(value, Reference):
        return {"stage": value.stage.value, "digest": value.digest}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return {"file": digest(value)}
    if isinstance(value, Mapping):
        return {str(name): _canonical(item, digest) for name, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_canonical(item, digest) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a cache key")
