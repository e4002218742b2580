import pandas as pd
import pytest
import torch

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.clip import (
    NULL_PROMPT,
    count_tokens,
    cut_text,
    encode_text,
    load_text_encoder,
    prompt_limit,
    read_max_windows,
    tokenize,
)
from dermdit_kedro.prompts.instructions import vocabulary
from dermdit_kedro.prompts.parameters import TextEncoderConfig
from dermdit_kedro.prompts.text_encoder import build_clip
from dermdit_kedro.prompts.tokenizer import train_tokenizer

PROMPTS = ["a malignant lesion, dark skin tone, female, age 60, lower extremity", "a benign lesion", "a lesion, male"]
LONG = "a malignant lesion with " + "brown and red and " * 20
MIDDLING = "a malignant lesion with " + "brown and red and " * 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = TextEncoderConfig(hidden_size=32, num_heads=2)
    tokenizer = train_tokenizer(vocabulary(), config)
    folder = tmp_path_factory.mktemp("text_encoder")
    build_clip(config, tokenizer, seed=0).text_model.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def text_encoder(folder):
    return load_text_encoder(folder)


def test_an_embedding_depends_on_its_prompt_alone(text_encoder):
    together, mask = encode_text(*text_encoder, PROMPTS)
    padded, wide = encode_text(*text_encoder, PROMPTS, max_length=32)
    assert padded.shape[1] == wide.shape[1] == 32
    for i, prompt in enumerate(PROMPTS):
        alone, alone_mask = encode_text(*text_encoder, [prompt])
        length = alone.shape[1]
        assert alone_mask.all()
        assert mask[i].sum() == wide[i].sum() == length
        torch.testing.assert_close(together[i, :length], alone[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(padded[i, :length], alone[0], atol=1e-5, rtol=0)


def test_padding_is_masked_and_zero(text_encoder):
    embeddings, mask = encode_text(*text_encoder, PROMPTS)
    assert embeddings.dtype == torch.float32
    assert mask.dtype == torch.bool
    assert (embeddings[~mask] == 0).all()
    assert mask[:, 0].all()


def test_the_null_prompt_is_its_two_marks(text_encoder):
    _, mask = encode_text(*text_encoder, [NULL_PROMPT])
    assert mask.tolist() == [[True, True]]


def test_a_long_prompt_is_counted_whole_and_cut_at_the_limit(text_encoder):
    _, tokenizer = text_encoder
    assert count_tokens(tokenizer, [LONG, NULL_PROMPT])[0] > 32
    input_ids, mask = tokenize(tokenizer, [LONG])
    assert input_ids.shape == (1, 32)
    assert mask.all()
    assert input_ids[0, -1] == tokenizer.eos_token_id
    assert count_tokens(tokenizer, []) == []


def encode(work_dir, folder, prompts, batch_size=2) -> TextEmbeddings:
    table = pd.DataFrame({"image_id": [f"s/{i}" for i in range(len(prompts))], "prompt": prompts})
    job = create_job(
        work_dir, "encode", "dermdit_kedro.prompts.encoding", config={}, speed={"batch_size": batch_size},
        inputs={"text_encoder": ModelFolder(folder, "tiny"), "prompts": table},
    )  # fmt: skip
    launch(job, LaunchConfig(device="cpu"))
    return job.handle(TextEmbeddings)


def test_each_unique_prompt_is_encoded_once_after_the_null_prompt(tmp_path, folder, text_encoder):
    handle = encode(tmp_path, folder, [PROMPTS[1], PROMPTS[0], PROMPTS[1], NULL_PROMPT])
    embeddings, mask = (part.numpy() for part in handle.tensors())
    index = handle.index()
    assert index["row"].tolist() == [1, 2, 1, 0]
    assert index["image_id"].tolist() == ["s/0", "s/1", "s/2", "s/3"]
    longest = max(count_tokens(text_encoder[1], PROMPTS[:2]))
    assert embeddings.shape == (3, longest, 32)
    for row, prompt in enumerate([NULL_PROMPT, PROMPTS[1], PROMPTS[0]]):
        expected, expected_mask = encode_text(*text_encoder, [prompt], longest)
        torch.testing.assert_close(torch.from_numpy(embeddings[row]), expected[0], atol=1e-5, rtol=0)
        assert mask[row].tolist() == expected_mask[0].tolist()


def test_the_batch_size_changes_nothing(tmp_path, folder):
    first, second = (encode(tmp_path / str(size), folder, PROMPTS, size).tensors()[0].numpy() for size in (1, 64))
    assert abs(first - second).max() < 1e-5


def test_a_folder_without_its_parts_is_refused(tmp_path):
    with pytest.raises(UserError, match="text_encoder/"):
        load_text_encoder(tmp_path)


@pytest.fixture
def windowed(folder, tmp_path):
    """The same encoder, saved as one that reads three windows."""
    import shutil

    copy = shutil.copytree(folder, tmp_path / "windowed")
    model, _ = load_text_encoder(folder)
    model.config.max_windows = 3
    model.save_pretrained(copy / "text_encoder")
    return copy


def test_a_long_prompt_is_read_window_by_window(windowed, text_encoder):
    assert read_max_windows(windowed) == 3
    model, tokenizer = load_text_encoder(windowed)
    limit = prompt_limit(tokenizer, 3)
    assert limit == 92
    embeddings, mask = encode_text(model, tokenizer, [PROMPTS[0], MIDDLING, NULL_PROMPT])
    words = count_tokens(tokenizer, [MIDDLING])[0] - 2
    assert 60 < words < 90
    assert mask.sum(dim=1).tolist() == [count_tokens(tokenizer, [PROMPTS[0]])[0], words + 6, 2]
    assert (embeddings[~mask] == 0).all()
    assert embeddings.shape[1] == words + 6
    first, _ = encode_text(*text_encoder, [cut_text(tokenizer, MIDDLING, 32)])
    torch.testing.assert_close(embeddings[1, :32], first[0], atol=1e-5, rtol=0)
    short, _ = encode_text(*text_encoder, [PROMPTS[0]])
    torch.testing.assert_close(embeddings[0, : short.shape[1]], short[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("limit", [3, 10, 32])
def test_the_text_that_is_read_is_a_beginning_of_the_prompt(text_encoder, limit):
    _, tokenizer = text_encoder
    prompt = "A malignant lesion,  age 60; skin-tone: dark " + LONG
    kept = cut_text(tokenizer, prompt, limit)
    assert prompt.startswith(kept)
    assert count_tokens(tokenizer, [kept]) == [limit]
    assert cut_text(tokenizer, "", 32) == ""


def test_windows_beyond_the_last_are_cut(windowed):
    model, tokenizer = load_text_encoder(windowed)
    _, mask = encode_text(model, tokenizer, [LONG * 3])
    assert mask.shape == (1, 96)


def test_windows_are_encoded_by_the_job_as_by_hand(tmp_path, windowed):
    handle = encode(tmp_path / "work", windowed, [LONG, PROMPTS[0], LONG * 3])
    embeddings, mask = handle.tensors()
    model, tokenizer = load_text_encoder(windowed)
    expected, expected_mask = encode_text(model, tokenizer, [NULL_PROMPT, LONG, PROMPTS[0], LONG * 3])
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
    assert torch.equal(mask, expected_mask)


def test_the_embeddings_are_a_file_that_safetensors_writes_the_same(tmp_path, folder):
    from safetensors.torch import load, load_file, save

    handle = encode(tmp_path, folder, PROMPTS)
    tensors = load_file(handle.path / "embeddings.safetensors")
    again = load(save(tensors))
    assert set(again) == {"embeddings", "mask"}
    assert all(torch.equal(tensors[name], again[name]) for name in again)
