"""Pages as a browser without a window shows them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = (1400, 900), (500, 900)


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def browse(url: str, *options: str, size: tuple[int, int] = DESK, budget_ms: int = 8000) -> str:
    """Open a page and return what the browser writes to standard output.

    Args:
        url: The page; hosts other than this machine are not resolved.
        *options: Of Chromium, such as `--dump-dom` or `--screenshot=<file>`.
        size: Of the window, width and height in pixels.
        budget_ms: How long the page's own clock runs.

    Returns:
        Standard output: the document after its scripts ran, with `--dump-dom`.
    """
    browser = find_browser()
    assert browser is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
            f"--virtual-time-budget={budget_ms}", *options, url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Run a server of the project on a free port of this machine alone, and end it.

    Args:
        folder: The project.
        *arguments: Of Python, such as `-m kedro viz run`; `--host` and `--port` are added.
        **environment: Variables besides those of this process.

    Yields:
        Its address, once it answers.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *arguments, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield _wait(f"http://127.0.0.1:{port}", process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(240):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
        else:
            return url
    raise TimeoutError(url)
