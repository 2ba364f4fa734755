"""A real server on loopback with the small run's model, and a client for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from pricing import Pricer
from pricing.run import model as run_model
from pricing.serve.listening import bind, make_server
from pricing.serve.model_holder import ModelHolder
from pricing.serve.serve_settings import ServeSettings
from pricing.serve.served_model import ServedModel
from pricing.store.artifacts import write_json
from tests.run.small_run import MEMBERS


@dataclass(frozen=True)
class Served:
    """A running server, and what is inside."""

    client: httpx.Client
    holder: ModelHolder
    server: uvicorn.Server


@pytest.fixture(scope="session")
def served_members() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(run_model, "member_classes", lambda: MEMBERS)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def model_folder(outputs: Path, tmp_path_factory: pytest.TempPathFactory, served_members: None) -> Path:
    """A model folder that a Pricer loads."""
    folder = tmp_path_factory.mktemp("served") / "model"
    (folder.parent).mkdir(exist_ok=True)
    import shutil

    shutil.copytree(outputs / "model", folder)
    write_json(folder / "config.json", Pricer("demo").config.model_dump(mode="json"))
    return folder


@contextmanager
def serving(folder: Path, settings: ServeSettings) -> Iterator[Served]:
    """Serve a model on a free port."""
    holder = ModelHolder(folder, lambda place: ServedModel.load(place, settings))
    server = make_server(holder, settings)
    with bind("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            # the port is bound already, so that a request waits for the server
            with httpx.Client(base_url=address, timeout=60) as client:
                yield Served(client, holder, server)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def served(model_folder: Path) -> Iterator[Served]:
    """The server with limits that a test can reach."""
    settings = ServeSettings(max_body=200_000, max_rows=50, max_text=5000, workers=2, in_flight=8)
    with serving(model_folder, settings) as found:
        yield found


@pytest.fixture
def serve_with(model_folder: Path) -> Callable[[ServeSettings], object]:
    """A server of other settings."""
    return lambda settings: serving(model_folder, settings)
