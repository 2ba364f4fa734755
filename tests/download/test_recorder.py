"""Group commit by threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pricing.download.manifest import ImageRecord
from pricing.download.recorder import GroupRecorder
from pricing.errors import DownloadError


def record(number: int) -> ImageRecord:
    return ImageRecord("web", str(number), "ok")


def test_every_record_is_saved_once_and_before_its_call_returns() -> None:
    saved: list[str] = []

    def save(records: Sequence[ImageRecord]) -> None:
        saved.extend(one.link for one in records)

    recorder = GroupRecorder(save)

    def work(number: int) -> None:
        recorder.record(record(number))
        assert str(number) in saved

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(500)))
    assert sorted(saved, key=int) == [str(number) for number in range(500)]


def test_what_gathers_while_one_is_written_goes_into_one_group() -> None:
    groups: list[list[str]] = []
    begun, go_on = threading.Event(), threading.Event()

    def save(records: Sequence[ImageRecord]) -> None:
        groups.append([one.link for one in records])
        begun.set()
        assert go_on.wait(20)

    recorder = GroupRecorder(save)
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(recorder.record, record(0))
        assert begun.wait(20)
        others = [threads.submit(recorder.record, record(number)) for number in range(1, 6)]
        while len(recorder._waiting) < 5:
            threading.Event().wait(0.001)
        go_on.set()
        for one in (first, *others):
            one.result(20)
    assert [sorted(group) for group in groups] == [["0"], ["1", "2", "3", "4", "5"]]


def test_an_error_reaches_all_whose_record_was_lost_and_nobody_else() -> None:
    def save(records: Sequence[ImageRecord]) -> None:
        if any(one.link == "1" for one in records):
            raise DownloadError("the disk is full")

    recorder = GroupRecorder(save)
    recorder.record(record(0))
    with pytest.raises(DownloadError, match="full"):
        recorder.record(record(1))
    recorder.record(record(2))
