"""The gate in front of a host: when it paces, and how its breaker opens and closes."""

from __future__ import annotations

import asyncio

import pytest

from pricing.catalogue.failures import PictureFailure
from pricing.catalogue.throttle import HostGate
from pricing.config import ImagesConfig

CONFIG = ImagesConfig(per_host=4, breaker_failures=3, breaker_seconds=0.01, breaker_probes=2)
THROTTLED = PictureFailure("http_429", transient=True, throttled=True)
REFUSED = PictureFailure("connect", transient=True, unreachable=True)


async def ask(gate: HostGate, failure: PictureFailure | None) -> None:
    await gate.enter()
    gate.leave(failure)


def test_throttling_by_chance_starts_no_pacing() -> None:
    """One 429 in twenty once paced a whole batch down to a seventh of its speed."""

    async def scenario() -> None:
        gate = HostGate("example.com:80", CONFIG)
        for index in range(2000):
            await ask(gate, THROTTLED if index % 20 == 0 else None)
        assert gate.rate is None

    asyncio.run(scenario())


def test_a_throttling_host_is_paced_and_the_pace_rises_again() -> None:
    async def scenario() -> None:
        gate = HostGate("example.com:80", CONFIG)
        for _ in range(20):
            await ask(gate, THROTTLED)
        slowest = gate.rate
        assert slowest is not None
        for _ in range(20):
            await ask(gate, None)
        assert gate.rate is None or gate.rate > slowest

    asyncio.run(scenario())


def test_the_breaker_closes_after_one_good_probe() -> None:
    async def scenario() -> None:
        gate = HostGate("example.com:80", CONFIG)
        for _ in range(3):
            await ask(gate, REFUSED)
        # many wait; one of them is the probe, and its success lets all pass
        await asyncio.wait_for(asyncio.gather(*(ask(gate, None) for _ in range(50))), 10)
        assert not gate.down

    asyncio.run(scenario())


def test_the_breaker_gives_a_host_up_after_its_probes() -> None:
    async def scenario() -> None:
        gate = HostGate("example.com:80", CONFIG)
        results = await asyncio.gather(*(ask(gate, REFUSED) for _ in range(50)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, PictureFailure)]
        assert gate.down
        assert {failure.reason for failure in refused} == {"host_down"}
        # three failures, a few already on their way, and two probes
        assert len(refused) >= 50 - 3 - CONFIG.per_host - 2

    asyncio.run(scenario())


def test_a_cancelled_probe_lets_another_one_go() -> None:
    async def scenario() -> None:
        gate = HostGate("example.com:80", CONFIG, suspected=True)

        async def hang() -> None:
            await gate.enter()
            try:
                await asyncio.Event().wait()
            finally:
                gate.leave(None, unknown=True)

        probe = asyncio.create_task(hang())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(ask(gate, None))
        await asyncio.sleep(0)
        assert not waiting.done()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())
