"""A real HTTP server on loopback that misbehaves by script or by chance; test tool, nothing in it is mocked.

    python -m tests.download.fault_server --latency 0.1 --mix '{"500": 0.1, "reset": 0.1}'

serves in a process of its own, prints its address, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import sys
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from aiohttp import web
from PIL import Image, ImageDraw


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A small image, another one for each seed."""
    image = Image.new("RGB", size, ((seed * 37) % 256, (seed * 91) % 256, (seed * 53) % 256))
    ImageDraw.Draw(image).ellipse((4, 4, size[0] - 4, size[1] - 4), fill=((seed * 11) % 256, 200, seed // 256 % 256))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_comment(image: bytes, comment: str) -> bytes:
    """The same JPEG with other bytes: a comment segment after the first mark."""
    text = comment.encode()
    return image[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text + image[2:]


@dataclass(frozen=True)
class Fault:
    """One answer that is no image."""

    kind: str
    """``status``; ``reset`` (connection reset, after ``at`` bytes of the body if given); ``cut`` (right Content-Length,
    body closed at its middle or at ``at`` bytes); ``slow``; ``body``; ``redirect``; ``trickle`` (a byte now and
    then)."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    at: int | None = None


MIXED = {
    "429": Fault("status", 429, {"Retry-After": "0"}),
    "429-wait": Fault("status", 429, {"Retry-After": "1"}),
    "500": Fault("status", 500),
    "503": Fault("status", 503),
    "reset": Fault("reset"),
    "reset-within": Fault("reset", at=300),
    "cut": Fault("cut", at=300),
    "404": Fault("status", 404),
    "html": Fault("body", body=b"<!DOCTYPE html><html><body>Not found</body></html>", headers={}),
    "loop": Fault("redirect", headers={"Location": "?again"}),
}
"""Faults that can be mixed by chance, by name."""
NEVER = ("404", "html", "loop")
"""Of those, the ones that stay: an image that has one has it at every request."""


def drawn(path: str, request: int, mix: dict[str, float], seed: int = 0) -> Fault | None:
    """What chance gives the n-th request for a path (from 0); the same at every call."""
    rng = random.Random(zlib.crc32(f"{seed} {path}".encode()))
    for name in NEVER:
        if rng.random() < mix.get(name, 0.0):
            return MIXED[name]
    rng = random.Random(zlib.crc32(f"{seed} {path} {request}".encode()))
    mark = rng.random()
    for name, share in mix.items():
        if name not in NEVER:
            mark -= share
            if mark < 0:
                return MIXED[name]
    return None


@dataclass
class FaultServer:
    """Serves ``/anything`` with what ``image`` makes of the path, after the path's scripted faults are used up.

    ``always`` faults are never used up. ``mix`` adds faults by chance: probability by name in :data:`MIXED`.
    ``requests`` holds (monotonic seconds, path, Range header), ``raw_paths`` and ``headers`` what else was sent.
    ``answer`` may give a response by itself, before anything else.
    """

    image: Callable[[str], bytes | None] = lambda path: jpeg(sum(path.encode()))
    latency: float = 0.0
    gate: Callable[[str], Fault | None] = lambda path: None
    mix: dict[str, float] = field(default_factory=dict)
    answer: Callable[[web.BaseRequest], web.StreamResponse | None] = lambda request: None

    def __post_init__(self) -> None:
        self.script: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.requests: list[tuple[float, str, str | None]] = []
        self.raw_paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[object] = set()
        self.in_flight = self.most_in_flight = 0
        self._asked: dict[str, int] = defaultdict(int)
        self._ready = threading.Event()

    def counts(self) -> dict[str, int]:
        """Requests by path."""
        counts: dict[str, int] = defaultdict(int)
        for _, path, _ in self.requests:
            counts[path] += 1
        return dict(counts)

    def url(self, path: str) -> str:
        """URL of a path."""
        return f"{self.base}{path}"

    @property
    def base(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.requests.append((time.monotonic(), path, request.headers.get("Range")))
        self.raw_paths.append(request.raw_path)
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            if (scripted := self.answer(request)) is not None:
                return scripted
            fault = self.gate(path) or self.always.get(path)
            if fault is None and self.script.get(path):
                fault = self.script[path].pop(0)
            if fault is None and self.mix:
                fault = drawn(path, self._asked[path], self.mix)
                self._asked[path] += 1
            if fault is not None:
                return await self._misbehave(request, fault)
            body = self.image(path)
            if body is None:
                return web.Response(status=404)
            return web.Response(body=body, content_type="image/jpeg")
        finally:
            self.in_flight -= 1

    async def _misbehave(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if fault.kind == "status":
            return web.Response(status=fault.status, headers=fault.headers)
        if fault.kind == "redirect":
            return web.Response(status=302, headers=fault.headers)
        if fault.kind == "body":
            return web.Response(body=fault.body, headers={"Content-Type": "image/jpeg"} | fault.headers)
        if fault.kind == "reset" and fault.at is None:
            transport.abort()
            return web.Response()
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return web.Response(status=503)
        body = fault.body or self.image(request.path) or b""
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), **fault.headers})
        await response.prepare(request)
        if fault.kind == "trickle":
            for position in range(len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(fault.seconds)
            return response
        await response.write(body[: len(body) // 2 if fault.at is None else fault.at])
        if fault.kind == "reset":
            # what was written leaves first, then the reset
            await asyncio.sleep(0)
            transport.abort()
        else:
            transport.close()
        return response


def main() -> None:
    """Serve until standard input ends; then print how many requests there were and when."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of JPEGs to choose from by path; drawn ones without it")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--mix", type=json.loads, default={}, help="JSON: probability by fault")
    options = parser.parse_args()
    pool = [file.read_bytes() for file in sorted(options.images.iterdir())] if options.images else [
        jpeg(seed) for seed in range(500)
    ]  # fmt: skip

    def image(path: str) -> bytes:
        return with_comment(pool[zlib.crc32(path.encode()) % len(pool)], path)

    with FaultServer(image=image, latency=options.latency, mix=options.mix) as server:
        print(server.base, flush=True)
        sys.stdin.read()
        moments = [moment for moment, *_ in server.requests]
        # the monotonic clock is the machine's, so another process can compare
        print(json.dumps({"requests": len(moments), "first": min(moments, default=None)}))


if __name__ == "__main__":
    main()
