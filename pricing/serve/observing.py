"""Request ids, one line of JSON per request, and figures for Prometheus."""

import json
import logging
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pricing.serve.model_holder import ModelHolder
from pricing.serve.static_page import GUARDS
from pricing.serve.work_pool import WorkPool

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""What a client may call its request; anything else would reach the log."""


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time (UTC), level, logger, message, and ``extra={"fields": {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {"time": stamp, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Figures:
    """What GET /metrics shows; each service has its own.

    Parameters
    ----------
    holder : ModelHolder
        Its model and takeovers are shown.
    pool : WorkPool
        Its requests are counted.
    """

    def __init__(self, holder: ModelHolder, pool: WorkPool) -> None:
        self._holder, self._pool = holder, pool
        self.registry = CollectorRegistry()
        self.requests = Counter("pricing_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        buckets = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10, 30, 60)
        self.seconds = Histogram(
            "pricing_request_seconds", "Time from the request's head to the answer's end.", ["path"],
            registry=self.registry, buckets=buckets,
        )  # fmt: skip
        self.products = Counter("pricing_products", "Products by outcome.", ["outcome"], registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def count(self, prices: list[dict[str, Any]]) -> None:
        """Count the products of an answer."""
        refused = sum("error" in price for price in prices)
        self.products.labels("priced").inc(len(prices) - refused)
        self.products.labels("refused").inc(refused)

    def collect(self) -> Iterator[Metric]:
        """Yield what is read at the moment."""
        yield GaugeMetricFamily("pricing_in_flight", "Requests at work or waiting.", self._pool.taken)
        takeovers = CounterMetricFamily("pricing_model_takeovers", "New models by outcome.", labels=["outcome"])
        for outcome, count in self._holder.loads.items():
            takeovers.add_metric([outcome], count)
        yield takeovers
        model = GaugeMetricFamily("pricing_model_info", "The model that is served.", labels=["model"])
        model.add_metric([self._holder.current.name], 1)
        yield model


class Observed:
    """ASGI middleware: gives each request an id, which the answer's X-Request-ID repeats, logs and measures it.

    Neither products nor keys are logged.
    """

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app, self._figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given.decode() if _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 500, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (HEADER, request_id.encode())
                message = {**message, "headers": [*message.get("headers", []), own, *GUARDS]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            # an unknown path is a client's text, and there are endlessly many
            path = getattr(scope.get("route"), "path", "other")
            self._figures.requests.labels(path, str(status)).inc()
            self._figures.seconds.labels(path).observe(seconds)
            fields = {"request_id": request_id, "method": scope["method"], "path": path, "status": status,
                      "seconds": round(seconds, 4)}  # fmt: skip
            logger.info("request", extra={"fields": fields})
