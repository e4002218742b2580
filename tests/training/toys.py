"""What the tests of training share: prompts drawn by chance, stand-ins for other machines, who is still alive."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import torch
from safetensors.torch import save_file

from dermdit_kedro.handles import TextEmbeddings

IMAGES = [f"{i:02d}" for i in range(36)]
SRUN = """#!/bin/bash
# Stands for `srun` on two machines: starts its command twice, tells each which it is, passes SIGTERM on.
trap 'kill $(jobs -p)' TERM
SLURM_PROCID=0 "$@" & first=$!
SLURM_PROCID=1 "$@" & second=$!
wait $first; a=$?
wait $second; b=$?
exit $(( a > b ? a : b ))
"""


def draw_embeddings(folder: Path, width: int) -> TextEmbeddings:
    """Two prompts of up to four tokens, and the null prompt."""
    folder.mkdir(parents=True)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.uint8)
    embeddings = torch.randn(3, 4, width, generator=torch.Generator().manual_seed(0))
    save_file({"embeddings": embeddings, "mask": mask}, folder / "embeddings.safetensors")
    rows = [1 + i % 2 for i in range(len(IMAGES))]
    pd.DataFrame({"image_id": IMAGES, "row": rows}).to_parquet(folder / "index.parquet")
    return TextEmbeddings(folder, f"two prompts of width {width}")


def write_srun(folder: Path) -> Path:
    """Write the stand-in for `srun`."""
    file = folder / "srun"
    file.write_text(SRUN)
    file.chmod(0o755)
    return file


@contextmanager
def second_machine(work_dir: Path) -> Iterator[Path]:
    """Lend a second "machine" to the jobs in `work_dir`, as one command a machine does; yields what it says."""
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dermdit_kedro.joining", str(work_dir), "1"]
    said = work_dir / "second_machine.log"
    with said.open("w") as out, subprocess.Popen(command, stderr=out) as machine:
        try:
            yield said
        finally:
            machine.terminate()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every other process whose command line names something below a folder: parents, foremen and workers."""
    found = []
    for process in psutil.process_iter():
        try:
            names_it = any(str(folder) in part for part in process.cmdline())
            if names_it and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
