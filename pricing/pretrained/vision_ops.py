"""Declares two operators of torchvision where its binary part does not load; import it before timm and transformers.

timm needs torchvision, and transformers imports it where it is installed. torchvision's PyPI build beside a CPU
build of torch cannot load its compiled part, and then fails at import with ``operator torchvision::nms does not
exist`` (then ``qnms``), because it registers shape functions for operators that nobody declared. Neither operator is
ever called here: declaring their schemas is enough for the models and transforms, which are plain Python.

Where torchvision's compiled part loads, this module does nothing. It acts on import, once a process, so every module
here that imports timm or transformers imports this one first.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None


def declare_vision_ops() -> bool:
    """Declare the schemas if they are missing; True if something had to be declared. Safe to call twice."""
    global _library
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _library is not None:
        return False
    for binary in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(binary))
        except OSError:  # linked against a CUDA build of torch
            continue
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return False
    # kept alive: the schemas go with the object
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        _library.define(_SCHEMAS[name])
    return True


declare_vision_ops()
