"""A disk that takes no more, for a process of its own."""

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import resource, signal, sys
from pathlib import Path
from dermdit_kedro.cli import user_message
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import LaunchConfig, launch

def fill(num_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{before}
try: launch(Job(Path(sys.argv[1])), LaunchConfig(device="cpu"))
except Exception as error: sys.exit(user_message(error, is_before_nodes=False))
"""


def fail_to_write(job_folder: Path, before: str) -> str:
    """Launch a job whose files may not grow, the nearest to a full disk that takes no rights.

    Args:
        job_folder: The job.
        before: Python that calls `fill(num_bytes)`, at once or when something is written.

    Returns:
        What the user is told.
    """
    command = [sys.executable, "-c", _PROGRAM.format(before=before), str(job_folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    return run.stderr.splitlines()[-1]
