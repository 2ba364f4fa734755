"""Task runs whose process died: nobody else tells the server, and they would stay Running."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed

MESSAGE = "Its process ended; the run's log says how. What is finished is kept."


def crashed_with_its_process(future: PrefectFuture[Any]) -> None:
    """Set a task run to Crashed when the process that does it dies; another runner's is left alone."""

    def close(ended: Future[Any]) -> None:
        if ended.cancelled() or not isinstance(ended.exception(), BrokenProcessPool):
            return
        # a server that is away must not keep the run from its end; one that comes back within 6 s is told
        with (
            suppress(httpx.HTTPError, ObjectNotFound),
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 2}),
            get_client(sync_client=True) as client,
        ):
            client.set_task_run_state(future.task_run_id, Crashed(message=MESSAGE), force=True)

    if isinstance(future, PrefectConcurrentFuture):  # Dask runs a step of a lost worker again
        future.wrapped_future.add_done_callback(close)
