"""A headless Chromium, driven over its DevTools protocol: as much of it as a look at a page needs."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import debian
from websockets.sync.client import ClientConnection, connect

_PATIENCE_S = 60
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def chromium() -> str:
    """Return the browser's path; skip the test without one."""
    debian.require("chromium")
    return str(shutil.which("chromium"))


@dataclass
class Page:
    """One tab. What its console and its network say is kept in `complaints` and `requests`."""

    _socket: ClientConnection
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _number: int = 0
    _loaded: bool = False

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and gives its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def show(self, url: str, width: int, height: int = 900, *, scheme: str = "light") -> None:
        """Loads `url` in a window of that size, and waits until it is there."""
        self.complaints.clear()
        self.requests.clear()
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._loaded = False
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def pdf(self) -> bytes:
        """Return the page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=_PATIENCE_S))
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params))
        return message


@contextmanager
def started_browser(directory: Path) -> Iterator[Page]:
    """Starts a browser with a fresh profile in `directory`, and gives its one page."""
    profile = directory / "profile"
    process = subprocess.Popen(
        [chromium(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_page_address(process, profile), max_size=None, proxy=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            yield page
            page.call("Browser.close")
    finally:
        process.kill()
        process.wait()


def _page_address(process: "subprocess.Popen[bytes]", profile: Path) -> str:
    """Waits for the browser, asks it for its page, and gives the page's address."""
    file = profile / "DevToolsActivePort"
    ends = time.monotonic() + _PATIENCE_S
    while not (file.exists() and len(file.read_text().splitlines()) > 1):
        assert process.poll() is None, f"chromium ended with code {process.returncode}"
        assert time.monotonic() < ends, "chromium did not start"
        time.sleep(0.05)
    port, path = file.read_text().splitlines()
    with connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as socket:
        socket.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        while True:
            message = json.loads(socket.recv(timeout=_PATIENCE_S))
            if message.get("id") != 1:
                continue
            pages = [item for item in message["result"]["targetInfos"] if item["type"] == "page"]
            return f"ws://127.0.0.1:{port}/devtools/page/{pages[0]['targetId']}"
