"""Captions of one's own: a table in the catalog in place of a captioner."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from tests.swaps.guide import run, shown, write_environment

SOURCES = """
sources:
  type: dermdit_kedro.datasets.sources.SourcesDataset
  sources:
    phantom: {layout: phantom, role: train, num_images: 24, size: 32}
    even: {layout: phantom, role: test, num_images: 8, size: 32, seed: 1}
"""


def test_captions_of_a_table(tracked_project: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = shown("Captions of your own")
    files["conf/mine/catalog.yml"] += SOURCES
    tiny = {"text_encoder_training": {"max_train_steps": 2, "checkpointing_steps": 1, "log_steps": 1}}
    data = write_environment(tracked_project, files=files, **tiny)
    raw = tracked_project / "data/01_raw"
    run(tracked_project, "data_engineering")
    manifest = pd.read_parquet(data / "03_primary/manifest.parquet")
    captioned = manifest["image_id"].iloc[2:]
    by_id = pd.DataFrame({"image_id": captioned, "prompt": [f"what I saw in picture {i}" for i in captioned.index]})
    stranger = pd.DataFrame({"image_id": ["phantom/gone"], "prompt": ["nobody"]})
    pd.concat([by_id, stranger]).to_csv(raw / "captions.csv", index=False)
    written = {"to_outputs": ["five_attributes.prompts", "five_attributes.prompt_audit"]}
    with caplog.at_level(logging.WARNING, "dermdit_kedro"):
        run(tracked_project, "prompting", **written)
    assert "1 of 31 rows of captions name no image of the manifest" in caplog.text
    prompts = pd.read_parquet(data / "03_primary/prompts/five_attributes.parquet")
    assert prompts["image_id"].tolist() == manifest["image_id"].tolist()
    assert prompts["prompt"].iloc[2:].tolist() == by_id["prompt"].tolist()
    assert prompts["prompt"].iloc[:2].str.startswith("dermoscopic image of a").all()
    assert prompts["prompt_source"].iloc[:2].tolist() == ["template"] * 2
    (source,) = prompts["prompt_source"].iloc[2:].unique()
    assert source.startswith("captions@")
    audit = json.loads((data / "08_reporting/five_attributes/prompt_audit.json").read_text())
    assert audit["repairs"] == {"retry": 0, "template": 2, "reasons": {"no answer": 2}}
    assert audit["prompt_source"] == {source: 30, "template": 2}
    assert audit["answers"]["attribute_recall"]["is_malignant"] == 0

    catalog = tracked_project / "conf/mine/catalog.yml"
    text = (
        catalog.read_text().replace("pandas.CSVDataset", "pandas.ParquetDataset").replace("captions.csv", "captions.pq")
    )
    catalog.write_text(text.replace("  load_args: {dtype: str}\n", ""))
    by_id.assign(prompt="another " + by_id["prompt"]).to_parquet(raw / "captions.pq")
    run(tracked_project, "prompting", **written)
    again = pd.read_parquet(data / "03_primary/prompts/five_attributes.parquet")
    assert again["prompt"].iloc[2:].tolist() == ("another " + by_id["prompt"]).tolist()
    assert set(again["prompt_source"].iloc[2:]).isdisjoint({source, "template"})
