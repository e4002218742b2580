"""A miniature of everything sampling needs: real classes, a few weights."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dermdit_kedro.dermoscopy.images import build_image_index
from dermdit_kedro.handles import ImageFolder, ModelFolder, TextEmbeddings


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> ImageFolder:
    """Forty images of 16 px: discs of a colour on skin."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:16, :16]
    for i in range(40):
        image = np.full((16, 16, 3), rng.integers(150, 220, 3), dtype=np.uint8)
        image[(rows - 8) ** 2 + (columns - rng.integers(5, 11)) ** 2 < 16] = rng.integers(40, 120, 3)
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    build_image_index(folder)
    return ImageFolder(folder, "forty discs")


@pytest.fixture(scope="session")
def text_embeddings(tmp_path_factory) -> TextEmbeddings:
    """Two prompts and the null prompt, as random vectors."""
    folder = tmp_path_factory.mktemp("text")
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.uint8)
    save_file(
        {"embeddings": torch.randn(3, 4, 12, generator=generator), "mask": mask}, folder / "embeddings.safetensors"
    )
    index = pd.DataFrame({"image_id": [f"{i:02d}" for i in range(40)], "row": [1 + i % 2 for i in range(40)]})
    index.to_parquet(folder / "index.parquet", index=False)
    return TextEmbeddings(folder, "two prompts")


@pytest.fixture(scope="session")
def manifest() -> pd.DataFrame:
    """The forty images: 28 train, 8 val, 4 test."""
    split = ["train"] * 28 + ["val"] * 8 + ["test"] * 4
    tones = [("light", "brown", "dark")[i % 3] for i in range(40)]
    ids = [f"{i:02d}" for i in range(40)]
    malignant = [i % 4 == 0 for i in range(40)]
    return pd.DataFrame(
        {"image_id": ids, "source": "discs", "split": split, "tone_group": tones, "is_malignant": malignant}
    )


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory) -> ModelFolder:
    """A CLIP text model of width 12, as wide as the embeddings, with random weights."""
    folder = tmp_path_factory.mktemp("text_encoder")
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    special = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer.train_from_iterator(["malignant dark"] * 9, trainers.BpeTrainer(vocab_size=60, special_tokens=special))
    state = json.loads(tokenizer.to_str())["model"]
    clip = CLIPTokenizer(vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]], model_max_length=4)
    clip.save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(clip), hidden_size=12, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=4, bos_token_id=clip.bos_token_id, eos_token_id=clip.eos_token_id,
        pad_token_id=clip.pad_token_id,
    )  # fmt: skip
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    return ModelFolder(folder, "toy text encoder")
