import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermdit_kedro.dermoscopy.images import build_image_index
from dermdit_kedro.dermoscopy.phantom import PhantomConfig, render
from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, conform
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.pipelines.prompting.nodes import (
    audit_prompts,
    encode_prompts,
    generate_prompts,
    train_text_encoder,
    write_instructions,
)
from dermdit_kedro.prompts.parameters import CaptionerConfig, PromptSetConfig, TextEncoderConfig, TextEncoderTraining

PROMPT_SET = PromptSetConfig()
TEMPLATES = {"default": lambda: "Begin with {facts}. Describe this {view}."}
LAUNCH = LaunchConfig(device="cpu")
TINY = TextEncoderConfig(hidden_size=32, num_heads=2, vision_image_size=16, vision_patch_size=8, vision_hidden_size=32)
TRAINING = TextEncoderTraining(max_train_steps=4, batch_size=8, learning_rate=1e-3, log_steps=2, checkpointing_steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[pd.DataFrame, ImageFolder]:
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for index in range(16):
        phantom = render(PhantomConfig(num_images=16), index, 16)
        Image.fromarray(phantom.image).save(folder / f"{index:02d}.png")
        split = "train" if index < 12 else "test"
        rows.append({**phantom.record, "image_id": f"{index:02d}", "split": split, "modality": "dermoscopic"})
    manifest = conform(pd.DataFrame(rows), MANIFEST_DTYPES)
    manifest.loc[0, ["tone_group", "sex", "site"]] = ["unknown", None, None]
    manifest.loc[0, "age_approx"] = np.nan
    build_image_index(folder)
    return manifest, ImageFolder(folder, "sixteen")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    manifest, images = data
    work_dir = tmp_path_factory.mktemp("work")
    instructions = write_instructions(manifest, TEMPLATES, PROMPT_SET)
    drafts, controls = generate_prompts(manifest, images, instructions, PROMPT_SET, 0, LAUNCH, work_dir)
    text_encoder = train_text_encoder(drafts, images, manifest, TINY, TRAINING, 0, LAUNCH, work_dir)
    prompts, report, figure = audit_prompts(drafts, controls, manifest, text_encoder, PROMPT_SET)
    embeddings = encode_prompts(prompts, text_encoder, LaunchConfig(), work_dir)
    return {"drafts": drafts, "text_encoder": text_encoder, "prompts": prompts, "report": report,
            "figure": figure, "controls": controls,
            "embeddings": embeddings, "work_dir": work_dir, "instructions": instructions}  # fmt: skip


def test_every_image_gets_a_prompt_of_what_is_known(run, data):
    assert run["prompts"]["image_id"].tolist() == data[0]["image_id"].tolist()
    assert run["prompts"]["prompt"][0] in (
        "dermoscopic image of a benign lesion",
        "dermoscopic image of a malignant lesion",
    )
    assert set(run["report"]["attribute_recall"].values()) == {1.0}
    assert set(run["report"]["contradictions"].values()) == {0.0}
    assert run["report"]["truncated_share"] == 0


def test_every_image_has_a_row_of_embeddings(run, data):
    embeddings, mask = (part.numpy() for part in run["embeddings"].tensors())
    index = run["embeddings"].index()
    assert index["image_id"].tolist() == data[0]["image_id"].tolist()
    assert len(embeddings) == run["prompts"]["prompt"].nunique() + 1 == index["row"].max() + 1
    assert mask[0].sum() == 2


def test_a_second_run_finds_every_job_done(run, data, monkeypatch):
    manifest, images = data
    monkeypatch.setattr("dermdit_kedro.launching._run_here", pytest.fail)
    again, _ = generate_prompts(manifest, images, run["instructions"], PROMPT_SET, 0, LAUNCH, run["work_dir"])
    pd.testing.assert_frame_equal(again, run["drafts"])
    text_encoder = train_text_encoder(again, images, manifest, TINY, TRAINING, 0, LAUNCH, run["work_dir"])
    assert text_encoder == run["text_encoder"]
    assert encode_prompts(run["prompts"], text_encoder, LaunchConfig(), run["work_dir"]) == run["embeddings"]


def test_the_text_encoder_never_sees_a_row_outside_the_training_split(run, data):
    pairs = pd.read_parquet(run["text_encoder"].path.parent / "inputs" / "pairs.parquet")
    manifest = data[0].set_index("image_id")
    assert set(manifest.loc[pairs["image_id"], "split"]) == {"train"}
    assert len(pairs) == 12


def test_two_attributes_name_no_third(data, tmp_path):
    manifest, images = data
    prompt_set = PromptSetConfig(attributes=("is_malignant", "tone_group"))
    instructions = write_instructions(manifest, TEMPLATES, prompt_set)
    drafts, _ = generate_prompts(manifest, images, instructions, prompt_set, 0, LAUNCH, tmp_path)
    assert not drafts["prompt"].str.contains(", age|male|, trunk").any()
    assert drafts["prompt"].str.contains("skin tone").sum() == 15


def test_the_template_reads_images_only_to_describe_them(data, tmp_path):
    manifest, images = data
    instructions = write_instructions(manifest, TEMPLATES, PROMPT_SET)
    nowhere = ImageFolder(tmp_path / "nowhere", "none")
    generate_prompts(manifest, nowhere, instructions, PROMPT_SET, 0, LAUNCH, tmp_path)
    describing = PromptSetConfig(captioner=CaptionerConfig(describe_image=True))
    drafts, controls = generate_prompts(manifest, images, instructions, describing, 0, LAUNCH, tmp_path)
    assert drafts["prompt"].str.contains("border").mean() > 0.5
    assert len(controls) == 3 * len(manifest)


def test_an_image_that_was_not_prepared_is_named(data, tmp_path):
    manifest, images = data
    more = pd.concat([manifest, manifest.head(1).assign(image_id="missing")])
    describing = PromptSetConfig(captioner=CaptionerConfig(describe_image=True))
    with pytest.raises(UserError, match="'missing'"):
        generate_prompts(more, images, write_instructions(more, TEMPLATES, describing), describing, 0, LAUNCH, tmp_path)


def test_an_instruction_that_is_not_there_is_named(data):
    with pytest.raises(UserError, match=r"default.*'refined'"):
        write_instructions(data[0], TEMPLATES, PromptSetConfig(instruction="refined"))


def test_the_figure_says_what_the_audit_found(run):
    assert "100.0% name every attribute" in run["figure"].layout.meta["caption"]
    assert len(run["controls"]) == 0


def test_other_weights_in_the_same_folder_are_another_job(run, tmp_path):
    import shutil

    folder = shutil.copytree(run["text_encoder"].path, tmp_path / "clip")
    adopted = TextEncoderConfig(pretrained=str(folder))
    empty = pd.DataFrame()
    images = ImageFolder(tmp_path, "unused")
    first = train_text_encoder(empty, images, empty, adopted, TRAINING, 0, LAUNCH, tmp_path)
    (folder / "note.txt").write_text("changed")
    second = train_text_encoder(empty, images, empty, adopted, TRAINING, 0, LAUNCH, tmp_path)
    assert first.fingerprint != second.fingerprint


def test_without_training_rows_there_is_no_text_encoder(run, data, tmp_path):
    manifest, images = data
    with pytest.raises(UserError, match="train"):
        train_text_encoder(run["drafts"], images, manifest.assign(split="test"), TINY, TRAINING, 0, LAUNCH, tmp_path)
