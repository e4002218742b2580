"""Prompts to text embeddings, E_t = CLIP(p) (equation 2): the last hidden state of every token, with its mask.

CLIP pads with its end-of-text token, so nothing tells padding from text but the attention mask: it is always
passed on.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dermdit_kedro.errors import UserError

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
    """Return how many tokens a window may have, its two marks included (77 for OpenAI's CLIP)."""
    return int(tokenizer.model_max_length)


def prompt_limit(tokenizer: "CLIPTokenizer", max_windows: int = 1) -> int:
    """Return how many tokens a prompt may have, two marks included, before its end is cut.

    Args:
        tokenizer: The text encoder's.
        max_windows: Windows that a prompt may be read in; each but the first adds the tokens between its own marks.

    Returns:
        The limit that `count_tokens` is held against.
    """
    return (token_limit(tokenizer) - 2) * max_windows + 2


def read_max_windows(folder: Path) -> int:
    """Return how many windows the text encoder of a folder reads a prompt in."""
    from transformers import CLIPTextConfig

    config = CLIPTextConfig.from_pretrained(_part(folder, "text_encoder"), local_files_only=True)
    return int(getattr(config, "max_windows", 1))


def cut_text(tokenizer: "CLIPTokenizer", prompt: str, limit: int) -> str:
    """Return what the text encoder reads of a prompt that is too long.

    Args:
        tokenizer: The text encoder's.
        prompt: The text.
        limit: Of `prompt_limit`.

    Returns:
        Its beginning, up to the last token that is read.
    """
    tokens = tokenizer(prompt, truncation=False, padding=False, verbose=False, return_offsets_mapping=True)
    places = tokens["offset_mapping"][1:-1][: limit - 2]
    return prompt[: places[-1][1]] if places else ""


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


def tokenize_windows(tokenizer: "CLIPTokenizer", prompt: str, max_windows: int) -> list[list[int]]:
    """Split the tokens of a prompt into windows, each with its own marks.

    Args:
        tokenizer: The text encoder's.
        prompt: The text.
        max_windows: The most there may be; what is beyond them is cut.

    Returns:
        Token ids of each window, at least one.
    """
    begin, *words, end = tokenizer(prompt, truncation=False, padding=False, verbose=False)["input_ids"]
    size = token_limit(tokenizer) - 2
    starts = range(0, max(len(words), 1), size)[:max_windows]
    return [[begin, *words[start : start + size], end] for start in starts]


def encode_text(
    text_encoder: "CLIPTextModel", tokenizer: "CLIPTokenizer", prompts: Sequence[str], max_length: int | None = None
) -> "tuple[Tensor, Tensor]":
    """Encode prompts. Law: a prompt's embedding does not depend on the prompts beside it, nor on `max_length`.

    An encoder whose configuration has `max_windows` above 1 reads a long prompt window by window, each by itself,
    and the embeddings of the windows stand one after the other.

    Args:
        text_encoder: In eval mode; its device is used.
        tokenizer: The text encoder's.
        prompts: n texts; "" is the null prompt.
        max_length: The length l, at most what the encoder takes; null for the longest prompt among them.

    Returns:
        Embeddings float32 (n, l, d), zero at padding, and mask bool (n, l), True at real tokens; both on the
        device that the text encoder computes on.
    """
    max_windows = int(getattr(text_encoder.config, "max_windows", 1))
    if max_windows == 1:
        return _encode(text_encoder, *tokenize(tokenizer, prompts, max_length))
    import torch
    from torch.nn.utils.rnn import pad_sequence

    windows = [tokenize_windows(tokenizer, prompt, max_windows) for prompt in prompts]
    flat = [torch.tensor(ids) for parts in windows for ids in parts]
    ids = pad_sequence(flat, batch_first=True, padding_value=int(tokenizer.pad_token_id))
    lengths = torch.tensor([len(ids) for ids in flat])
    embeddings, mask = _encode(text_encoder, ids, torch.arange(ids.shape[1]) < lengths[:, None])
    packed = [part[is_real] for part, is_real in zip(embeddings, mask, strict=True)]
    counts = [len(parts) for parts in windows]
    joined = [torch.cat(parts) for parts in _split(packed, counts)]
    longest = max(len(part) for part in joined)
    length = longest if max_length is None else max(longest, max_length)
    result = torch.stack([torch.nn.functional.pad(part, (0, 0, 0, length - len(part))) for part in joined])
    real = torch.tensor([len(part) for part in joined], device=result.device)
    return result, torch.arange(length, device=result.device) < real[:, None]


def _encode(text_encoder: "CLIPTextModel", input_ids: "Tensor", mask: "Tensor") -> "tuple[Tensor, Tensor]":
    import torch

    input_ids, mask = input_ids.to(text_encoder.device), mask.to(text_encoder.device)
    with torch.no_grad():
        hidden = text_encoder(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state.float()
    mask = mask.to(hidden.device)  # an offloaded encoder computes elsewhere than it waits
    return hidden * mask.unsqueeze(-1), mask


def _split(parts: "list[Tensor]", counts: Sequence[int]) -> "Iterator[list[Tensor]]":
    remaining = iter(parts)
    for count in counts:
        yield list(islice(remaining, count))
