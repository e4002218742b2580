"""Nothing calls home: neither Kedro, nor MLflow, nor the hub."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

OFF = {
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

GUARDED_RUN = textwrap.dedent(
    """
    import socket, sys, threading

    calls = []

    def is_local(address):
        return not isinstance(address, tuple) or str(address[0]) in {"127.0.0.1", "::1", "localhost"}

    def guard(name):
        original = getattr(socket.socket, name)
        def guarded(self, address, *rest):
            if not is_local(address):
                calls.append(("connect", address))
                raise OSError("guarded")
            return original(self, address, *rest)
        setattr(socket.socket, name, guarded)

    for name in ("connect", "connect_ex", "sendto"):
        guard(name)
    original_lookup = socket.getaddrinfo
    def lookup(host, *rest, **named):
        if host is not None and not is_local((host,)) and host != socket.gethostname():
            calls.append(("lookup", host))
            raise OSError("guarded")
        return original_lookup(host, *rest, **named)
    socket.getaddrinfo = lookup

    from kedro.framework.cli.cli import main
    sys.argv = ["kedro", "run"]
    try:
        main()
    except SystemExit as ending:
        status = ending.code or 0
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=2)
    sys.stdout.write(f"status {status} calls {calls}")
    """
)


@pytest.fixture
def bare_environment() -> dict[str, str]:
    """The environment of a user who has switched nothing off."""
    return {name: value for name, value in os.environ.items() if name not in {*OFF, "DISABLE_TELEMETRY", "CI"}}


def test_importing_the_package_switches_telemetry_off(bare_environment: dict[str, str]) -> None:
    code = f"import dermdit_kedro, os, json; assert {OFF!r}.items() <= dict(os.environ).items()"
    subprocess.run([sys.executable, "-c", code], env=bare_environment, check=True)


def test_a_users_own_choice_stays(bare_environment: dict[str, str]) -> None:
    code = "import dermdit_kedro, os; assert os.environ['DO_NOT_TRACK'] == 'mine'"
    subprocess.run([sys.executable, "-c", code], env={**bare_environment, "DO_NOT_TRACK": "mine"}, check=True)


def test_kedro_telemetry_has_no_consent(root: Path) -> None:
    assert yaml.safe_load((root / ".telemetry").read_text()) == {"consent": False}
    ignored = subprocess.run(["git", "check-ignore", "-q", ".telemetry"], cwd=root, check=False).returncode
    assert ignored != 0


def test_mlflow_and_the_hub_agree(bare_environment: dict[str, str]) -> None:
    code = (
        "import dermdit_kedro; from mlflow.telemetry.utils import is_telemetry_disabled;"
        "from huggingface_hub import constants;"
        "assert is_telemetry_disabled() and constants.HF_HUB_DISABLE_TELEMETRY"
    )
    subprocess.run([sys.executable, "-c", code], env=bare_environment, check=True)


def guarded_run(project: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", GUARDED_RUN]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert "status 0" in result.stdout, result.stderr[-2000:]
    return result.stdout.rpartition("calls ")[2]


def test_a_run_connects_to_nobody(toy: Path, bare_environment: dict[str, str]) -> None:
    assert guarded_run(toy, bare_environment) == "[]"


@pytest.mark.slow
def test_the_guard_would_see_telemetry_come_back(toy: Path, bare_environment: dict[str, str]) -> None:
    (toy / ".telemetry").unlink()
    assert "heapanalytics" in guarded_run(toy, {**bare_environment, **dict.fromkeys(OFF, "")})
