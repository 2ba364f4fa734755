"""How much a command says while it works: `--quiet` and `--verbose`. Does not import Prefect."""

import logging
import os
import sys
from typing import Annotated

import typer

from pricing.run_display import Verbosity

__all__ = ["Quiet", "Verbose", "choose", "chosen"]

_CONSOLE_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
"""Prefect's own variable; the server gets every line all the same."""
_chosen = Verbosity.NORMAL


def chosen() -> Verbosity:
    """What was asked for in this process."""
    return _chosen


def choose(verbosity: Verbosity) -> None:
    """Set how much this process and its children say; before Prefect is imported."""
    global _chosen
    _chosen = verbosity
    # a live line and a log would draw over one another
    if verbosity is Verbosity.QUIET or (verbosity is Verbosity.NORMAL and sys.stderr.isatty()):
        os.environ.setdefault(_CONSOLE_LEVEL, "WARNING")
    if verbosity is Verbosity.VERBOSE:  # of the commands without Prefect, which sets up its own logging
        logging.basicConfig(format="%(asctime)s | %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("pricing").setLevel(logging.INFO)


def _take(asked: bool, verbosity: Verbosity) -> bool:
    # options that were given come first; those that were not come with False
    if asked and _chosen not in (Verbosity.NORMAL, verbosity):
        raise typer.BadParameter("--quiet and --verbose exclude each other; give one")
    choose(verbosity if asked else _chosen)
    return asked


def _quiet(asked: bool) -> bool:
    return _take(asked, Verbosity.QUIET)


def _verbose(asked: bool) -> bool:
    return _take(asked, Verbosity.VERBOSE)


Quiet = Annotated[bool, typer.Option("--quiet", callback=_quiet, help="Say only warnings, errors and the result.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_verbose, help="Write the whole log, and a progress line per minute.")
]
