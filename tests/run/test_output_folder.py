"""Results land in a folder that may hold other things: nothing of the user's goes, nothing old stays."""

import os
from pathlib import Path

import pytest

from pricing.errors import InputError
from pricing.run.output_folder import (
    RUN,
    STACK,
    check_file,
    check_folder,
    check_output,
    check_stage_output,
    fill_output,
)


def write(folder: Path, *names: str, text: str = "old") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def tree(folder: Path) -> dict[str, str]:
    """Every file's text by its path."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_an_earlier_run_left_goes_and_what_is_the_users_stays(tmp_path: Path) -> None:
    """A second run without --intervals and without rejected rows: the first one's files would mislead."""
    own = ("run.json", "model/a/b", "plots/x.png", "submission.csv", "submission_intervals.csv", "rejected.csv",
           "submission_trust.csv", "submission_drift.json")  # fmt: skip
    users = ("notes.txt", "sheets/submission_intervals.csv", "ensemble/mine.txt")
    write(tmp_path, *own, "missing_images.csv", "report.html", *users)
    with fill_output(tmp_path) as new:
        write(new, "run.json", "model/c", "metrics.json", text="new")
    assert tree(tmp_path) == dict.fromkeys(users, "old") | dict.fromkeys(("run.json", "model/c", "metrics.json"), "new")
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_a_report_on_an_earlier_stack_goes(tmp_path: Path) -> None:
    write(tmp_path, "ensemble/ensemble.json", "report.html", "plots/x.png")
    with fill_output(tmp_path, STACK) as new:
        write(new, "ensemble/ensemble.json", text="new")
    assert tree(tmp_path) == {"ensemble/ensemble.json": "new"}


@pytest.mark.parametrize("name", ["model", "plots", "evaluation"])
def test_folders_that_no_run_made_are_refused_and_untouched(tmp_path: Path, name: str) -> None:
    """A data scientist's own model/ beside the data must not be deleted after an hour of training, nor ever."""
    write(tmp_path, f"{name}/weights.bin", "submission_intervals.csv")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=rf"has a folder {name}/ and no run\.json.*nothing was touched"):
        check_output(tmp_path)
    with pytest.raises(InputError, match="another folder"), fill_output(tmp_path):
        raise AssertionError("no work before the check")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("there", "asked"), [("run.json", STACK), ("ensemble/ensemble.json", RUN)])
def test_a_stack_does_not_replace_a_run_nor_a_run_a_stack(tmp_path: Path, there: str, asked: str) -> None:
    write(tmp_path, there, "evaluation/oof.parquet")
    with pytest.raises(InputError, match="not an earlier output of this command"):
        check_output(tmp_path, asked)


def test_after_an_error_everything_is_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "there", "run.json", "model/a")
    before = tree(tmp_path)

    def fail(folder: Path) -> None:
        with fill_output(folder) as new:
            write(new, "run.json", "model/b", text="new")
            raise ZeroDivisionError

    for folder in (tmp_path / "there", tmp_path / "not" / "there"):
        with pytest.raises(ZeroDivisionError):
            fail(folder)
    assert tree(tmp_path) == before
    assert not (tmp_path / "not" / "there").exists()


def test_what_a_killed_command_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """With `best` it holds an encoder of 440 MB; what a command is still writing stays."""
    write(tmp_path, ".pricing-partial-old/model/w", ".pricing-partial-new/model/w")
    os.utime(tmp_path / ".pricing-partial-old", (0, 0))
    with fill_output(tmp_path) as new:
        write(new, "run.json", text="new")
    assert tree(tmp_path) == {".pricing-partial-new/model/w": "old", "run.json": "new"}


@pytest.mark.parametrize("there", [{"run.json": '{"seed": 0}'}, {"metrics.json": "{}"}, {"run.json": "mine"}])
def test_a_stage_does_not_replace_a_runs_record(tmp_path: Path, there: dict[str, str]) -> None:
    """`pricing prune --keep` would read the stage's record and remove what the run needs."""
    for name, text in there.items():
        write(tmp_path, name, text=text)
    with pytest.raises(InputError, match="that no stage wrote"):
        check_stage_output(tmp_path)
    write(tmp_path, "run.json", text='{"stage": "gbdt"}')
    check_stage_output(tmp_path)
    check_stage_output(tmp_path / "new")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to, root neither")
def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="--output /proc/new: nothing can be written to /proc"):
        check_output(Path("/proc/new"))
    with pytest.raises(InputError, match="--artifacts"):
        check_folder(Path("/proc/new"), "--artifacts")


def test_here_and_a_link_are_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--output .` has no name to write beside; a link may lead to another disk."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    for folder in (Path("link"), Path(os.curdir)):
        with fill_output(folder) as new:
            write(new, "run.json", "model/a", text="new")
        assert tree(folder) | {"model/a": "new", "run.json": "new"} == tree(folder)
    assert (tmp_path / "link").is_symlink()


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "file")
    for output in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(InputError, match="file is a file; expected a folder"):
            check_output(output)
    with pytest.raises(InputError, match="is a folder; expected the name of the file"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="file is a file"):
        check_file(tmp_path / "file" / "prices.csv")
    check_file(tmp_path / "new" / "prices.csv")
    check_file(tmp_path / "file")
    check_output(tmp_path / "new" / "folder")
