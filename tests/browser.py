"""Pages as a browser without a window shows them, driven by Chromium's own debugging protocol over a pipe."""

import base64
import contextlib
import functools
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = (1400, 900), (500, 900)
PATIENCE_S = 120


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Page:
    """An open page of a browser.

    Args:
        requests: Where the browser reads commands.
        answers: Where it writes answers, each a JSON object that ends in a zero byte.
    """

    def __init__(self, requests: Any, answers: Any) -> None:
        self._requests, self._answers = requests, answers
        self._number, self._unread = 0, b""
        self._session: dict[str, str] = {}
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}

    def open(self, url: str, *, until: str, size: tuple[int, int] = DESK) -> None:
        """Open a page and wait for what it has to show.

        Args:
            url: The page.
            until: An expression in its own JavaScript, true once it is there.
            size: Of the window, width and height in pixels.
        """
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self._ask("Page.navigate", url=url)
        self.wait(until)

    def wait(self, until: str) -> None:
        """Wait until an expression is true; one that fails, while the page still loads, is not."""
        end = time.monotonic() + PATIENCE_S
        while not self.tell(f"(() => {{ try {{ return !!({until}) }} catch {{ return false }} }})()"):
            if time.monotonic() > end:
                raise TimeoutError(f"{until} after {PATIENCE_S} s; the page says: {self.text()[:2000]}")
            time.sleep(0.2)

    def tell(self, expression: str) -> Any:
        """Return what an expression of the page's JavaScript says, a number, a text or a list of them."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def text(self) -> str:
        """Return the words a reader sees."""
        return str(self.tell("document.body ? document.body.innerText : ''"))

    def html(self) -> str:
        """Return the document as it stands."""
        return str(self.tell("document.documentElement.outerHTML"))

    def shoot(self, file: Path) -> None:
        """Save a picture of the window, when its animations have come to rest."""
        time.sleep(1)
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        self._requests.write(json.dumps(message).encode() + b"\0")
        self._requests.flush()
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _read(self) -> bytes:
        while b"\0" not in self._unread:
            part = self._answers.read(1 << 20)
            assert part, "the browser ended"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return message


def browse(url: str, *options: str, size: tuple[int, int] = DESK, budget_ms: int = 8000) -> str:
    """Open a page once, for what only the command line of the browser can do.

    Args:
        url: The page; hosts other than this machine are not resolved.
        *options: Of Chromium, such as `--print-to-pdf=<file>` or a setting it starts with.
        size: Of the window, width and height in pixels.
        budget_ms: How long the page's own clock runs.

    Returns:
        Standard output: the document after its scripts ran, with `--dump-dom`.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        window = [f"--window-size={size[0]},{size[1]}", f"--virtual-time-budget={budget_ms}"]
        command = [*_command(profile), *window, *options, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextlib.contextmanager
def browsing() -> Iterator[Page]:
    """Run a browser without a window, which finds no host but this machine, and end it.

    Yields:
        A page of it.
    """
    for_browser, requests = os.pipe()
    answers, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            # the protocol's own numbers: 3 to read from, 4 to write to
            "bash", "-c", f'exec "$@" 3<&{for_browser} 4>&{from_browser}', "bash",
            *_command(profile), "--remote-debugging-pipe",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, pass_fds=(for_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(for_browser)
        os.close(from_browser)
        with os.fdopen(requests, "wb") as told, os.fdopen(answers, "rb", buffering=0) as said:
            try:
                yield Page(told, said)
            finally:
                _end(process)


@contextlib.contextmanager
def serving(
    folder: Path, *arguments: str, address: str = "--host 127.0.0.1 --port {port}", **environment: str
) -> Iterator[str]:
    """Run a server of the project on a free port of this machine alone, and end it.

    Args:
        folder: The project.
        *arguments: Of Python, such as `-m kedro viz run`.
        address: The options that tell the server its address, added to these.
        **environment: Variables besides those of this process.

    Yields:
        Its address, once it answers.
    """
    port = _free_port()
    command = [sys.executable, *arguments, *address.format(port=port).split()]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield _wait(f"http://127.0.0.1:{port}", process)
        except (ChildProcessError, TimeoutError) as error:
            log.seek(0)
            raise AssertionError(f"{error}; it said: {log.read().decode()[-3000:]}") from error
        finally:
            _end(process)


@contextlib.contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    """Serve a folder, such as what `kedro viz build` makes, on a free port of this machine alone.

    Args:
        folder: With an `index.html`.

    Yields:
        Its address.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def _command(profile: str) -> list[str]:
    browser = find_browser()
    assert browser is not None
    return [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1", f"--user-data-dir={profile}",
    ]  # fmt: skip


def _free_port() -> int:
    # below what the system hands out by itself; Kedro-Viz refuses any above 49151
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20000 and 32000")


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> str:
    for _ in range(2 * PATIENCE_S):
        if process.poll() is not None:
            raise ChildProcessError(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
        else:
            return url
    raise TimeoutError(url)
