"""The rooms of the house and the arrows between them: one table, which CONTRIBUTING.md shows too.

``python tests/test_layers.py`` writes the table into CONTRIBUTING.md.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("flows", "tasks", "pricing")
LOOSE = 6
"""Maximum number of modules of pricing/ outside of its rooms."""

GROUND = "store", "config", "metrics", "errors"
ARROWS: dict[str, tuple[str, ...]] = {
    "flows": ("tasks", "command", "pricing", "plan", "run", "report", "configuration", "members", "download", "sample",
              "run_display", "run_progress", *GROUND),
    "tasks": ("plan", "run_progress", *GROUND),
    "command": ("serve", "pricing", "run", "report", "configuration", "download", "catalogue", "run_display",
                "run_progress", *GROUND),
    "serve": ("run", "configuration", "download", "catalogue", *GROUND),
    "pricing": ("pricer", "configuration", "errors"),
    "pricer": ("plan", "run", "report", "configuration", "members", "features", "download", "catalogue", "run_display",
               "run_progress", *GROUND),
    "plan": ("run", "report", "ensemble", "configuration", "members", "features", "download", "sample", "catalogue",
             "run_display", "run_progress", *GROUND),
    "run": ("report", "explain", "ensemble", "configuration", "members", "features", "pretrained", "download",
            "catalogue", "run_progress", "libraries", *GROUND),
    "explain": ("members", "features", "catalogue", *GROUND),
    "report": ("ensemble", "features", "catalogue", *GROUND),
    "ensemble": ("members", "catalogue", *GROUND),
    "configuration": ("members", "config", "errors"),
    "members": ("features", "pretrained", "download", "catalogue", "libraries", *GROUND),
    "features": ("pretrained", "catalogue", *GROUND),
    "pretrained": ("catalogue", *GROUND),
    "download": ("catalogue", *GROUND),
    "sample": ("catalogue", *GROUND),
    "catalogue": GROUND,
    "run_display": ("run_progress",),
    "run_progress": ("store",),
    "store": ("libraries", "config", "metrics", "errors"),
    "libraries": ("errors",),
    "config": ("metrics", "errors"),
    "metrics": ("errors",),
    "errors": (),
}  # fmt: skip
"""Room to the rooms that it may import, the highest first: a folder or a loose module of pricing/, or another package.

``pricing`` is the package itself: what ``from pricing import`` gives.
"""
NAMED = re.compile(r"(pricing(?:\.\w+)+):\w+")
"""A function or class by its name, as the plan and the registry give it: an import too."""


def sources() -> Iterator[tuple[Path, str, ast.Module]]:
    """Every module with its room."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, room_of(".".join(path.relative_to(ROOT).with_suffix("").parts)), parsed(path)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return room if package == "pricing" and room not in ("", "__init__") else package


def imports(tree: ast.Module) -> set[str]:
    """Names of imported modules, those for type checks and those that a string names among them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pricing":
            rooms = {f"pricing.{alias.name}" for alias in node.names}
            found |= {name if room_of(name) in ARROWS else "pricing" for name in rooms}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (named := NAMED.fullmatch(node.value)):
            found.add(named[1])
    return found


def shown() -> str:
    """The table as CONTRIBUTING.md shows it."""
    rows = [f"| `{room}` | {', '.join(allowed) or 'nothing'} |" for room, allowed in ARROWS.items()]
    return "\n".join(["| room | may import |", "| --- | --- |", *rows])


MARKS = "<!-- arrows: written by python tests/test_layers.py -->\n", "\n<!-- end of arrows -->"


def test_no_arrow_is_missing_from_the_table() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {room} -> {there} ({module})"
        for path, room, tree in sources()
        for module in sorted(imports(tree))
        if module.split(".")[0] in PACKAGES and (there := room_of(module)) not in (room, *ARROWS[room])
    ]
    assert wrong == []


def test_arrows_point_down_between_rooms_that_exist() -> None:
    order = list(ARROWS)
    assert set(order) == {room for _, room, _ in sources()}
    assert [(room, there) for room in order for there in ARROWS[room] if order.index(there) <= order.index(room)] == []


def test_the_library_knows_no_prefect() -> None:
    for path, room, tree in sources():
        if room not in ("flows", "tasks"):
            assert not {name for name in imports(tree) if name.split(".")[0] == "prefect"}, path


def test_few_modules_stand_outside_of_the_rooms() -> None:
    loose = sorted(path.stem for path in (ROOT / "pricing").glob("*.py") if path.stem != "__init__")
    assert len(loose) <= LOOSE, loose


def test_no_two_files_have_one_name() -> None:
    stems = Counter(path.stem for path, _, _ in sources() if path.stem != "__init__")
    assert {stem for stem, count in stems.items() if count > 1} == set()


def test_images_are_called_images() -> None:
    """But for names on users' disks, and the file that every sample link is a hash of."""
    kept = re.compile(
        r"not_a_picture|pictures-\{|(TABLE|EXISTS|INTO|FROM) pictures|table_info\(pictures\)|^ *# \"pictures\""
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path, _, _ in sources() if path.stem != "drawing"
        for line in path.read_text(encoding="utf-8").splitlines() if "picture" in kept.sub("", line).lower()
    ]  # fmt: skip
    assert found == []


def test_contributing_shows_the_table() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    there = text.partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert there == shown(), "run python tests/test_layers.py"


def test_nothing_that_is_loaded_can_execute_code() -> None:
    for path, room, tree in sources():
        if room in ("flows", "tasks"):
            continue
        assert not imports(tree) & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "eval", "exec"):
                assert "weights_only=True" in ast.unparse(node), path


@pytest.mark.parametrize("module", ["flows.cli", "pricing"])
def test_it_starts_without_prefect_and_torch(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('prefect', 'torch', 'lightgbm') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    path = ROOT / "CONTRIBUTING.md"
    before, _, after = path.read_text(encoding="utf-8").partition(MARKS[0])
    path.write_text(before + MARKS[0] + shown() + MARKS[1] + after.partition(MARKS[1])[2], encoding="utf-8")
