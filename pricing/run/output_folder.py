"""The folder that a command leaves its results in: checked before any work, and replaced whole at the end."""

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pricing.errors import InputError
from pricing.store.artifacts import read_json
from pricing.store.permissions import apply_umask

RUN = "run.json"
"""What says that a folder holds a run (or a stage of one)."""
STACK = "ensemble/ensemble.json"
"""What says that a folder holds what `pricing ensemble` made."""
MODEL = "model.json"
"""What says that a folder holds a model."""
_FOLDERS = {
    RUN: ("evaluation", "model", "plots"), STACK: ("ensemble", "evaluation", "plots"),
    MODEL: ("encoders", "engineer", "ensemble", "members", "price_features"),
}  # fmt: skip
_RUN_FILES = (
    "metrics.json", "missing_images.csv", "rejected.csv", "report.html", "submission.csv", "submission_drift.json",
    "submission_intervals.csv", "submission_trust.csv", "unpriced.csv", "unpriced_intervals.csv",
)  # fmt: skip
_FILES = {RUN: _RUN_FILES, STACK: _RUN_FILES, MODEL: ("thumbnails.arrow",)}
_PARTIAL = ".pricing-partial-"
"""Beginning of the name of what is being written into an output."""
_ABANDONED = 3600.0
"""Seconds after which no process writes it any more; a minute is usual."""


def check_folder(folder: Path, option: str = "--output") -> None:
    """Refuse a folder that is a file, lies under one, or cannot be written to.

    Raises
    ------
    InputError
        It is; names ``option``.
    """
    there = [path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()]
    for path in there:
        if not path.is_dir():
            raise InputError(f"{option} {folder}: {path} is a file; expected a folder, there or not")
    nearest = there[0]
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise InputError(
            f"{option} {folder}: nothing can be written to {nearest} ({error.strerror}); give another folder"
        ) from None


def check_file(output: Path) -> None:
    """Refuse an output file that is a folder, or lies under a file.

    Raises
    ------
    InputError
        It is.
    """
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; expected the name of the file to write")
    check_folder(output.parent)


def check_output(output: Path, mark: str = RUN) -> None:
    """Refuse an output folder in which something would be replaced that this project did not make.

    Parameters
    ----------
    output : Path
        There or not.
    mark : str
        `RUN`, `STACK` or `MODEL`: the file by which an earlier output of the same kind is known.

    Raises
    ------
    InputError
        It is a file, or has a folder of a name that is to be written and not the mark beside it.
    """
    check_folder(output)
    taken = [name for name in _FOLDERS[mark] if (output / name).exists()]
    if taken and not (output / mark).exists():
        raise InputError(
            f"--output {output}: has a folder {taken[0]}/ and no {mark}, so that it is not an earlier output of this "
            "command; give another folder, nothing was touched"
        )


def check_stage_output(output: Path) -> None:
    """Refuse a folder that holds a whole run: a stage's run.json and metrics.json would replace the run's.

    Raises
    ------
    InputError
        It does, or as `check_folder`.
    """
    check_folder(output)
    try:
        record = read_json(output / RUN)
        known = "stage" in record
    except FileNotFoundError:
        known = not (output / "metrics.json").exists()
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise InputError(
            f"--output {output}: holds a {RUN} or metrics.json that no stage wrote; give another folder, nothing was "
            "touched"
        )


@contextmanager
def fill_output(output: Path, mark: str = RUN) -> Iterator[Path]:
    """A new folder to write to; at the end of the block its entries take their place in ``output``.

    What an earlier output of the same kind left and this one lacks goes: old intervals beside new prices would
    mislead. Other files of the user's stay. After an error in the block, everything is as it was.

    Raises
    ------
    InputError
        As `check_output`.
    """
    check_output(output, mark)
    made = not output.exists()
    # inside, so that moving into place is a rename even where the output is a mount or a link to another disk
    output.mkdir(parents=True, exist_ok=True)
    # by a process that was killed
    for left in output.glob(f"{_PARTIAL}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    new = output / f"{_PARTIAL}{uuid.uuid4().hex}"
    new.mkdir()
    try:
        yield new
        # copies keep the permissions of what they were copied from
        apply_umask(new)
        _put_in_place(new, output, mark)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if made and not any(output.iterdir()):
            output.rmdir()


def _put_in_place(new: Path, output: Path, mark: str) -> None:
    """Entry by entry; what is replaced is moved aside first, and removed when all is done."""
    entries = {entry.name for entry in new.iterdir()}
    stale = {*_FOLDERS[mark], *_FILES[mark]} - entries if (output / mark).exists() else set()
    aside = new / ".replaced"
    aside.mkdir()
    # the mark first: killed in the middle, the folder is still known as an earlier output and may be filled again
    for name in sorted(entries | stale, key=lambda name: (name != Path(mark).parts[0], name)):
        target = output / name
        if target.is_dir() or (name in stale and target.exists()):
            target.rename(aside / name)
        if name in entries:
            (new / name).replace(target)
