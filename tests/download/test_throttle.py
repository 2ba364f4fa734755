"""The gate in front of a host, in simulated time: when it paces, and how its breaker opens and closes."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.config.catalogue import ImagesConfig
from pricing.download.failures import ImageFailure
from pricing.download.throttle import HostGate, Ticket

CONFIG = ImagesConfig(breaker_failures=3, breaker_seconds=1.0, breaker_probes=2)
THROTTLED = ImageFailure("http_429", transient=True, throttled=True)
UNAVAILABLE = ImageFailure("http_503", transient=True, throttled=True)
REFUSED = ImageFailure("connect", transient=True, unreachable=True)
BROKEN = ImageFailure("http_500", transient=True)
Answer = Callable[[float], ImageFailure | None]


def drive(gate: HostGate, answer: Answer, requests: int, latency: float = 0.05, start: float = 0.0) -> list[float]:
    """Ask as fast as the gate lets, until so many requests were begun or the host is down; moments of the starts."""
    now, starts = start, []
    under_way: list[tuple[float, int, Ticket, ImageFailure | None]] = []
    while (len(starts) < requests and not gate.down) or under_way:
        opens = gate.opens_at(now) if len(starts) < requests and not gate.down else math.inf
        if opens <= now:
            heapq.heappush(under_way, (now + latency, len(starts), gate.start(now), answer(now)))
            starts.append(now)
        elif under_way and under_way[0][0] <= opens:
            now, _, ticket, failure = heapq.heappop(under_way)
            gate.finish(now, failure, ticket)
        else:
            assert opens < math.inf, "nothing is under way, and the gate never opens"
            now = opens
    return starts


def limiter(rate: float, burst: float, failure: ImageFailure = THROTTLED) -> Answer:
    """A token bucket: ``rate`` requests a second, ``burst`` of them at once."""
    state = {"tokens": burst, "at": 0.0}

    def answer(now: float) -> ImageFailure | None:
        state["tokens"] = min(burst, state["tokens"] + rate * (now - state["at"]))
        state["at"] = now
        if state["tokens"] < 1:
            return failure
        state["tokens"] -= 1
        return None

    return answer


def counted(answer: Answer) -> tuple[Answer, list[bool]]:
    served: list[bool] = []

    def counting(now: float) -> ImageFailure | None:
        failure = answer(now)
        served.append(failure is None)
        return failure

    return counting, served


@settings(max_examples=40)
@given(share=st.sampled_from([0.02, 0.1, 0.2, 0.3, 0.4]), seed=st.integers(0, 10**6), limit=st.integers(4, 32))
def test_refusals_by_chance_cost_little(share: float, seed: int, limit: int) -> None:
    """One 429 in twenty once paced a whole batch down to a seventh of its speed. Pacing cannot help against chance,
    so the gate tries it, sees that, and leaves it."""
    rng = random.Random(seed)
    gate = HostGate("h", CONFIG, limit)
    starts = drive(gate, lambda now: THROTTLED if rng.random() < share else None, 4000)
    unpaced = 4000 / limit * 0.05
    assert starts[-1] < 1.5 * unpaced


@settings(max_examples=40)
@given(
    rate=st.sampled_from([2.0, 20.0, 100.0, 200.0]),
    burst=st.sampled_from([1.0, 20.0, 300.0]),
    limit=st.integers(16, 32),
)
def test_a_limit_is_found_and_used(rate: float, burst: float, limit: int) -> None:
    """However far below our speed (320 to 640 a second) the host's limit lies, few requests are wasted once it is found
    and most of what it allows is used."""
    answer, served = counted(limiter(rate, burst))
    gate = HostGate("h", CONFIG, limit)
    starts = drive(gate, answer, 3000)
    late = slice(1500, None)
    assert sum(served[late]) > 0.65 * len(served[late])
    assert sum(served[late]) > 0.6 * rate * (starts[-1] - starts[1500])


def test_a_503_counts_for_less() -> None:
    rng = random.Random(0)
    gate = HostGate("h", CONFIG, 16)
    drive(gate, lambda now: UNAVAILABLE if rng.random() < 0.3 else None, 2000)
    assert gate.rate is None


def test_the_pace_rises_again() -> None:
    limits = {"rate": 20.0}
    slow = limiter(20.0, 5.0)
    gate = HostGate("h", CONFIG, 16)
    starts = drive(gate, lambda now: slow(now) if limits["rate"] else None, 500)
    assert gate.rate is not None
    assert 10 < gate.rate < 30
    limits["rate"] = 0.0
    after = drive(gate, lambda now: None, 2000, start=starts[-1] + 1)
    # from 20 a second by a tenth a second: a hundred times as fast after some 50 s
    assert gate.rate is None or gate.rate > 200
    assert after[-1] - after[0] < 40


def test_a_host_that_is_overwhelmed_is_left_alone_as_long_as_it_asks() -> None:
    refused = ImageFailure("http_429", transient=True, throttled=True, retry_after=30.0)
    gate = HostGate("h", CONFIG, 4)
    starts = drive(gate, lambda now: refused, 200)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert max(pauses) > 29.0
    # what begins within Retry-After of the first refusals is what it took to judge, and no more
    assert sum(start < 25.0 for start in starts) < 30


def test_a_learned_rate_is_kept_from_the_first_request() -> None:
    starts = drive(HostGate("h", CONFIG, 16, rate=10.0), lambda now: None, 20)
    assert starts[-1] > 1.5


@pytest.mark.parametrize("failure", [REFUSED, BROKEN])
def test_the_breaker_closes_after_one_good_probe(failure: ImageFailure) -> None:
    gate = HostGate("h", CONFIG, 4)
    starts = drive(gate, lambda now: failure if now < 2.0 else None, 100, latency=0.001)
    assert not gate.down
    # a probe after 1 s, which fails, another 2 s later, which would be the last one and succeeds
    assert len(starts) == 100
    assert sum(0.5 < start < 2.5 for start in starts) == 1
    assert 3.0 <= starts[-1] < 4.0


def test_a_host_that_answers_the_probe_is_asked_at_full_speed() -> None:
    gate = HostGate("h", CONFIG, 4)
    starts = drive(gate, lambda now: REFUSED if now < 0.5 else None, 100, latency=0.01)
    assert len(starts) == 100
    assert starts[-1] < 1.0 + 1.0


@pytest.mark.parametrize(("failure", "enough"), [(REFUSED, 3), (BROKEN, 9)])
def test_the_breaker_gives_a_host_up_after_its_probes(failure: ImageFailure, enough: int) -> None:
    gate = HostGate("h", CONFIG, 4)
    starts = drive(gate, lambda now: failure, 1000)
    assert gate.down
    # as many failures as it takes, what was on its way by then, and two probes, 1 s and 2 s later
    assert len(starts) <= enough + 4 + 2
    assert 3.0 <= starts[-1] <= 3.5


@pytest.mark.parametrize("failure", [None, ImageFailure("http_404"), REFUSED])
def test_a_suspected_host_is_judged_by_one_probe(failure: ImageFailure | None) -> None:
    gate = HostGate("h", CONFIG, 4, suspected=True)
    ticket = gate.start(0.0)
    assert ticket.probe
    assert gate.opens_at(0.0) == math.inf
    gate.finish(0.1, failure, ticket)
    assert gate.down == (failure is REFUSED)
    assert gate.opens_at(0.1) == 0.1


def test_a_host_with_which_every_image_is_given_up_is_down() -> None:
    gate = HostGate("h", CONFIG, 4)
    for _ in range(2):
        gate.finish(0.0, BROKEN, gate.start(0.0))
        gate.give_up()
    gate.finish(0.0, None, gate.start(0.0))
    for _ in range(2):
        gate.give_up()
    assert not gate.down
    gate.give_up()
    assert gate.down
