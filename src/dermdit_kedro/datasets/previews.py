"""What Kedro-Viz shows of an entry beside the graph: enough to judge by, well below a megabyte."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kedro_datasets._typing import HTMLPreview, JSONPreview
from rich.filesize import decimal

from dermdit_kedro.handles import Features, Folder, ImageFolder, Latents, ModelFolder, TextEmbeddings

LIST_ITEMS = 20
"""A longer list of a JSON document is cut and says how much longer it is."""
PAGE_CHARACTERS = 60_000
"""Where a page is cut."""
_NOT_TEXT = re.compile(r"<(head|script|style|svg|nav|figure|template)\b.*?</\1>|<img\b[^>]*>|<!doctype[^>]*>", re.S)
_CARD_HEAD = re.compile(r"\A---\n.*?\n---\n", re.S)
_CARD_CODE = re.compile(r"^```.*?^```\n", re.S | re.M)


def json_preview(document: Any) -> JSONPreview:
    """Show a JSON document: numbers by four digits, long lists by their beginning.

    Args:
        document: What `json.load` returns.

    Returns:
        JSON.
    """
    return JSONPreview(json.dumps(_short(document)))


def page_preview(page: str) -> HTMLPreview:
    """Show what a page of HTML says: its text and tables, without its scripts and pictures.

    Args:
        page: HTML, or plain text.

    Returns:
        HTML in one line, cut where it grows long.
    """
    return HTMLPreview(re.sub(r"\s+", " ", _NOT_TEXT.sub("", page))[:PAGE_CHARACTERS])


def folder_preview(folder: Folder) -> HTMLPreview:
    """Show what a finished folder holds, in numbers; of a model also its card, where it has one.

    Args:
        folder: Of any kind.

    Returns:
        HTML, and Markdown, which Kedro-Viz sets too.
    """
    facts = {
        **_content(folder),
        "on disk": decimal(sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())),
    }
    rows = "".join(f"<tr><th align='left'>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
    card = folder.path / "README.md"
    told = _CARD_CODE.sub("", _CARD_HEAD.sub("", card.read_text())) if card.is_file() else ""
    return HTMLPreview(f"<table>{rows}</table>\n\n{told}"[:PAGE_CHARACTERS])


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list):
        rest = len(value) - LIST_ITEMS
        return [_short(part) for part in value[:LIST_ITEMS]] + ([f"... and {rest} more"] if rest > 0 else [])
    return value


def _content(folder: Folder) -> dict[str, Any]:
    """Return the numbers that tell one folder of a kind from another."""
    match folder:
        case ModelFolder():
            return {"parameters": f"{folder.num_parameters():,}", **dict(_architectures(folder))}
        case Features():
            images, dimensions = folder.array().shape
            return {"network": folder.name, "images": f"{images:,}", "features of an image": f"{dimensions:,}"}
        case Latents():
            import numpy as np

            shape = np.load(folder.path / "moments.npy", mmap_mode="r").shape
            return {"images": f"{shape[0]:,}", "latents of an image": " x ".join(map(str, shape[3:]))}
        case TextEmbeddings():
            from safetensors import safe_open

            with safe_open(folder.path / "embeddings.safetensors", framework="numpy") as tensors:
                prompts, tokens, size = tensors.get_slice("embeddings").get_shape()
            shape = {"tokens of a prompt": tokens, "numbers of a token": size}
            return {"images": f"{len(folder.index()):,}", "different prompts": f"{prompts - 1:,}", **shape}
        case ImageFolder():
            return {"images": f"{len(folder.index()):,}"}
        case _:
            return {}


def _architectures(folder: ModelFolder) -> Iterator[tuple[str, str]]:
    """Yield the parts of a model and what each is, by its configuration."""
    for file in sorted(folder.path.rglob("config.json")):
        config = json.loads(file.read_text())
        kinds = config.get("architectures") or [config.get("_class_name") or config.get("architecture")]
        part = file.parent.relative_to(folder.path).as_posix()
        if kinds[0]:
            yield "architecture" if part == "." else part, str(kinds[0])
