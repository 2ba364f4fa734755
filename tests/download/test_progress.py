"""Counting a download, adding shards up, and showing it."""

from __future__ import annotations

import io
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pricing.download.manifest import ImageRecord
from pricing.download.progress import Progress, ProgressMeter, ShardTotals
from pricing.download.progress_display import byte_progress, live_progress

REASONS = ("http_404", "timeout", "truncated")
outcomes = st.lists(st.sampled_from((None, None, *REASONS)), max_size=30)


def record(index: int, reason: str | None) -> ImageRecord:
    status = "ok" if reason is None else "failed"
    return ImageRecord("web", f"https://example.com/{index}", status, reason=reason, sha256=f"{index:064x}")


def summed(reasons: list[str | None], order: list[int]) -> ShardTotals:
    meter = ProgressMeter(len(order), None)
    for index in order:
        meter.add(record(index, reasons[index]))
    return meter.summary(0)


@given(reasons=outcomes, cut=st.integers(0, 30), random=st.randoms(use_true_random=False))
def test_shards_add_up_to_the_whole(reasons: list[str | None], cut: int, random: object) -> None:
    """However the links are cut and in whichever order they come, the totals are the same, and say what happened."""
    indices = list(range(len(reasons)))
    random.shuffle(indices)  # type: ignore[attr-defined]
    whole = summed(reasons, sorted(indices))
    parts = summed(reasons, indices[:cut]).plus(summed(reasons, indices[cut:]))
    assert parts == ShardTotals(**{name: getattr(whole, name) for name in ShardTotals.model_fields})
    assert parts.failed == dict(sorted(Counter(reason for reason in reasons if reason).items()))
    assert parts.present == reasons.count(None)
    assert ShardTotals.model_validate_json(parts.model_dump_json()) == parts


@given(reasons=outcomes.filter(bool), at=st.integers(0, 29), other=st.sampled_from((None, *REASONS)))
def test_the_state_changes_with_any_outcome(reasons: list[str | None], at: int, other: str | None) -> None:
    at %= len(reasons)
    changed = [*reasons[:at], other, *reasons[at + 1 :]]
    order = list(range(len(reasons)))
    assert (summed(reasons, order).state == summed(changed, order).state) == (reasons == changed)


def test_a_shard_is_shown_as_part_of_all() -> None:
    moment = Progress(total=100, done=40, present=38, failed={"timeout": 2}, rate=10.0, seconds_left=6.0)
    overall = moment.after(ShardTotals(requested=200, present=199, failed={"http_404": 1}), 1000)
    assert overall == Progress(1000, 240, 237, {"http_404": 1, "timeout": 2}, 10.0, 76.0)
    assert str(overall) == "images 240/1000, 10/s, 0:01:16 left, failures: timeout 2, http_404 1"


MOMENTS = [
    Progress(10, done, done - (done > 4), {"http_404": 1} if done > 4 else {}, 5.0, (10 - done) / 5)
    for done in range(11)
]


def test_a_terminal_gets_a_bar() -> None:
    screen, lines = io.StringIO(), []
    console = Console(file=screen, force_terminal=True, width=120)
    with live_progress(lines.append, console=console) as show:
        for moment in MOMENTS:
            show(moment)
    drawn = screen.getvalue()
    assert "10/10" in drawn
    assert "5/s" in drawn
    assert "http_404 1" in drawn
    assert "0:00:01 left" in drawn
    assert lines == []


def test_a_file_is_shown_by_its_bytes() -> None:
    screen, lines = io.StringIO(), []
    with byte_progress(lines.append, console=Console(file=screen, force_terminal=True, width=100)) as show:
        show(500_000, 2_000_000)
        show(2_000_000, 2_000_000)
    assert "2.0/2.0 MB" in screen.getvalue()
    assert lines == []
    with byte_progress(lines.append, console=Console(file=screen, force_terminal=False)) as show:
        show(500_000, 2_000_000)
        show(2_000_000, 2_000_000)
    with byte_progress(lines.append, console=Console(file=screen, force_terminal=False), seconds=0.0) as show:
        show(7, None)
    assert lines == ["2.0 MB of 2.0 MB", "7 Bytes of an unknown size"]


def test_a_log_gets_lines_now_and_then_and_at_the_end() -> None:
    screen, lines = io.StringIO(), []
    console = Console(file=screen, force_terminal=False)
    with live_progress(lines.append, console=console, seconds=3600.0) as show:
        for moment in MOMENTS:
            show(moment)
    assert lines == [str(MOMENTS[-1])]
    with live_progress(lines.append, console=console, seconds=0.0) as show:
        for moment in MOMENTS:
            show(moment)
    assert lines[1:] == [str(moment) for moment in MOMENTS]
    assert screen.getvalue() == ""
