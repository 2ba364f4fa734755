"""A real HTTP server on loopback that misbehaves by script; test tool, nothing in it is mocked."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from aiohttp import web
from PIL import Image, ImageDraw


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A small picture, another one for each seed."""
    image = Image.new("RGB", size, ((seed * 37) % 256, (seed * 91) % 256, (seed * 53) % 256))
    ImageDraw.Draw(image).ellipse((4, 4, size[0] - 4, size[1] - 4), fill=((seed * 11) % 256, 200, seed // 256 % 256))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class Fault:
    """One scripted answer."""

    kind: str
    """``status``, ``reset`` (before any byte), ``cut`` (right Content-Length, short body), ``slow``, ``body``,
    ``redirect`` or ``trickle`` (a byte now and then)."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0


@dataclass
class FaultServer:
    """Serves ``/anything`` with what ``picture`` makes of the path, after the path's scripted faults are used up.

    ``always`` faults are never used up. ``requests`` holds (monotonic seconds, path, Range header).
    """

    picture: Callable[[str], bytes | None] = lambda path: jpeg(sum(path.encode()))
    latency: float = 0.0
    gate: Callable[[str], Fault | None] = lambda path: None

    def __post_init__(self) -> None:
        self.script: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.requests: list[tuple[float, str, str | None]] = []
        self.in_flight = self.most_in_flight = 0
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
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.requests.append((time.monotonic(), path, request.headers.get("Range")))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            fault = self.gate(path) or self.always.get(path)
            if fault is None and self.script.get(path):
                fault = self.script[path].pop(0)
            if fault is not None:
                return await self._misbehave(request, fault)
            body = self.picture(path)
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
            return web.Response(body=fault.body, headers=fault.headers, content_type="image/jpeg")
        if fault.kind == "reset":
            transport.abort()
            return web.Response()
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return web.Response(status=503)
        body = fault.body or jpeg()
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), **fault.headers})
        await response.prepare(request)
        if fault.kind == "trickle":
            for position in range(len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(fault.seconds)
        else:
            await response.write(body[: len(body) // 2])
            transport.close()
        return response
