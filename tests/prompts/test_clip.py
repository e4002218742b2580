import pandas as pd
import pytest
import torch

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.clip import NULL_PROMPT, count_tokens, encode_text, load_text_encoder, tokenize
from dermdit_kedro.prompts.instructions import vocabulary
from dermdit_kedro.prompts.parameters import TextEncoderConfig
from dermdit_kedro.prompts.text_encoder import build_clip
from dermdit_kedro.prompts.tokenizer import train_tokenizer

PROMPTS = ["a malignant lesion, dark skin tone, female, age 60, lower extremity", "a benign lesion", "a lesion, male"]
LONG = "a malignant lesion with " + "brown and red and " * 20


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
        work_dir, "encode", "dermdit_kedro.prompts.clip", config={}, speed={"batch_size": batch_size},
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
