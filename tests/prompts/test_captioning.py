import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from tests.prompts.captioning_jobs import caption_job, controls_of, drafts_of

from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Folder
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.captioners import Request, TemplateCaptioner, load_captioner
from dermdit_kedro.prompts.captioning import CONTROL_COLUMNS, DRAFT_COLUMNS, main
from dermdit_kedro.prompts.controls import CONTROLS
from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.local_model import TransformersCaptioner
from dermdit_kedro.prompts.parameters import CaptionerConfig, ControlConfig, PromptSetConfig

NO_CONTROL = ControlConfig(num_images=0)
DESCRIBING = PromptSetConfig(captioner=CaptionerConfig(describe_image=True), control=NO_CONTROL)


def tiny(llava, batch_size: int = 4, **fields) -> PromptSetConfig:
    captioner = CaptionerConfig(
        backend="transformers", model=str(llava), max_new_tokens=6, batch_size=batch_size, **fields
    )
    return PromptSetConfig(captioner=captioner, control=ControlConfig(num_images=4))


def test_the_template_names_the_attributes_of_every_row(tmp_path, phantoms):
    job = caption_job(tmp_path, phantoms, PromptSetConfig(control=NO_CONTROL), rows=64)
    launch(job, LaunchConfig())
    drafts = drafts_of(job)
    assert tuple(drafts.columns) == DRAFT_COLUMNS
    assert drafts["image_id"].tolist() == phantoms[0]["image_id"].tolist()
    assert drafts["prompt"].tolist() == [describe(r) for r in phantoms[0].to_dict("records")]
    assert set(drafts["prompt_source"]) == {"template"}
    assert set(drafts["repair"]) == {""}


def test_descriptors_follow_the_facts(phantoms):
    manifest, images = phantoms
    record = manifest.iloc[0].to_dict()
    request = Request("", record, "", images.path / "00.png")
    ((same, answer),) = TemplateCaptioner(DESCRIBING)([request])
    assert same is request
    assert answer.text.startswith(describe(record) + ", ")
    assert "metric, " in answer.text
    assert "border, " in answer.text


def test_batch_size_stays_out_of_the_key(tmp_path, phantoms, llava):
    jobs = [caption_job(tmp_path, phantoms, tiny(llava, size)) for size in (2, 4)]
    assert jobs[0].folder == jobs[1].folder


def test_64_phantoms_by_a_real_model_in_one_process_and_in_two(tmp_path, phantoms, llava):
    tables = []
    for config in (LaunchConfig(device="cpu"), LaunchConfig(launcher="accelerate", num_processes=2, device="cpu")):
        job = caption_job(tmp_path / config.launcher, phantoms, tiny(llava, 8), rows=64)
        launch(job, config)
        tables.append((drafts_of(job), controls_of(job)))
    pd.testing.assert_frame_equal(tables[0][0], tables[1][0])
    pd.testing.assert_frame_equal(tables[0][1], tables[1][1])
    drafts, controls = tables[0]
    assert (drafts["repair"] == "template").mean() > 0.9, "a model of random weights names no facts"
    assert drafts["repair_reason"].str.contains("leaves out|is empty|repeats").all()
    assert not drafts["answer"].str.contains("USER|ASSISTANT|You describe").any()
    repaired = drafts["repair"] == "template"
    assert (drafts.loc[repaired, "attempts"] == 2).all()
    assert set(drafts.loc[repaired, "prompt_source"]) == {"template"}
    assert tuple(controls.columns) == CONTROL_COLUMNS
    assert controls["control"].value_counts().to_dict() == dict.fromkeys(CONTROLS, 4)


def test_a_real_model_answers_the_same_in_any_batch(tmp_path, phantoms, llava):
    tables = []
    for size in (1, 4):
        job = caption_job(tmp_path / str(size), phantoms, tiny(llava, size))
        launch(job, LaunchConfig(device="cpu"))
        tables.append(drafts_of(job))
    pd.testing.assert_frame_equal(*tables)


def test_a_line_that_a_kill_cut_short_is_asked_for_again_and_no_other(tmp_path, phantoms, llava, monkeypatch):
    job = caption_job(tmp_path, phantoms, tiny(llava))
    launch(job, LaunchConfig(device="cpu"))
    undisturbed = drafts_of(job)
    (file,) = job.folder.glob("captions.*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]) + lines[-1][:20])
    (job.result / "_complete.json").unlink()
    asked = count_asked(monkeypatch)
    launch(job, LaunchConfig(device="cpu"))
    pd.testing.assert_frame_equal(drafts_of(job), undisturbed)
    assert sum(asked) == 1


def test_more_images_ask_for_the_new_ones_alone(tmp_path, phantoms, llava, monkeypatch):
    few = tiny(llava).model_copy(update={"control": NO_CONTROL})
    launch(caption_job(tmp_path, phantoms, few, rows=6), LaunchConfig(device="cpu"))
    asked = count_asked(monkeypatch)
    job = caption_job(tmp_path, phantoms, few, rows=8)
    launch(job, LaunchConfig(device="cpu"))
    assert len(drafts_of(job)) == 8
    assert sum(asked) <= 2 * 2, "two images, each with one retry"


def test_another_decoding_is_another_captioner(tmp_path, phantoms, llava, monkeypatch):
    launch(caption_job(tmp_path, phantoms, tiny(llava)), LaunchConfig(device="cpu"))
    asked = count_asked(monkeypatch)
    longer = tiny(llava)
    longer = longer.model_copy(update={"captioner": longer.captioner.model_copy(update={"max_new_tokens": 7})})
    launch(caption_job(tmp_path, phantoms, longer), LaunchConfig(device="cpu"))
    assert sum(asked) >= 6


def count_asked(monkeypatch) -> list[int]:
    """Count the requests that reach the model from now on."""
    asked: list[int] = []
    answer = TransformersCaptioner._answer

    def counting(self, batch):
        asked.append(len(batch))
        return answer(self, batch)

    monkeypatch.setattr(TransformersCaptioner, "_answer", counting)
    return asked


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_loses_one_batch_at_most(tmp_path, phantoms, llava, kills):
    whole = caption_job(tmp_path / "whole", phantoms, tiny(llava, 2), rows=64)
    launch(whole, LaunchConfig(device="cpu"))
    job = caption_job(tmp_path / "killed", phantoms, tiny(llava, 2), rows=64)
    draw = random.Random(0)
    code = "import sys, pathlib, dermdit_kedro.jobs as jobs, dermdit_kedro.prompts.captioning as captioning\n"
    command = [sys.executable, "-c", code + "captioning.main(jobs.Job(pathlib.Path(sys.argv[1])))", str(job.folder)]
    for kill in range(kills):
        before = count_answers(job)
        process = subprocess.Popen(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        while process.poll() is None and count_answers(job) < before + draw.randint(4, 12):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if job.is_complete:
            break
        assert count_answers(job) > before, f"kill {kill}"
    main(job)
    pd.testing.assert_frame_equal(drafts_of(job), drafts_of(whole))
    pd.testing.assert_frame_equal(controls_of(job), controls_of(whole))
    assert count_answers(job) == count_answers(whole), "nothing was asked twice and kept twice"


def count_answers(job) -> int:
    texts = (file.read_text() for file in job.folder.glob("captions.*.jsonl"))
    return sum(line.endswith("}") for text in texts for line in text.splitlines())


def test_a_folder_without_a_processor_is_refused_before_the_first_image(tmp_path, llava):
    folder = shutil.copytree(llava, tmp_path / "incomplete")
    for file in folder.glob("*"):
        if "processor" in file.name or "token" in file.name or "chat" in file.name:
            file.unlink()
    with pytest.raises(UserError, match=r"captioner\.model"):
        load_captioner(PromptSetConfig(captioner=CaptionerConfig(backend="transformers", model=str(folder))))


def test_a_folder_without_a_chat_template_is_refused_before_the_first_image(tmp_path, llava):
    folder = shutil.copytree(llava, tmp_path / "silent")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"captioner\.chat_template"):
        load_captioner(tiny(folder))
    load_captioner(tiny(folder, chat_template="{{ messages[0]['content'][1]['text'] }} <image>"))


SERVER = {"url": "http://localhost:1/v1"}


@pytest.mark.parametrize(
    "block",
    [
        {"backend": "transformers"},
        {"backend": "template", "model": "x/y"},
        {"backend": "magic"},
        {"backend": "openai_compatible", "model": "x"},
        {"backend": "openai_compatible", "server": SERVER},
        {"backend": "template", "server": SERVER},
        {"backend": "openai_compatible", "model": "x", "server": {"url": "localhost:8000"}},
        {"backend": "openai_compatible", "model": "x", "server": {"url": "http://user:secret@host/v1"}},
    ],
)
def test_a_captioner_block_that_makes_no_sense_is_refused(block):
    with pytest.raises(ValueError):
        CaptionerConfig(**block)


def test_attributes_are_unique_and_take_the_order_of_the_grammar():
    assert PromptSetConfig(attributes=("tone_group", "is_malignant")).attributes == ("is_malignant", "tone_group")
    with pytest.raises(ValueError, match="repeat"):
        PromptSetConfig(attributes=("sex", "sex"))


def test_the_result_is_a_folder_of_two_tables(tmp_path, phantoms):
    job = caption_job(tmp_path, phantoms, DESCRIBING)
    main(job)
    names = {file.name for file in job.handle(Folder).path.iterdir()}
    assert names == {"drafts.parquet", "controls.parquet", "_complete.json"}
