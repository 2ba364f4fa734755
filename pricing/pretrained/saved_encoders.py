"""The pretrained encoders of a run, saved once: the encode stage, the trainings and every prediction load these copies.

So a run needs its package, folder or hub only while it encodes, and its model folder carries what it prices with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pricing.pretrained.vision_ops  # noqa: F401  # isort: skip  # before timm

import timm
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from pricing.errors import WeightsError
from pricing.pretrained.weights import (
    Source,
    find_encoder,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
    tensors_sha256,
)  # fmt: skip
from pricing.store.permissions import apply_umask

Kind = Literal["text", "image"]


@dataclass(frozen=True)
class SavedEncoders:
    """Encoders in ``folder``, each in a folder named by the first 16 digits of its tensors' SHA-256.

    Attributes
    ----------
    folder : Path
        ``encoders`` of an encode stage's output or of a run's model folder.
    records : mapping
        "text" and "image": name, origin, sha256 (of the tensors) and parameters; None where there is no such encoder.
    """

    folder: Path
    records: Mapping[str, Any]

    @classmethod
    def save(cls, text: str | None, image: str | None, folder: Path) -> "SavedEncoders":
        """Find encoders by their names and write them, as ``save_pretrained`` and timm do, into a new folder.

        Parameters
        ----------
        text, image : str or None
            As `find_encoder` takes them; None for no such encoder.
        folder : Path
            Made here.

        Raises
        ------
        WeightsError
            An encoder cannot be found; names the ways out.
        """
        folder.mkdir()
        records: dict[str, Any] = {"text": None, "image": None}
        with torch.random.fork_rng(devices=[]):
            # a checkpoint without a pooler gets a random one: the same in every run
            torch.manual_seed(0)
            if text is not None:
                source = find_encoder(text, "text")
                encoder: Any = load_text_encoder(source)
                records["text"] = record = _describe(source, encoder)
                encoder.save_pretrained(_folder(folder, record))
                load_tokenizer(source).save_pretrained(_folder(folder, record))
            if image is not None:
                source = find_encoder(image, "image")
                encoder = load_image_encoder(source)
                records["image"] = record = _describe(source, encoder)
                timm.models.save_for_hf(encoder, str(_folder(folder, record)), safe_serialization=True)
        apply_umask(folder)
        return cls(folder, records)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer beside the text encoder."""
        return load_tokenizer(self.source("text"))

    def text(self) -> nn.Module:
        """The whole text encoder in float32, in evaluation mode.

        Raises
        ------
        WeightsError
            Its folder is missing or damaged, or holds other tensors than the recorded ones.
        """
        return self._checked("text", load_text_encoder(self.source("text")))

    def image(self) -> nn.Module:
        """The image encoder without its classifier, in float32, in evaluation mode; raises as `text` does."""
        return self._checked("image", load_image_encoder(self.source("image")))

    def source(self, kind: Kind) -> Source:
        """Where a saved encoder lies; what lies there is not checked yet.

        Raises
        ------
        WeightsError
            Its folder is missing.
        """
        record = self.records[kind]
        path = _folder(self.folder, record)
        if not path.is_dir():
            raise WeightsError(
                f"{kind} encoder {record['name']} is not in {path}; copy the run's whole model folder, or rebuild the "
                "encode stage"
            )
        return Source(record["name"], "folder", path)

    def _checked(self, kind: Kind, encoder: nn.Module) -> nn.Module:
        record = self.records[kind]
        found = tensors_sha256(encoder.state_dict())
        # another encoder's prices look like prices too
        if found != record["sha256"]:
            raise WeightsError(
                f"{kind} encoder {record['name']} in {_folder(self.folder, record)}: tensors hash to {found[:12]}, "
                f"expected {record['sha256'][:12]}; copy the run's whole model folder again"
            )
        return encoder


def _folder(folder: Path, record: Mapping[str, Any]) -> Path:
    return folder / record["sha256"][:16]


def _describe(source: Source, encoder: nn.Module) -> dict[str, Any]:
    """What is written beside a trained model: name, origin, hash of the tensors and their number.

    A folder's path says nothing on another machine, and would make outputs differ; the hash identifies it.
    """
    state = encoder.state_dict()
    record = {"name": "local" if source.origin == "folder" else source.name, "origin": source.origin}
    return record | {"sha256": tensors_sha256(state), "parameters": sum(one.numel() for one in state.values())}
