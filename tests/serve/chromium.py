"""Headless Chromium over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

WAIT = 60
"""Maximum time for anything to happen, in seconds."""
_KEYS = {"Tab": 9, "Enter": 13}


class Tab:
    """One tab: a page that is shown, used by keyboard, and asked what it holds.

    Attributes
    ----------
    complaints : list of str
        What the browser said of the page: script errors, what the Content-Security-Policy refused.
    addresses : list of str
        What the page asked for.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._number = connection, 0
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Ask the browser for something; what happened meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=WAIT))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.addresses.append(told["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif event == "Log.entryAdded" and told["entry"]["source"] != "network":
            self.complaints.append(told["entry"]["text"])

    def open(self, address: str, width: int = 1280, height: int = 900) -> None:
        """Show a page in a window of a size in pixels; returns when it has asked for all that it needs."""
        self.complaints.clear()
        self.addresses.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 500)  # fmt: skip
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true, looked at in every frame."""
        end = WAIT * 1000
        assert self.ask(
            f"new Promise(done => {{ const began = performance.now(), look = () => {{ if ({condition}) done(true);"
            f" else if (performance.now() - began > {end}) done(false); else setTimeout(look, 16); }}; look(); }})"
        ), f"{condition}: not within {WAIT} s"

    def text(self, selector: str) -> str:
        """What is read at a place."""
        return str(self.ask(f"document.querySelector({json.dumps(selector)}).innerText"))

    def type(self, text: str) -> None:
        """Write into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, control: bool = False) -> None:
        """Press a key."""
        code = _KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r" if key == "Enter" else "", **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file, as by the browser's dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def download(self, selector: str, folder: Path, name: str) -> bytes:
        """Click on what offers a file, and return what is saved."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")
        # it gets its name when it is whole
        while not (folder / name).exists():
            self.ask("new Promise(done => setTimeout(done, 16))")
        return (folder / name).read_bytes()

    def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(shot))


@contextmanager
def browsing(profile: Path) -> Iterator[Tab]:
    """A browser's tab; the test is skipped where there is no browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--no-first-run",
               "--disable-background-networking", "--disable-component-update"]  # fmt: skip
    process = subprocess.Popen(
        [browser, *options, "--remote-debugging-port=0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "DevTools listening on " in line)
        address = line.partition("DevTools listening on ")[2].strip()
        with connect(address, max_size=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.communicate()
