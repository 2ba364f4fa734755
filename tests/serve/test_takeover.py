"""A new model in the folder's place, and the end of the process, without a lost request."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from pricing.serve.serve_settings import ServeSettings
from tests.serve.conftest import serving

PRODUCT = {"products": [{"sample_id": "a", "catalog_content": "Item Name: Green Tea, 100 g"}]}
WAIT = 60.0
START = """
import sys
from pathlib import Path
from pricing.run import model
from pricing.serve.served_model import ServedModel
from tests.run.small_run import MEMBERS
model.member_classes = lambda: MEMBERS
price, pipe = ServedModel.price, Path(sys.argv[1])
def held(self, *args):
    pipe.open("rb").read()
    return price(self, *args)
ServedModel.price = held
sys.argv = ["pricing", "serve", "--port", "0", "--model", sys.argv[2]]
from flows.cli import main
main()
"""
"""The command, whose predictions wait for somebody to write into a named pipe."""


def changed(model: Path, folder: Path) -> Path:
    """A copy of a model whose made-up member predicts otherwise."""
    shutil.copytree(model, folder)
    for path in (folder / "members" / "shifted").glob("*/shift.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) + 0.5))
    return folder


@pytest.fixture
def place(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "place"))


def swap(place: Path, new: Path) -> None:
    place.rename(place.with_name("old"))
    new.rename(place)


def test_a_new_model_is_taken_over_and_no_request_is_lost(place: Path, tmp_path: Path) -> None:
    with serving(place, ServeSettings(workers=2)) as served:
        before = served.client.post("/price", json=PRODUCT).json()
        swap(place, changed(place, tmp_path / "new"))
        answers = []
        while not answers or answers[-1]["model"] == before["model"]:
            answer = served.client.post("/price", json=PRODUCT)
            assert answer.status_code == 200
            answers.append(answer.json())
        assert answers[-1]["prices"][0]["price"] != before["prices"][0]["price"]
        assert {answer["prices"][0]["price"] for answer in answers[:-1]} <= {before["prices"][0]["price"]}
        assert served.client.get("/model").json()["model"] == answers[-1]["model"]


def test_the_same_model_has_the_same_name_anywhere(place: Path, model_folder: Path) -> None:
    with serving(place, ServeSettings(workers=1)) as one, serving(model_folder, ServeSettings(workers=1)) as other:
        assert one.holder.current.name == other.holder.current.name


def test_a_model_that_cannot_be_read_is_not_taken_over(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(place, ServeSettings(workers=1)) as served:
        name = served.holder.current.name
        broken = changed(place, tmp_path / "broken")
        (broken / "trust.json").unlink()
        swap(place, broken)
        while not served.holder.loads["failed"]:
            assert served.client.post("/price", json=PRODUCT).json()["model"] == name
        assert "not taken over" in caplog.text
        assert not served.holder.refresh(), "and not tried again"
        assert served.client.post("/price", json=PRODUCT).json()["model"] == name


def test_between_two_renames_the_model_stays(place: Path) -> None:
    with serving(place, ServeSettings(workers=1)) as served:
        place.rename(place.with_name("away"))
        assert not served.holder.refresh()
        assert served.client.post("/price", json=PRODUCT).status_code == 200


def test_sigterm_ends_what_is_under_way_and_takes_nothing_new(model_folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(pipe), str(model_folder)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = next(line for line in map(json.loads, process.stderr) if " at http://" in line["message"])
        address = said["message"].partition(" at ")[2]
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{address}/price", json=PRODUCT, timeout=WAIT))
        )
        asking.start()
        with pipe.open("wb"):  # opens when the prediction has begun, which ends when it is closed
            process.send_signal(signal.SIGTERM)
            while True:
                try:
                    httpx.get(f"{address}/health", timeout=1)
                except httpx.TransportError:
                    break
        asking.join()
        assert answers[0].status_code == 200
        assert answers[0].json()["prices"][0]["price"] > 0
        assert process.wait(WAIT) == 0
        lines = [json.loads(line) for line in process.stderr]
        assert [line["status"] for line in lines if line.get("path") == "/price"] == [200]
    finally:
        process.kill()
        process.communicate()
