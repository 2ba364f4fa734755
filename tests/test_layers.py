"""The arrows: flows -> tasks -> pricing, and never back."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize(("room", "forbidden"), [("pricing", ("prefect", "tasks", "flows")), ("tasks", ("flows",))])
def test_no_arrow_points_back(room: str, forbidden: tuple[str, ...]) -> None:
    for path in (ROOT / room).rglob("*.py"):
        wrong = {name for name in imports(path) if name.split(".")[0] in forbidden}
        assert not wrong, f"{path}: {wrong}"


@pytest.mark.parametrize("room", ["catalogue", "config"])
def test_the_ground_floor_knows_no_stage(room: str) -> None:
    stages = ("pricing.features", "pricing.members", "pricing.ensemble", "pricing.report")
    for path in (ROOT / "pricing" / room).rglob("*.py"):
        assert not {name for name in imports(path) if name.startswith(stages)}, path


def test_nothing_that_is_loaded_can_execute_code() -> None:
    for path in (ROOT / "pricing").rglob("*.py"):
        assert not imports(path) & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "eval", "exec"):
                assert "weights_only=True" in ast.unparse(node), path


def test_the_command_line_starts_without_prefect_and_torch() -> None:
    code = "import sys, flows.cli; print([name for name in ('prefect', 'torch', 'lightgbm') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
