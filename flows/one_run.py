"""One run at a time on one store, on several machines too.

The store's lock file keeps runs of one machine apart (`pricing.plan.store_lock`). A global concurrency limit of the
server, one slot named after the store, does it for several machines and is on the UI's Concurrency page. Its slot is
leased: what a killed run left is taken over at once here, elsewhere when it expires.
"""

import contextvars
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run

from pricing.config.paths import PathsConfig
from pricing.plan.store_lock import WAIT_SECONDS, StoreLock, holder_of

LEASE_SECONDS = 120.0
"""Seconds that a slot stays taken after its run was last heard of; it is renewed four times as often."""


def limit_name(artifacts: Path | str) -> str:
    """Name of the store's concurrency limit: the same for every run that is given this folder or address."""
    place = artifacts.resolve() if isinstance(artifacts, Path) else artifacts
    return f"pricing-store-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"


@contextmanager
def one_run(paths: PathsConfig, *, alone: bool = True) -> Iterator[None]:
    """Wait until no other run works on the store, and keep others waiting until the block ends.

    Parameters
    ----------
    alone : bool
        False does nothing of this: several runs may share the work.
    """
    if not alone:
        yield
        return
    with (
        StoreLock(paths, get_run_logger().info, str(flow_run.name)).held() as lock,
        get_client(sync_client=True) as client,
    ):
        lease = _take_slot(client, limit_name(paths.artifacts), lock)
        try:
            with lock.told(lease=str(lease)), _renewing(lease):
                yield
        finally:
            with suppress(httpx.HTTPError):  # a server that is gone must not hide why the run ended
                client.release_concurrency_slots_with_lease(lease)


def _take_slot(client: SyncPrefectClient, name: str, lock: StoreLock) -> UUID:
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
        left = holder_of(lock.record)
        if left.get("host") == socket.gethostname():
            lock.record.unlink(missing_ok=True)
            if "lease" in left:
                client.release_concurrency_slots_with_lease(UUID(left["lease"]))
            if client.read_global_concurrency_limit_by_name(name).active_slots:  # the lease is lost with its server
                client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        else:
            lock.wait()


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
