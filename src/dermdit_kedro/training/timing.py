"""How long the steps of a training take here if nothing else runs: real ones, on input drawn at random."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dermdit_kedro.training.footprint import Workload, draw_batch
from dermdit_kedro.training.precision import settle_precision


def time_step(workload: Workload, device: torch.device, budget_s: float) -> float:
    """Time real steps of the model at its batch on random input: up to three, until the time is used up.

    Args:
        workload: The training.
        device: Where it computes.
        budget_s: Seconds after which no further step is begun.

    Returns:
        Seconds of the fastest: forward and backward pass, clipping and AdamW.
    """
    model = workload.build().to(device).train()
    training = settle_precision(workload.training, device.type)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=training.learning_rate, fused=True)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(training.mixed_precision)

    def step(number: int) -> None:
        for _ in range(training.gradient_accumulation_steps):
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = workload.loss(model, draw_batch(workload, number, device))["loss"]
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return _fastest(step, device, budget_s)


def time_pass(workload: Workload, device: torch.device, budget_s: float) -> float:
    """Time forward passes of the model at the batch of its training, where nothing is learned.

    Args:
        workload: The training.
        device: Where it computes.
        budget_s: Seconds after which no further pass is begun.

    Returns:
        Seconds of the fastest.
    """
    model = workload.build().to(device).eval()
    with torch.no_grad():
        return _fastest(lambda number: workload.loss(model, draw_batch(workload, number, device)), device, budget_s)


def _fastest(step: Callable[[int], Any], device: torch.device, budget_s: float) -> float:
    """Return the seconds of the fastest of up to three steps."""
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < budget_s:
        start = _now(device)
        step(len(seconds))
        seconds.append(_now(device) - start)
    return min(seconds)


def operations_per_second(device: torch.device, side: int = 1024) -> float:
    """Time a product of matrices: what this device computes at best, in float32.

    Args:
        device: Where it computes.
        side: Of the square matrices.

    Returns:
        Floating-point operations a second.
    """
    a = torch.randn(side, side, device=device)
    a @ a
    seconds = []
    for _ in range(3):
        start = _now(device)
        a @ a
        seconds.append(_now(device) - start)
    return 2 * side**3 / min(seconds)


def find_device(asked: str) -> torch.device:
    """Return where a training computes.

    Args:
        asked: `launch.device`.

    Returns:
        The accelerator, unless the CPU is asked for or alone.
    """
    found = None if asked == "cpu" else torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def memory_free(device: torch.device) -> int:
    """Return the bytes of memory that a device has to spare; a great many where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.is_file() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    return 1024 * kilobytes[0] if kilobytes else 2**62


def _now(device: torch.device) -> float:
    """Return seconds of an accelerator by the clock, of a CPU by its own time: what else runs there does not count."""
    if device.type == "cpu":
        return time.process_time() / torch.get_num_threads()
    torch.accelerator.synchronize(device)
    return time.perf_counter()
