"""A member's name stands in its own code, in the registry, with the tuning and in presets, and nowhere else in code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pricing.members.registry import MEMBERS, member_class, member_line
from tests.test_layers import ROOT, imports, sources

MEMBERS_ROOM = "pricing.members."
EVERYWHERE = ("pricing/members/registry.py", "pricing/members/tuning/")
"""Where members are listed, and where their settings are searched."""
ALSO = {
    # ridge regression is a technique of its own in features and stack, and the price features have a family of its
    # predictions, which these modules read
    "ridge": (
        "pricing/config/", "pricing/ensemble/", "pricing/explain/", "pricing/features/",
        "pricing/members/fold_rows.py", "pricing/members/kernels/kernel.py", "pricing/members/multimodal/fitting.py",
        "pricing/members/multimodal/settings.py", "pricing/run/explaining.py", "pricing/run/importance.py",
        "pricing/run/model.py", "pricing/run/word_prices.py",
    ),
    # explanations take its kernel apart, as they take the layers of networks
    "gaussian_process": ("pricing/explain/",),
}  # fmt: skip
"""Words that mean something else too, or whose code is read: where."""


def names() -> dict[str, str]:
    """Every member's name, to its module."""
    found = {}
    for line in MEMBERS:
        module = line.partition(":")[0]
        (name,) = (node.value.value for node in ast.walk(tree_of(module)) if _is_name(node))  # type: ignore[attr-defined]
        found[name] = module
    return found


def _is_name(node: ast.AST) -> bool:
    """Whether this is ``name = "..."``."""
    return (
        isinstance(node, ast.Assign)
        and [ast.unparse(target) for target in node.targets] == ["name"]
        and isinstance(node.value, ast.Constant)
    )


def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))


def behind(module: str) -> set[str]:
    """Modules of the members' room that a module imports, itself among them."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen and (ROOT / f"{name.replace('.', '/')}.py").is_file():
            seen.add(name)
            todo += [one for one in imports(tree_of(name)) if one.startswith(MEMBERS_ROOM)]
    return seen


def own_files(modules: dict[str, str]) -> dict[str, set[str]]:
    """Files of each member: what it imports and no other member does."""
    reached = {name: behind(module) for name, module in modules.items()}
    return {
        name: {f"{module.replace('.', '/')}.py" for module in mine
               if not any(module in others for other, others in reached.items() if other != name)}
        for name, mine in reached.items()
    }  # fmt: skip


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier and string; comments, docstrings and imported libraries aside."""
    documentation = {
        id(child.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for child in node.body
        if isinstance(child, ast.Expr)
    }
    libraries = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }  # fmt: skip
    for node in ast.walk(tree):
        texts: list[str | None] = []
        if isinstance(node, ast.Name):
            texts = [node.id] if node.id not in libraries else []
        elif isinstance(node, ast.Attribute):
            texts = [node.attr]
        elif isinstance(node, ast.arg | ast.keyword):
            texts = [node.arg]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            texts = [node.name]
        elif isinstance(node, ast.ImportFrom):
            texts = [node.module, *(alias.asname or alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            texts = [node.value]
        yield from ((getattr(node, "lineno", 0), text) for text in texts if text)


def test_names_stand_where_they_belong() -> None:
    modules = names()
    own = own_files(modules)
    patterns = {name: re.compile(rf"(?<![a-z0-9]){name}(?![a-z0-9])", re.I) for name in modules}
    found = []
    for path, _, tree in sources():
        file = path.relative_to(ROOT).as_posix()
        foreign = [name for name in modules
                   if file not in own[name] and not file.startswith((*EVERYWHERE, *ALSO.get(name, ())))]  # fmt: skip
        found += [f"{file}:{line}: {text!r}" for line, text in words(tree) for name in foreign
                  if patterns[name].search(text)]  # fmt: skip
    assert found == []


def test_the_rule_knows_every_member_and_its_files() -> None:
    modules = names()
    for name, module in modules.items():
        assert member_line(name).startswith(f"{module}:")
        assert member_class(name).__module__ == module
        assert f"{module.replace('.', '/')}.py" in own_files(modules)[name]
    assert Path(ROOT, "pricing/members/trees/target.py").is_file()
    assert not any("pricing/members/trees/target.py" in files for files in own_files(modules).values())
