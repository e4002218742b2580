"""What the foreman of every machine is told: one `plan.json` in the folder of a launch."""

import os
import socket
import uuid
from pathlib import Path

from dermdit_kedro.atomic import write_json
from dermdit_kedro.child_process import PLAN, TIMEOUT, WORLD_SIZE
from dermdit_kedro.jobs import Job
from dermdit_kedro.launch_config import LaunchConfig


def write_plan(job: Job, config: LaunchConfig, use_cpu: bool, folder: Path) -> None:
    """Write the command of a launch; every choice is made here, none by the user's own accelerate configuration.

    Args:
        job: The job.
        config: How to run it.
        use_cpu: Whether GPUs are left alone.
        folder: The folder of this launch, which all machines see.
    """
    several = config.world_size > 1
    kind = "MULTI_GPU" if several else "NO"
    choices = {"distributed_type": kind, "num_processes": config.world_size, "use_cpu": use_cpu, "debug": False}
    write_json(folder / "accelerate.json", {"compute_environment": "LOCAL_MACHINE", **choices})
    options = {
        "--config_file": (config.accelerate_config or folder / "accelerate.json").resolve(),
        "--num_processes": config.world_size,
        "--num_machines": config.num_machines,
        "--main_process_ip": config.main_process_ip or "127.0.0.1",
        "--main_process_port": config.main_process_port or (_free_port() if config.num_machines > 1 else 0),
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
        "--num_cpu_threads_per_process": _threads(config),
        "--rdzv_conf": f"timeout={max(1, round(config.timeout_s))}",
    }
    # `accelerate launch --cpu` runs one process whatever it is asked for; --multi_gpu with
    # ACCELERATE_USE_CPU runs several, over gloo.
    switches = ["--multi_gpu"] if several and config.accelerate_config is None else ["--cpu"] if use_cpu else []
    environment = {
        WORLD_SIZE: str(config.world_size),
        TIMEOUT: str(config.timeout_s),
        "OMP_NUM_THREADS": str(_threads(config)),
        "PYTHONUNBUFFERED": "1",
        **({"ACCELERATE_USE_CPU": "true"} if use_cpu else {}),
    }
    plan = {
        "attempt": uuid.uuid4().hex,
        "options": [str(part) for pair in options.items() for part in pair] + switches,
        "command": ["-m", job.spec["module"], str(job.folder.resolve() / "job.json")],
        "environment": environment,
        "num_machines": config.num_machines,
        "joined_by_hand": config.num_machines > 1 and not config.command_prefix,
        "timeout_s": config.timeout_s,
        "grace_s": config.grace_s,
    }
    write_json(folder / PLAN, plan)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


def _threads(config: LaunchConfig) -> int:
    """Return the threads of one process: its share of OMP_NUM_THREADS, or of the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(allowed) if allowed.isdigit() else cores) // config.num_processes)
