"""Every property that the project's plan names is a Hypothesis test that says so in its first line."""

import ast
import re
from pathlib import Path

PLANNED = (
    "Batch download consistency", "Resume from interruption", "Retry with exponential backoff",
    "Corrupted image detection", "IPQ extraction determinism", "Text statistics correctness",
    "Keyword detection completeness", "TF-IDF transformation consistency", "Unit normalization reversibility",
    "Feature serialization round-trip", "Checkpoint completeness", "Training resumption continuity",
    "Checkpoint cleanup policy", "LoRA parameter efficiency", "Multimodal forward pass shape consistency",
    "Tabular feature projection", "Learning rate schedule monotonicity", "Gradient accumulation correctness",
    "Gradient clipping enforcement", "EMA update consistency", "Best model selection", "GBDT model serialization",
    "GBDT prediction completeness", "Meta-feature stacking correctness", "Level-2 weight normalization",
    "Isotonic calibration monotonicity", "Ensemble artifact completeness", "Data merge correctness",
    "Tokenization length constraint", "Image transformation shape", "Data augmentation conditional application",
    "NaN filling completeness", "Image loading fallback", "SMAPE formula correctness", "Log space conversion",
    "Metrics completeness", "Quantile SMAPE stratification", "Configuration path completeness",
    "Configuration hyperparameter completeness", "Feature engineering config completeness",
    "Submission format correctness", "Submission completeness", "Submission log space conversion",
)  # fmt: skip
"""Properties 1 to 43."""


def hypothesis_tests() -> dict[tuple[int, str], list[str]]:
    """Number and title of each property to the Hypothesis tests of it."""
    found: dict[tuple[int, str], list[str]] = {}
    for path in sorted(Path(__file__).parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            said = re.match(r"Property (\d+): ([^.]+)\.", ast.get_docstring(node) or "")
            if said and any(ast.unparse(one).startswith("given(") for one in node.decorator_list):
                found.setdefault((int(said[1]), said[2]), []).append(f"{path.name}: {node.name}")
    return found


def test_every_property_of_the_plan_is_tested() -> None:
    found = hypothesis_tests()
    assert len(PLANNED) == 43
    assert [one for one in enumerate(PLANNED, start=1) if one not in found] == []
    assert [one for one in found if one not in set(enumerate(PLANNED, start=1))] == []
