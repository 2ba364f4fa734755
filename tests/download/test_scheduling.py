"""Queues by host: order, fairness, and nobody waits for a host that is not his."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.scheduling import Job, Scheduler
from pricing.download.shards import fetch_shard
from pricing.download.sources import ImageSource
from pricing.download.throttle import HostGate
from tests.download.fault_server import Fault, FaultServer

CONFIG = ImagesConfig()
BROKEN = ImageFailure("http_500", transient=True)


def scheduler(per_host: int = 16) -> Scheduler:
    return Scheduler(lambda key: HostGate(key, CONFIG, per_host))


@settings(max_examples=30, deadline=None)
@given(
    hosts=st.lists(st.integers(0, 5), max_size=60),
    workers=st.integers(1, 8),
    per_host=st.integers(1, 4),
    failures=st.lists(st.integers(0, 2), max_size=60),
)
def test_every_job_is_finished_once_and_no_limit_is_broken(
    hosts: list[int], workers: int, per_host: int, failures: list[int]
) -> None:
    async def scenario() -> None:
        queue = scheduler(per_host)
        left = dict.fromkeys(range(len(hosts)), 0) | dict(enumerate(failures[: len(hosts)]))
        for index, host in enumerate(hosts):
            queue.add(str(index), str(host))
        under_way: Counter[str] = Counter()
        done: list[str] = []

        async def work() -> None:
            while (job := await queue.take()) is not None:
                under_way[job.host] += 1
                assert under_way[job.host] <= per_host
                await asyncio.sleep(0)
                under_way[job.host] -= 1
                failed = left[int(job.link)] >= job.tries
                queue.answered(job, BROKEN if failed else None)
                if failed:
                    queue.again(job, 0.0)
                else:
                    done.append(job.link)
                    queue.finished()

        await asyncio.wait_for(asyncio.gather(*(work() for _ in range(workers))), 20)
        assert sorted(done) == sorted(str(index) for index in range(len(hosts)))

    asyncio.run(scenario())


def test_hosts_share_the_workers_evenly() -> None:
    """Three hosts that never answer, far ahead in the list, leave a fourth its share of twelve workers."""

    async def scenario() -> None:
        queue = scheduler()
        for host in "abcd":
            for index in range(50):
                queue.add(f"{host}{index}", host)
        taken: list[Job] = []
        for _ in range(12):
            job = await queue.take()
            assert job is not None
            taken.append(job)
        assert Counter(job.host for job in taken) == dict.fromkeys("abcd", 3)
        # d answers and the others do not: every free worker goes to d
        for _ in range(40):
            mine = next(job for job in taken if job.host == "d")
            taken.remove(mine)
            queue.answered(mine, None)
            queue.finished()
            job = await queue.take()
            assert job is not None
            assert job.host == "d"
            taken.append(job)

    asyncio.run(scenario())


def test_what_was_tried_already_goes_first() -> None:
    async def scenario() -> None:
        queue = scheduler()
        for index in range(3):
            queue.add(str(index), "h")
        first = await queue.take()
        assert first is not None
        queue.answered(first, BROKEN)
        queue.again(first, 0.0)
        job = await queue.take()
        assert job is first
        assert job.tries == 2

    asyncio.run(scenario())


def test_a_host_that_is_down_hands_its_jobs_out_unasked() -> None:
    async def scenario() -> None:
        gate = HostGate("h", CONFIG, 16)
        queue = Scheduler(lambda key: gate)
        for index in range(5):
            queue.add(str(index), "h")
        job = await queue.take()
        assert job is not None
        queue.answered(job, BROKEN)
        queue.again(job, 3600.0)
        gate.down = True
        queue.gave_up(job)
        rest = [await asyncio.wait_for(queue.take(), 5) for _ in range(5)]
        assert all(one is not None and one.ticket is None for one in rest)

    asyncio.run(scenario())


def test_hosts_that_hang_or_throttle_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Two hosts with 200 images each come first in the list: one never answers, one asks to be left alone for a
    minute. The images of the third are all there while they still wait."""
    hang, throttle = Fault("slow", seconds=30.0), Fault("status", 429, {"Retry-After": "60"})
    with (
        FaultServer(gate=lambda path: hang) as stuck,
        FaultServer(gate=lambda path: throttle) as full,
        FaultServer() as good,
    ):
        links = [server.url(f"/{index}.jpg") for server in (stuck, full, good) for index in range(200)]
        config = ImagesConfig(
            side=32, allow_hosts=("127.0.0.1",), concurrency=8, per_host=4, retries=0, idle_timeout=1.0,
            retry_after_max=0.0, breaker_failures=4, breaker_seconds=0.1,
        )  # fmt: skip
        report = fetch_shard(links, config, tmp_path, source=ImageSource.web())
        assert report.present == 200
        # the hanging host keeps its share of the eight workers, for a second each time
        assert good.requests[-1][0] - good.requests[0][0] < 1.0
