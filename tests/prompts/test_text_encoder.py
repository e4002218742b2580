import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.clip import encode_text, load_text_encoder
from dermdit_kedro.prompts.instructions import describe, vocabulary
from dermdit_kedro.prompts.parameters import TextEncoderConfig, TextEncoderTraining
from dermdit_kedro.prompts.text_encoder import adopt, build_clip, contrastive_loss, main
from dermdit_kedro.prompts.tokenizer import train_tokenizer

TINY = TextEncoderConfig(
    hidden_size=32, num_heads=2, projection_dim=16, vision_image_size=32, vision_patch_size=16, vision_hidden_size=32
)
TRAINING = TextEncoderTraining(
    max_train_steps=30, batch_size=16, learning_rate=3e-3, log_steps=5, checkpointing_steps=10
)


def training_job(work_dir, phantoms) -> Job:
    manifest, images = phantoms
    train = manifest[manifest["split"] == "train"].head(40)
    prompts = [describe(record, ("is_malignant", "tone_group")) for record in train.to_dict("records")]
    pairs = pd.DataFrame({"image_id": train["image_id"], "file": train["image_id"] + ".png", "prompt": prompts})
    return create_job(
        work_dir, "train_text_encoder", "dermdit_kedro.prompts.text_encoder",
        config={"text_encoder": TINY, "training": TRAINING, "seed": 0}, inputs={"images": images, "pairs": pairs},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, phantoms) -> Job:
    job = training_job(tmp_path_factory.mktemp("work"), phantoms)
    launch(job, LaunchConfig(device="cpu"))
    return job


def test_the_contrastive_loss_goes_down(trained):
    losses = [line["loss"] for line in trained.metrics()]
    assert losses[-1] < losses[0] - 0.3


def test_training_is_repeatable(trained, tmp_path, phantoms):
    again = training_job(tmp_path, phantoms)
    main(again)
    first, second = (load_file(job.result / "text_encoder" / "model.safetensors") for job in (trained, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tone_and_label_of_a_prompt_are_decodable_from_the_last_token(trained):
    from sklearn.linear_model import LogisticRegression

    text_encoder, tokenizer = load_text_encoder(trained.result)
    records = [
        {"is_malignant": label, "tone_group": tone, "sex": sex, "age_approx": age, "site": site}
        for label in (True, False) for tone in ("light", "brown", "dark") for sex in ("male", "female")
        for age in (30, 60) for site in ("trunk", "head and neck", "lower extremity")
    ]  # fmt: skip
    embeddings, mask = encode_text(text_encoder, tokenizer, [describe(record) for record in records])
    last = embeddings[torch.arange(len(records)), mask.sum(dim=1) - 1].numpy()
    for name in ("is_malignant", "tone_group"):
        values = [record[name] for record in records]
        probe = LogisticRegression(max_iter=2000).fit(last[::2], values[::2])
        assert probe.score(last[1::2], values[1::2]) == 1.0


def test_equal_prompts_are_positives_of_each_other():
    vectors = torch.eye(4)
    ids = torch.tensor([[1, 2], [1, 2], [3, 4], [5, 6]])
    same = torch.stack([vectors[0], vectors[0], vectors[2], vectors[3]])
    assert contrastive_loss(same, same, ids, torch.tensor(100.0)) == pytest.approx(0, abs=1e-4)
    assert contrastive_loss(vectors, vectors, ids, torch.tensor(100.0)) > 1
    assert contrastive_loss(vectors, vectors, torch.arange(4)[:, None], torch.tensor(100.0)) == pytest.approx(
        0, abs=1e-4
    )


def test_the_contrastive_loss_is_clips_where_all_prompts_differ():
    torch.manual_seed(0)
    text, image = (torch.nn.functional.normalize(torch.randn(6, 8), dim=1) for _ in range(2))
    logits, targets = 5 * text @ image.T, torch.arange(6)
    clip = (
        torch.nn.functional.cross_entropy(logits, targets) + torch.nn.functional.cross_entropy(logits.T, targets)
    ) / 2
    assert contrastive_loss(text, image, targets[:, None], torch.tensor(5.0)) == pytest.approx(float(clip), abs=1e-5)


def test_the_weights_follow_from_the_seed():
    tokenizer = train_tokenizer(vocabulary(), TINY)
    first, second, other = (build_clip(TINY, tokenizer, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["text_projection.weight"], other["text_projection.weight"])


def test_a_saved_encoder_is_adopted_bit_for_bit(trained, tmp_path):
    job = create_job(
        tmp_path, "adopt", "dermdit_kedro.prompts.text_encoder",
        config={"text_encoder": TextEncoderConfig(pretrained=str(trained.result))},
    )  # fmt: skip
    launch(job, LaunchConfig(device="cpu"))
    prompts = ["a malignant lesion, dark skin tone", ""]
    old, new = (encode_text(*load_text_encoder(folder.path), prompts)[0] for folder in map(_handle, (trained, job)))
    assert torch.equal(old, new)


def _handle(job: Job) -> ModelFolder:
    return job.handle(ModelFolder)


def test_an_encoder_that_is_not_there_is_refused_with_the_parameter_to_change(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"text_encoder\.pretrained"):
        adopt(TextEncoderConfig(pretrained=str(tmp_path / "empty")))


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="vision_image_size must be a multiple of 10"):
        TextEncoderConfig(vision_patch_size=10)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(trained, tmp_path, phantoms):
    job = training_job(tmp_path, phantoms)
    launch(job, LaunchConfig(launcher="accelerate", num_processes=2, device="cpu"))
    one, two = ([line["loss"] for line in j.metrics()] for j in (trained, job))
    assert two == pytest.approx(one, abs=1e-4)
