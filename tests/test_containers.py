"""Dockerfile and compose.yaml: what can be told without a container engine, and the build where there is one."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names

from tests.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


@cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", "prefect", *command, "--help"], capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    return done.stdout


def test_the_image_is_pinned_small_and_of_a_user_without_rights() -> None:
    given = instructions()
    names = [name for name, _ in given]
    assert given[0] == ("FROM", "python:3.11-slim-bookworm")
    assert set(names) <= {"FROM", "RUN", "ARG", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "CMD"}
    # everything that root does comes before the user, and nothing after
    assert "RUN" not in names[names.index("USER") :]
    assert dict(given)["USER"] not in {"root", "0"}
    assert dict(given)["CMD"] == '["make", "-o", "install", "server"]'


def test_what_the_image_copies_is_there_and_let_in() -> None:
    copied = [part for name, rest in instructions() if name == "COPY" for part in rest.split()[:-1]]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    # the project's own packages, no more and no fewer
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied)
    (install,) = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    extras = re.search(r"\[([\w,]+)\]", install)
    assert extras
    assert set(extras[1].split(",")) <= set(project["project"]["optional-dependencies"])


def test_every_service_has_a_pinned_image_a_health_check_and_volumes_that_are_there() -> None:
    assert set(SERVICES) == {"postgres", "server", "deploy", "worker"}
    named = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        image, _, tag = service["image"].partition(":")
        assert image == "smart-product-pricing" or (tag and tag != "latest")
        assert name == "deploy" or "test" in service["healthcheck"], "it ends"
        for volume in service.get("volumes", []):
            assert volume.startswith("./") or volume.split(":")[0] in named
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "no other machine's business unless somebody says so"
    assert SERVICES["server"]["build"] == "."


def test_every_services_command_is_one_that_this_project_has() -> None:
    """A renamed target or option would show in a container that restarts for ever."""
    for service in SERVICES.values():
        program, *arguments = service.get("command", ["none"])
        if program == "make":
            done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "pip install" not in done.stdout, "nothing is installed when a container starts"
        elif program == "prefect":
            options = [part for part in arguments if part.startswith("--")]
            said = help_of(*arguments[:2])
            assert options
            assert all(option in said for option in options), said
        else:
            assert program == "none"
    # make takes its programs from the image
    (variables,) = [rest for name, rest in instructions() if name == "ENV"]
    assert "MAKEFLAGS=BIN=/usr/local/bin" in shlex.split(variables)


def test_every_setting_of_prefect_is_one_that_prefect_knows() -> None:
    known = _get_valid_setting_names(Settings)
    given = {name for service in SERVICES.values() for name in service.get("environment", {}) if "PREFECT" in name}
    (variables,) = [rest for name, rest in instructions() if name == "ENV"]
    given |= set(re.findall(r"PREFECT_\w+", variables))
    assert given
    assert given <= known
    assert SERVICES["worker"]["environment"] == SERVICES["deploy"]["environment"]


def test_no_password_is_written_down() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"PASSWORD: (\S+)", text) == ["${POSTGRES_PASSWORD:?set"]
    assert re.findall(r"://prefect:([^@]+)@", text) == ["${POSTGRES_PASSWORD}"]


@pytest.mark.slow
def test_the_image_builds_and_its_commands_answer() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker daemon")
    subprocess.run([docker, "build", "--tag", "smart-product-pricing", "."], cwd=ROOT, check=True)
    run = [docker, "run", "--rm", "smart-product-pricing"]
    assert subprocess.run([*run, "id", "-u"], capture_output=True, text=True, check=True).stdout.strip() != "0"
    subprocess.run([*run, "pricing", "--help"], check=True)
    subprocess.run([*run, "python", "-c", "import flows.pipeline, lightgbm, torch"], check=True)
