"""What code and which library versions shape a stage's result.

A stage's cache key must change when its code does and only then. The code is hashed as a syntax tree without
docstrings, so comments, formatting and documentation change nothing; the modules are the stage's entry module and
every pricing module that it imports, directly or not, lazily or not. A module's own data, NAME.toml beside NAME.py, is
part of it. Its folder does not count: editing one member trains one member.
"""

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

from pricing.libraries import module_version

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
# what these change is either in the key by value (configuration, versions) or no figure of an output (messages, layout,
# permissions)
EXCLUDED = (
    "pricing.config", "pricing.errors", "pricing.store.codehash", "pricing.store.artifacts",
    "pricing.libraries", "pricing.store.permissions",
)  # fmt: skip


def code_digests(*entries: str) -> dict[str, str]:
    """Digest of every pricing module behind a stage.

    Parameters
    ----------
    entries : str
        Dotted names of the step's modules, such as ``pricing.members.ridge``.

    Returns
    -------
    dict of str to str
        Module name to SHA-256 of its normalised syntax tree, sorted by name.
    """
    return {name: _module(name)[0] for name in _closure(entries)}


def library_versions(*entries: str) -> dict[str, str]:
    """Versions of the third-party modules that the modules behind a stage import, and of Python; by module."""
    wanted = {top for name in _closure(entries) for top in _module(name)[2]}
    versions = {top: version for top in sorted(wanted) if (version := module_version(top))}
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}"} | versions


@cache
def _closure(entries: tuple[str, ...]) -> tuple[str, ...]:
    todo = list(entries)
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name.startswith(EXCLUDED):
            continue
        seen.add(name)
        todo += _module(name)[1]
    return tuple(sorted(seen))


@cache
def _module(name: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Digest, pricing modules imported, third-party packages imported."""
    tree = ast.parse(_source(name).read_text(encoding="utf-8"))
    inside, outside = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # "from pricing.store import tables" imports a module, "from pricing.store.tables import x" a name of one
            targets = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for target in targets:
            if target.partition(".")[0] != "pricing":
                outside.add(target.partition(".")[0])
            elif _exists(target):
                inside.add(target)
    _strip_docstrings(tree)
    data = _source(name).with_suffix(".toml")
    content = ast.dump(tree) + (data.read_text(encoding="utf-8") if data.exists() else "")
    digest = hashlib.sha256(content.encode()).hexdigest()
    return digest, tuple(sorted(inside)), tuple(sorted(outside - set(sys.stdlib_module_names)))


def _strip_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # bare strings anywhere in a body are documentation (attribute docstrings among them)
            node.body = [
                child
                for child in node.body
                if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                        and isinstance(child.value.value, str))
            ] or [ast.Pass()]  # fmt: skip


def _exists(name: str) -> bool:
    path = PACKAGE_ROOT.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _source(name: str) -> Path:
    path = PACKAGE_ROOT.joinpath(*name.split(".")[1:])
    package = path / "__init__.py"
    return package if package.is_file() else path.with_suffix(".py")
