import json

import pandas as pd
import pytest

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Folder
from dermdit_kedro.jobs import Job, create_job
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.captioners import DRAFT_COLUMNS, Request, TemplateCaptioner, load_captioner, main
from dermdit_kedro.prompts.instructions import describe, write_instructions
from dermdit_kedro.prompts.parameters import ATTRIBUTES, CaptionerConfig, PromptSetConfig


def caption_job(work_dir, phantoms, captioner: CaptionerConfig, rows: int = 6) -> Job:
    manifest, images = phantoms
    manifest = manifest.head(rows)
    requests = manifest[["image_id", "modality", *ATTRIBUTES]].merge(write_instructions(manifest, ATTRIBUTES))
    requests = requests.merge(images.index()[["image_id", "file"]])
    return create_job(
        work_dir,
        "captions",
        "dermdit_kedro.prompts.captioners",
        config={"attributes": list(ATTRIBUTES), "captioner": captioner},
        inputs={"requests": requests, "images": images},
    )


def drafts_of(job: Job) -> pd.DataFrame:
    return pd.read_parquet(job.handle(Folder).path / "drafts.parquet")


def test_the_template_names_the_attributes_of_every_row(tmp_path, phantoms):
    job = caption_job(tmp_path, phantoms, CaptionerConfig(), rows=48)
    launch(job, LaunchConfig())
    drafts = drafts_of(job)
    assert tuple(drafts.columns) == DRAFT_COLUMNS
    assert drafts["image_id"].tolist() == phantoms[0]["image_id"].tolist()
    assert drafts["prompt"].tolist() == [describe(r) for r in phantoms[0].to_dict("records")]
    assert set(drafts["prompt_source"]) == {"template"}


def test_descriptors_follow_the_facts(phantoms):
    manifest, images = phantoms
    record = manifest.iloc[0].to_dict()
    captioner = TemplateCaptioner(PromptSetConfig(captioner=CaptionerConfig(describe_image=True)))
    (prompt,) = captioner([Request(record, "", images.path / "00.png")])
    assert prompt.startswith(describe(record) + ", ")
    assert "metric, " in prompt
    assert "border, " in prompt


def test_batch_size_stays_out_of_the_key(tmp_path, phantoms):
    jobs = [caption_job(tmp_path, phantoms, CaptionerConfig(batch_size=size)) for size in (2, 4)]
    assert jobs[0].folder == jobs[1].folder


def test_a_killed_run_asks_for_nothing_twice(tmp_path, phantoms):
    job = caption_job(tmp_path, phantoms, CaptionerConfig(batch_size=2))
    kept = {"image_id": "01", "prompt": "kept from before the kill", "prompt_source": "template"}
    (job.folder / "captions.0.jsonl").write_text(json.dumps(kept) + '\n{"image_id": "02", "prom')
    main(job)
    drafts = drafts_of(job).set_index("image_id")
    assert drafts.loc["01", "prompt"] == "kept from before the kill"
    assert drafts.loc["02", "prompt"].startswith("dermoscopic image of")
    answered = [line for line in (job.folder / "captions.0.jsonl").read_text().splitlines() if line.endswith("}")]
    assert len(answered) == 6


def test_a_real_model_answers_every_request_the_same_in_any_batch(tmp_path, phantoms, llava):
    tables = []
    for size in (1, 4):
        captioner = CaptionerConfig(backend="transformers", model=str(llava), max_new_tokens=6, batch_size=size)
        job = caption_job(tmp_path / str(size), phantoms, captioner)
        launch(job, LaunchConfig(device="cpu"))
        tables.append(drafts_of(job))
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0]["prompt_source"]) == {"tiny-llava"}
    assert not tables[0]["prompt"].str.contains("USER|ASSISTANT|You describe").any()


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path, phantoms, llava):
    captioner = CaptionerConfig(backend="transformers", model=str(llava), max_new_tokens=6, batch_size=2)
    tables = []
    for config in (LaunchConfig(device="cpu"), LaunchConfig(launcher="accelerate", num_processes=2, device="cpu")):
        job = caption_job(tmp_path / config.launcher, phantoms, captioner)
        launch(job, config)
        tables.append(drafts_of(job))
    pd.testing.assert_frame_equal(*tables)


def test_a_folder_without_a_processor_is_refused_before_the_first_image(tmp_path, llava):
    import shutil

    folder = shutil.copytree(llava, tmp_path / "incomplete")
    for file in folder.glob("*"):
        if "processor" in file.name or "token" in file.name or "chat" in file.name:
            file.unlink()
    with pytest.raises(UserError, match=r"captioner\.model"):
        load_captioner(PromptSetConfig(captioner=CaptionerConfig(backend="transformers", model=str(folder))))


@pytest.mark.parametrize(
    "block", [{"backend": "transformers"}, {"backend": "template", "model": "x/y"}, {"backend": "magic"}]
)
def test_a_captioner_block_that_makes_no_sense_is_refused(block):
    with pytest.raises(ValueError):
        CaptionerConfig(**block)


def test_attributes_are_unique_and_take_the_order_of_the_grammar():
    assert PromptSetConfig(attributes=("tone_group", "is_malignant")).attributes == ("is_malignant", "tone_group")
    with pytest.raises(ValueError, match="repeat"):
        PromptSetConfig(attributes=("sex", "sex"))
