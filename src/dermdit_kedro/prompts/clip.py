"""Prompts to text embeddings, E_t = CLIP(p) (equation 2): the last hidden state of every token, with its mask.

CLIP pads with its end-of-text token, so nothing tells padding from text but the attention mask: it is always
passed on. As a job this module encodes each unique prompt of a set once, the null prompt first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPTextModel, CLIPTokenizer

NULL_PROMPT = ""
"""The prompt of unconditional training and of the unguided half of guidance; row 0 of every TextEmbeddings."""


def load_text_encoder(folder: Path) -> "tuple[CLIPTextModel, CLIPTokenizer]":
    """Load a text encoder saved by `prompts.text_encoder`, or the two parts of a diffusers pipeline.

    Args:
        folder: Holds `text_encoder/` and `tokenizer/`.

    Returns:
        The model, in eval mode and float32, and its tokenizer.

    Raises:
        UserError: If a part is missing.
    """
    from transformers import CLIPTextModel

    part = _part(folder, "text_encoder")
    model: CLIPTextModel = CLIPTextModel.from_pretrained(part, local_files_only=True, use_safetensors=True)
    return model.float().eval(), load_tokenizer(folder)


def load_tokenizer(folder: Path) -> "CLIPTokenizer":
    """Load the tokenizer alone.

    Args:
        folder: As for `load_text_encoder`.

    Returns:
        The tokenizer.

    Raises:
        UserError: If it is missing.
    """
    from transformers import CLIPTokenizer

    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(_part(folder, "tokenizer"), local_files_only=True)
    return tokenizer


def _part(folder: Path, name: str) -> Path:
    if not (folder / name).is_dir():
        raise UserError(f"a text encoder folder must hold `text_encoder/` and `tokenizer/`. {folder} has no `{name}/`")
    return folder / name


def token_limit(tokenizer: "CLIPTokenizer") -> int:
    """Return how many tokens a prompt may have, its two marks included (77 for OpenAI's CLIP)."""
    return int(tokenizer.model_max_length)


def count_tokens(tokenizer: "CLIPTokenizer", prompts: Sequence[str]) -> list[int]:
    """Count tokens before any cut, begin and end marks included.

    Args:
        tokenizer: The text encoder's.
        prompts: Texts.

    Returns:
        One count a prompt; above `token_limit` the prompt is cut.
    """
    if not prompts:
        return []
    return [len(ids) for ids in tokenizer(list(prompts), truncation=False, padding=False, verbose=False)["input_ids"]]


def tokenize(
    tokenizer: "CLIPTokenizer", prompts: Sequence[str], max_length: int | None = None
) -> "tuple[Tensor, Tensor]":
    """Turn prompts into token ids of one length, cutting what exceeds the limit.

    Args:
        tokenizer: The text encoder's.
        prompts: n texts.
        max_length: The length l; null for the longest prompt among them.

    Returns:
        Ids int64 (n, l) and mask bool (n, l): True for the begin mark, the words and the first end mark.
    """
    limit = min(max_length or token_limit(tokenizer), token_limit(tokenizer))
    tokens = tokenizer(
        list(prompts),
        truncation=True,
        padding="longest" if max_length is None else "max_length",
        max_length=limit,
        return_tensors="pt",
    )
    return tokens["input_ids"], tokens["attention_mask"].bool()


def encode_text(
    text_encoder: "CLIPTextModel", tokenizer: "CLIPTokenizer", prompts: Sequence[str], max_length: int | None = None
) -> "tuple[Tensor, Tensor]":
    """Encode prompts. Law: a prompt's embedding does not depend on the prompts beside it, nor on `max_length`.

    Args:
        text_encoder: In eval mode; its device is used.
        tokenizer: The text encoder's.
        prompts: n texts; "" is the null prompt.
        max_length: The length l, at most the tokenizer's; null for the longest prompt among them.

    Returns:
        Embeddings float32 (n, l, d), zero at padding, and mask bool (n, l), True at real tokens; both on the
        device that the text encoder computes on.
    """
    import torch

    input_ids, mask = (part.to(text_encoder.device) for part in tokenize(tokenizer, prompts, max_length))
    with torch.no_grad():
        hidden = text_encoder(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state.float()
    mask = mask.to(hidden.device)  # an offloaded encoder computes elsewhere than it waits
    return hidden * mask.unsqueeze(-1), mask


def main(job: Job) -> None:
    """Encode the prompts of one set.

    Job: speed batch_size; inputs text_encoder (ModelFolder) and prompts (image_id, prompt). Result:
    a `TextEmbeddings` folder,
    and in it `prompts.parquet` (row, prompt).

    Args:
        job: The work folder.
    """
    import torch
    from accelerate import PartialState
    from safetensors.torch import save_file

    from dermdit_kedro.atomic import atomic_file
    from dermdit_kedro.progress import Progress

    state = PartialState()
    if not state.is_main_process:
        return
    table = job.table("prompts")
    unique = list(dict.fromkeys([NULL_PROMPT, *table["prompt"]]))
    text_encoder, tokenizer = load_text_encoder(job.input("text_encoder", ModelFolder).path)
    text_encoder.to(state.device)
    length = min(max(count_tokens(tokenizer, unique)), token_limit(tokenizer))
    progress, parts = Progress("encode prompts", len(unique), "prompts"), []
    batch_size = job.config("batch_size", int)
    for start in range(0, len(unique), batch_size):
        batch = unique[start : start + batch_size]
        parts.append([part.cpu() for part in encode_text(text_encoder, tokenizer, batch, length)])
        progress.advance(len(batch))
    embeddings, mask = (torch.cat(column) for column in zip(*parts, strict=True))
    with atomic_file(job.result / "embeddings.safetensors") as aside:
        save_file({"embeddings": embeddings, "mask": mask.to(torch.uint8)}, aside)
    rows = table["prompt"].map({prompt: row for row, prompt in enumerate(unique)}).astype("int64")
    with atomic_file(job.result / "index.parquet") as aside:
        table[["image_id"]].assign(row=rows).to_parquet(aside, index=False)
    with atomic_file(job.result / "prompts.parquet") as aside:
        pd.DataFrame({"row": range(len(unique)), "prompt": unique}).to_parquet(aside, index=False)
    job.complete()


if __name__ == "__main__":
    run_child(main)
