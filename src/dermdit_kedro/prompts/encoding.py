"""The job that encodes the prompts of a set: each unique prompt once, the null prompt first.

Prompts of like length go together, so that little is computed on padding; the embeddings are written row by row,
so that memory does not grow with their number.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermdit_kedro.atomic import atomic_file
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child
from dermdit_kedro.progress import Progress
from dermdit_kedro.prompts.clip import NULL_PROMPT, count_tokens, encode_text, load_text_encoder, tokenize_windows


def main(job: Job) -> None:
    """Encode the prompts of one set.

    Job: speed batch_size; inputs text_encoder (ModelFolder) and prompts (image_id, prompt). Result: a
    `TextEmbeddings` folder, and in it `prompts.parquet` (row, prompt).

    Args:
        job: The work folder.
    """
    from accelerate import PartialState

    state = PartialState()
    if not state.is_main_process:
        return
    table = job.table("prompts")
    unique = list(dict.fromkeys([NULL_PROMPT, *table["prompt"]]))
    text_encoder, tokenizer = load_text_encoder(job.input("text_encoder", ModelFolder).path)
    text_encoder.to(state.device)
    max_windows = int(getattr(text_encoder.config, "max_windows", 1))
    lengths = _lengths(tokenizer, unique, max_windows)
    order = np.argsort(lengths, kind="stable")
    progress, batch_size = Progress("encode prompts", len(unique), "prompts"), job.config("batch_size", int)
    with atomic_file(job.result / "embeddings.safetensors") as aside:
        shape = (len(unique), int(lengths.max()), int(text_encoder.config.hidden_size))
        embeddings, mask = _create_tensors(aside, embeddings=("F32", shape), mask=("U8", shape[:2]))
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            length = int(lengths[rows].max())
            encoded = encode_text(text_encoder, tokenizer, [unique[row] for row in rows], length)
            embeddings[rows, :length], mask[rows, :length] = (part[:, :length].cpu().numpy() for part in encoded)
            progress.advance(len(rows))
        embeddings.flush()
        mask.flush()
    row_of = {prompt: row for row, prompt in enumerate(unique)}
    with atomic_file(job.result / "index.parquet") as aside:
        table[["image_id"]].assign(row=table["prompt"].map(row_of).astype("int64")).to_parquet(aside, index=False)
    with atomic_file(job.result / "prompts.parquet") as aside:
        pd.DataFrame({"row": range(len(unique)), "prompt": unique}).to_parquet(aside, index=False)
    job.complete()


def _lengths(tokenizer: Any, prompts: list[str], max_windows: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return how many tokens each prompt has after the cut, the marks of all its windows included."""
    if max_windows == 1:
        return np.minimum(np.array(count_tokens(tokenizer, prompts)), int(tokenizer.model_max_length))
    return np.array([sum(map(len, tokenize_windows(tokenizer, prompt, max_windows))) for prompt in prompts])


def _create_tensors(path: Path, **tensors: tuple[str, tuple[int, ...]]) -> "list[np.memmap[Any, Any]]":
    """Create a safetensors file of zeros whose tensors are written to in place, which its library cannot do.

    Args:
        path: The file to create.
        **tensors: Type and shape by name; wider types first, as the format wants them aligned.

    Returns:
        The tensors, mapped.
    """
    types: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "U8": np.dtype("u1")}
    header: dict[str, Any] = {}
    start = 0
    for name, (kind, shape) in tensors.items():
        end = start + int(np.prod(shape)) * types[kind].itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + start)
    return [
        np.memmap(path, types[kind], "r+", 8 + len(text) + header[name]["data_offsets"][0], shape)
        for name, (kind, shape) in tensors.items()
    ]


if __name__ == "__main__":
    run_child(main)
