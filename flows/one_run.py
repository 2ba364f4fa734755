"""One run at a time on one store: two would train the same networks twice and share the machine's memory.

The store's lock file keeps runs of one machine apart, and the kernel frees it with the process, however that ends. A
global concurrency limit of the server, one slot named after the store, does it for several machines and is on the UI's
Concurrency page. Its slot is leased: what a killed run left is taken over at once here, elsewhere when it expires.
"""

import contextvars
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from filelock import FileLock, Timeout
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run

from pricing.config.paths import PathsConfig
from pricing.store.artifacts import write_json

LEASE_SECONDS = 120.0
"""Seconds that a slot stays taken after its run was last heard of; it is renewed four times as often."""
WAIT_SECONDS = 2.0
"""Seconds between two looks at a store that another run works on. Short, so that Ctrl-C is noticed while waiting."""


def limit_name(artifacts: Path) -> str:
    """Name of the store's concurrency limit: the same for every run that is given this folder."""
    return f"pricing-store-{hashlib.sha256(str(artifacts.resolve()).encode()).hexdigest()[:12]}"


@contextmanager
def one_run(paths: PathsConfig) -> Iterator[None]:
    """Wait until no other run works on the store, and keep others waiting until the block ends."""
    record = paths.work / "run.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(record.with_suffix(".lock"))
    waiting = _Waiting(paths.artifacts, record)
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            waiting.wait()
    try:
        with get_client(sync_client=True) as client:
            lease = _take_slot(client, limit_name(paths.artifacts), record, waiting)
            write_json(record, {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time(),
                                "run": str(flow_run.name), "lease": str(lease)})  # fmt: skip
            try:
                with _renewing(lease):
                    yield
            finally:
                record.unlink(missing_ok=True)
                with suppress(httpx.HTTPError):  # a server that is gone must not hide why the run ended
                    client.release_concurrency_slots_with_lease(lease)
    finally:
        lock.release()


class _Waiting:
    """Says once what a run waits for, and waits."""

    def __init__(self, artifacts: Path, record: Path) -> None:
        self.artifacts, self.record, self.said = artifacts, record, False

    def wait(self) -> None:
        if not self.said:
            holder = _read(self.record)
            since = time.strftime("%H:%M", time.localtime(holder["since"])) if holder else "now"
            who = f"run {holder['run']} (process {holder['pid']} on {holder['host']})" if holder else "another run"
            get_run_logger().info("waits for %s, which works on %s since %s", who, self.artifacts.absolute(), since)
            self.said = True
        time.sleep(WAIT_SECONDS)


def _read(record: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads(record.read_text(encoding="utf-8")))
    return {}


def _take_slot(client: SyncPrefectClient, name: str, record: Path, waiting: _Waiting) -> UUID:
    """Take the limit's slot, made if it is not there. With the lock held, a slot of this machine's has no run."""
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # by another run, a moment ago
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1, active=True))
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(str(flow_run.id)))
    while True:
        try:
            answer = client.increment_concurrency_slots_with_lease(
                names=[name], slots=1, mode="concurrency", lease_duration=LEASE_SECONDS, holder=holder
            )
            return UUID(answer.json()["lease_id"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.LOCKED:
                raise
        left = _read(record)
        if left.get("host") == socket.gethostname():
            record.unlink(missing_ok=True)
            client.release_concurrency_slots_with_lease(UUID(left["lease"]))
            if client.read_global_concurrency_limit_by_name(name).active_slots:  # the lease is lost with its server
                client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        else:
            waiting.wait()


@contextmanager
def _renewing(lease: UUID) -> Iterator[None]:
    """Renew the lease from a thread; a server that is away costs the slot and not the run."""
    ended = threading.Event()

    def renew() -> None:
        with get_client(sync_client=True) as client:
            while not ended.wait(LEASE_SECONDS / 4):
                with suppress(httpx.HTTPError):
                    client.renew_concurrency_lease(lease, LEASE_SECONDS)

    # the thread needs this one's context, which knows the server
    thread = threading.Thread(target=contextvars.copy_context().run, args=(renew,), daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WAIT_SECONDS)
