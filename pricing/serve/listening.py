"""The service's process: one port, logs as JSON, an orderly end."""

import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from pricing.errors import InputError
from pricing.serve.model_holder import ModelHolder
from pricing.serve.observing import JsonFormatter
from pricing.serve.serve_settings import ServeSettings
from pricing.serve.served_model import ServedModel
from pricing.serve.service import create_service

BACKLOG = 128


def make_server(holder: ModelHolder, settings: ServeSettings) -> uvicorn.Server:
    """Return the server of a model, not yet listening."""
    config = uvicorn.Config(
        create_service(holder, settings), log_config=None, access_log=False, server_header=False, date_header=False,
        proxy_headers=False, timeout_graceful_shutdown=int(settings.seconds) + 5, backlog=BACKLOG,
    )  # fmt: skip
    return uvicorn.Server(config)


def bind(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one.

    Raises
    ------
    InputError
        The host is unknown, or the port is taken or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}, port {port}: cannot be listened on ({error}); give another --host or --port"
        ) from None


def serve(folder: Path, host: str, port: int, settings: ServeSettings) -> None:
    """Serve a model until SIGTERM or SIGINT, which end what is under way and take nothing new.

    Parameters
    ----------
    folder : Path
        A run's folder, or a model folder.
    host, port
        Where to listen; see `bind`.
    settings : ServeSettings
        Limits and permissions.

    Raises
    ------
    InputError
        The folder holds no model, or the port cannot be had.
    ArtifactError
        The model is of another version.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[lines], force=True)
    for name in ("pricing.serve", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    with bind(host, port) as listener:
        holder = ModelHolder(folder, lambda place: ServedModel.load(place, settings))
        server = make_server(holder, settings)
        address, taken = listener.getsockname()[:2]
        logging.getLogger(__name__).info("model %s at http://%s:%d", holder.current.name, address, taken)
        # uvicorn raises the signal again once it has drained; that is an orderly end
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        server.run([listener])
