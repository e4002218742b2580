import asyncio
import base64
import io
import logging
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.prompts.captioning_jobs import caption_job, controls_of, drafts_of
from tests.prompts.captioning_server import MISBEHAVIOURS, CaptioningServer

from dermdit_kedro.dermoscopy.images import build_image_index, read_rgb
from dermdit_kedro.dermoscopy.records import MANIFEST_DTYPES, conform
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.launching import LaunchConfig, launch
from dermdit_kedro.prompts.captioners import Request, load_captioner
from dermdit_kedro.prompts.controls import score_controls
from dermdit_kedro.prompts.faults import find_faults
from dermdit_kedro.prompts.parameters import ATTRIBUTES, CaptionerConfig, ControlConfig, PromptSetConfig, ServerConfig


def served(server: CaptioningServer, num_controls: int = 0, **fields) -> PromptSetConfig:
    config = ServerConfig(**{"url": server.url, "timeout_s": 1.5, "max_concurrency": 8, **fields})
    captioner = CaptionerConfig(backend="openai_compatible", model="captioner", server=config)
    return PromptSetConfig(captioner=captioner, control=ControlConfig(num_images=num_controls))


def many_images(folder, count: int) -> tuple[pd.DataFrame, ImageFolder]:
    """`count` small images, each another, with records that repeat."""
    draw = np.random.default_rng(0)
    rows = []
    for index in range(count):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index:04d}.png")
        record = {
            "is_malignant": bool(index % 2), "tone_group": ("light", "brown", "dark")[index % 3], "age_approx": 60.0,
            "sex": ("female", "male")[index % 5 > 2], "site": ("trunk", None, "head and neck")[index % 7 % 3],
        }  # fmt: skip
        rows.append({**record, "image_id": f"{index:04d}", "split": "train", "modality": "dermoscopic"})
    build_image_index(folder)
    return conform(pd.DataFrame(rows), MANIFEST_DTYPES), ImageFolder(folder, f"{count} images")


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_server_that_misbehaves_leaves_no_row_empty(tmp_path, count):
    images = tmp_path / "images"
    images.mkdir()
    data = many_images(images, count)
    with CaptioningServer(MISBEHAVIOURS, every=6 if count == 300 else 12) as server:
        job = caption_job(tmp_path / "work", data, served(server), rows=count)
        launch(job, LaunchConfig())
        drafts = drafts_of(job)
        assert server.most_under_way <= 8
        assert server.after_success == [], "no request is sent again once it was answered"
    manifest = data[0]
    assert drafts["image_id"].tolist() == manifest["image_id"].tolist()
    faults = [find_faults(p, r, ATTRIBUTES) for p, r in zip(drafts["prompt"], manifest.to_dict("records"), strict=True)]
    assert faults == [[]] * count
    reasons = drafts.loc[drafts["repair"] != "", "repair_reason"]
    assert reasons.str.contains("is empty").any()
    assert reasons.str.contains("is a refusal").any()
    assert reasons.str.contains("no answer: HTTP 400").any()
    assert (drafts.loc[drafts["repair"] == "", "repair_reason"] == "").all()
    assert (drafts.loc[drafts["repair"] == "template", "prompt_source"] == "template").all()
    assert (drafts["prompt_source"] == "captioner").mean() > 0.9


def test_the_image_is_sent_as_it_is_and_without_metadata(tmp_path, phantoms):
    with CaptioningServer() as server:
        launch(caption_job(tmp_path, phantoms, served(server), rows=1), LaunchConfig())
        (body,) = server.bodies
    text, image = body["messages"][0]["content"]
    assert text["text"].startswith("You describe skin lesions")
    sent = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))))
    assert sent.info == {}
    np.testing.assert_array_equal(np.asarray(sent), read_rgb(phantoms[1].path / "00.png"))
    assert body["model"] == "captioner"
    assert body["temperature"] == 0
    assert "Authorization" not in server.headers[0]


def test_the_host_is_named_in_the_log_and_the_key_sent_but_not_logged(tmp_path, phantoms, monkeypatch, caplog):
    monkeypatch.setenv("CAPTIONER_KEY", "do-not-tell")
    with CaptioningServer() as server, caplog.at_level(logging.INFO):
        job = caption_job(tmp_path, phantoms, served(server, api_key_variable="CAPTIONER_KEY"), rows=2)
        launch(job, LaunchConfig())
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer do-not-tell"}
        assert server.url.split("/")[2] in caplog.text
    told = caplog.text + "".join(file.read_text() for file in job.folder.glob("*.json*"))
    assert "do-not-tell" not in told


def test_a_model_that_looks_is_told_by_its_controls(tmp_path, phantoms):
    with CaptioningServer() as server:
        job = caption_job(tmp_path, phantoms, served(server, num_controls=12), rows=20)
        launch(job, LaunchConfig())
    found = score_controls(controls_of(job))
    assert found["looks_at_image"] == "yes"
    assert found["repeat"]["mean_change"] == 0


def test_a_server_that_dies_ends_the_run_and_what_it_said_is_kept(tmp_path, phantoms):
    with CaptioningServer() as server:
        prompt_set = served(server, max_attempts=1, max_failures=3, max_concurrency=2)
        launch(caption_job(tmp_path, phantoms, prompt_set, rows=10), LaunchConfig())
        assert len(server.asked) == 10
        server.is_well = False
        job = caption_job(tmp_path, phantoms, prompt_set, rows=20)
        with pytest.raises(UserError, match=r"[34] requests in a row.*503 out of order"):
            launch(job, LaunchConfig())
        server.is_well = True
        launch(job, LaunchConfig())
        assert server.after_success == []
    assert set(drafts_of(job)["repair"]) == {""}


def test_it_works_where_an_event_loop_runs_already(phantoms):
    """As in a notebook."""
    _, images = phantoms

    async def cell(captioner_of) -> list:
        captioner = load_captioner(served(captioner_of))
        return list(captioner([Request(str(i), {}, f"say {i}", images.path / "00.png") for i in range(3)]))

    with CaptioningServer() as server:
        assert len(asyncio.run(cell(server))) == 3


def test_an_interrupt_leaves_no_request_under_way(phantoms):
    _, images = phantoms
    with CaptioningServer(service_s=0.05) as server:
        captioner = load_captioner(served(server))
        requests = [Request(str(i), {}, f"say {i}", images.path / "00.png") for i in range(30)]
        answered = captioner(requests)
        for _ in range(5):
            next(answered)
        answered.close()
        time.sleep(0.2)
        assert server.under_way == 0
        assert 5 <= len(server.asked) < 30


def test_an_unreachable_server_is_refused_before_the_first_image():
    with CaptioningServer() as server:
        prompt_set = served(server)
    with pytest.raises(UserError, match=r"captioner\.server\.url must be a server that answers"):
        load_captioner(prompt_set)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_before_the_first_image(status):
    with CaptioningServer(models_status=status) as server, pytest.raises(UserError, match="refuses the key"):
        load_captioner(served(server))


def test_a_key_that_is_not_there_is_said(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with CaptioningServer() as server, pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
        load_captioner(served(server, api_key_variable="NO_SUCH_KEY"))


def test_an_address_without_the_api_ends_the_run_at_once(tmp_path, phantoms):
    with CaptioningServer() as server:
        wrong = served(server, url=server.url.removesuffix("/v1"))
        with pytest.raises(UserError, match=r"HTTP 404.*often ends in /v1"):
            launch(caption_job(tmp_path, phantoms, wrong), LaunchConfig())
        assert not server.asked


def test_where_the_server_is_has_no_part_in_the_key(tmp_path, phantoms):
    with CaptioningServer() as server:
        launch(caption_job(tmp_path, phantoms, served(server)), LaunchConfig())
        assert len(server.asked) == 6
    with CaptioningServer() as elsewhere:
        launch(caption_job(tmp_path, phantoms, served(elsewhere, max_concurrency=3)), LaunchConfig())
        assert not elsewhere.asked
