"""The nodes on phantoms at toy size: planted faults are named, everything else is deterministic and complete."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.swaps.guide import shown

from dermdit_kedro.augmentation.parameters import ScreeningConfig, SynthesisConfig
from dermdit_kedro.augmentation.synthetic_manifest import SYNTHETIC_DTYPES
from dermdit_kedro.dermoscopy.images import build_image_index, read_rgb, write_png
from dermdit_kedro.dermoscopy.parameters import DataEngineeringConfig
from dermdit_kedro.dermoscopy.phantom import record, render
from dermdit_kedro.diagnosis.parameters import ClassifierConfig, ClassifierTraining
from dermdit_kedro.diffusion.parameters import SamplerConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import Folder, ImageFolder
from dermdit_kedro.launching import LaunchConfig
from dermdit_kedro.metrics.parameters import ExtractorConfig
from dermdit_kedro.pipelines.synthesis import nodes
from dermdit_kedro.pipelines.synthesis.set_nodes import publish_set
from dermdit_kedro.prompts.parameters import PromptSetConfig

SIZE, UNUSED = 32, 130
HERE = LaunchConfig()
EXTRACTOR = ExtractorConfig(name="efficientnet_lite0", image_size=32)
SAMPLER = SamplerConfig(num_inference_steps=2, guidance_scale=2.0, guidance_interval=(0.5, 1.0), batch_size=4)
SYNTHESIS = SynthesisConfig(num_images=24, min_train_images=5)
SCREENING = ScreeningConfig.model_validate({"label": {"margin": 0.9}, "tone": {"enabled": False}})
BLANK, COPY, MIRRORED, REPEATED = 3, 4, 5, 11


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def train_features(images, manifest, work_dir):
    return nodes.extract_train_features(images, manifest, EXTRACTOR, HERE, work_dir)


@pytest.fixture(scope="module")
def screening_classifier(images, manifest, work_dir):
    classifier, training = ClassifierConfig(architecture="test_resnet"), ClassifierTraining(epochs=1, batch_size=32)
    return nodes.train_screening_classifier(images, manifest, classifier, training, SIZE, 0, HERE, work_dir)


@pytest.fixture(scope="module")
def plan(manifest, prompts):
    return nodes.plan_synthesis(manifest, SYNTHESIS, 0, prompts, PromptSetConfig())


@pytest.fixture(scope="module")
def synthetic_images(tmp_path_factory, plan, images, phantoms):
    """New phantoms of the tone and label asked for, among them two copies, a blank and a repetition."""
    folder, pictures = tmp_path_factory.mktemp("synthetic"), []
    unused = {i: record(phantoms, i) for i in range(UNUSED, phantoms.num_images)}
    for row in plan[0].itertuples():
        asked = (row.requested_tone_group, row.requested_is_malignant)
        found = next(i for i, truth in unused.items() if (truth["tone_group"], truth["is_malignant"]) == asked)
        del unused[found]
        pictures.append(render(phantoms, found, SIZE).image)
    pictures[BLANK] = np.full_like(pictures[BLANK], 180)
    pictures[COPY] = read_rgb(images.path / "phantoms/0004.png")
    pictures[MIRRORED] = read_rgb(images.path / "phantoms/0005.png")[:, ::-1]
    pictures[REPEATED] = pictures[0]
    for sample_id, picture in zip(plan[0]["sample_id"], pictures, strict=True):
        write_png(folder / f"{sample_id}.png", np.ascontiguousarray(picture))
    build_image_index(folder)
    return ImageFolder(folder, "synthetic phantoms")


def screen(plan, synthetic_images, generator, images, manifest, features, classifier, work_dir, screening=SCREENING):
    return nodes.screen_images(
        synthetic_images, *plan, generator, images, manifest, features, classifier, screening, SAMPLER, EXTRACTOR,
        DataEngineeringConfig(), HERE, work_dir, variant_name="dermdit",
    )  # fmt: skip


@pytest.fixture(scope="module")
def screened(plan, synthetic_images, generator, images, manifest, train_features, screening_classifier, work_dir):
    return screen(plan, synthetic_images, generator, images, manifest, train_features, screening_classifier, work_dir)


def test_train_features_are_of_training_images_alone(train_features, manifest):
    train = manifest.loc[manifest["split"] == "train", "image_id"]
    assert train_features.index()["image_id"].tolist() == train.tolist()
    assert np.isfinite(train_features.array()).all()


def test_the_plan_is_exact_and_says_whom_it_leaves_out(plan, manifest):
    rows, unsupported = plan
    assert len(rows) == 24
    assert unsupported == {"unsupported_groups": []}
    choosy = SYNTHESIS.model_copy(update={"min_train_images": 16})
    few = nodes.plan_synthesis(manifest, choosy, 0, None, PromptSetConfig())
    sizes = manifest[manifest["split"] == "train"].groupby(["is_malignant", "tone_group"]).size()
    assert len(few[1]["unsupported_groups"]) == (sizes < 16).sum() > 0


def test_an_unconditional_variant_is_planned_without_attributes(manifest):
    rows, unsupported = nodes.plan_synthesis(manifest, SYNTHESIS, 0)
    assert (rows["prompt"] == "").all()
    assert rows.filter(like="requested_").isna().all(axis=None)
    assert unsupported == {"unsupported_groups": []}


def test_every_planned_image_is_drawn(generator, plan, work_dir):
    folder = nodes.sample_images(generator, plan[0], SAMPLER, HERE, work_dir)
    assert set(folder.index()["image_id"]) == set(plan[0]["sample_id"])
    again = nodes.sample_images(generator, plan[0], SAMPLER.model_copy(update={"batch_size": 1}), HERE, work_dir)
    assert again == folder


def test_planted_faults_are_named(screened):
    reasons = screened[0]["reason"]
    assert reasons[BLANK] == "blank"
    assert reasons[COPY] == reasons[MIRRORED] == "memorised"
    assert reasons[REPEATED] == "duplicate"
    assert screened[0].loc[COPY, "nearest_train_image_id"] == "phantoms/0004"
    assert screened[0].loc[COPY, "nearest_distance"] == pytest.approx(0, abs=1e-3)


def test_most_new_images_are_kept(screened):
    planted = [BLANK, COPY, MIRRORED, REPEATED]
    assert screened[0]["kept"].drop(planted).mean() >= 0.8


def test_the_manifest_has_the_columns_of_the_contract(screened, plan):
    table = screened[0]
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == SYNTHETIC_DTYPES
    assert table["sample_id"].tolist() == plan[0]["sample_id"].tolist()
    assert (table["kept"] == table["reason"].isna()).all()
    assert table["generator"].unique().tolist() == ["dermdit@random weights"]
    assert set(table["tone_group"]) <= {"light", "brown", "dark", "unknown"}


def test_the_report_adds_up(screened):
    table, report = screened
    assert report["variant"] == "dermdit"
    assert report["n_kept"] + sum(report["reasons"].values()) == report["n_planned"] == len(table)
    assert report["n_kept"] == table["kept"].sum()
    assert sum(group["planned"] for group in report["by_group"]) == len(table)
    assert report["memorisation"]["n_accused"] >= 2
    assert report["memorisation"]["n_held_out"] == 20
    assert report["memorisation"]["false_alarm_rate"] <= 0.1
    assert report["unsupported_groups"] == []


def test_screening_again_gives_the_same(
    screened, plan, synthetic_images, generator, images, manifest, train_features, screening_classifier, tmp_path
):
    again = screen(plan, synthetic_images, generator, images, manifest, train_features, screening_classifier, tmp_path)
    pd.testing.assert_frame_equal(again[0], screened[0])
    assert again[1] == screened[1]


def test_the_label_of_another_question_is_refused(images, manifest, tmp_path):
    classifier, training = ClassifierConfig(architecture="x", label_name="is_melanoma"), ClassifierTraining(epochs=1)
    with pytest.raises(UserError, match="label_name must be is_malignant"):
        nodes.train_screening_classifier(images, manifest, classifier, training, SIZE, 0, HERE, tmp_path)


def test_without_held_out_images_the_way_out_is_named(
    plan, synthetic_images, generator, images, manifest, train_features, tmp_path
):
    train = manifest[manifest["split"] == "train"]
    classifier = Folder(tmp_path, "not looked at")
    with pytest.raises(UserError, match=r"every val image .* data_engineering\.val_share"):
        screen(plan, synthetic_images, generator, images, train, train_features, classifier, tmp_path)


def test_an_unconditional_variant_may_have_a_number_of_its_own(manifest):
    synthesis = SYNTHESIS.model_copy(update={"num_unconditional_images": 7})
    assert len(nodes.plan_synthesis(manifest, synthesis, 0)[0]) == 7
    assert len(nodes.plan_synthesis(manifest, synthesis, 0, None, PromptSetConfig())[0]) == 24


@pytest.fixture(scope="module")
def published(synthetic_images, screened, plan, manifest, work_dir):
    table, report = screened
    data_report = {"sources": {"phantoms": {"layout": "phantom", "role": "train"}}}
    return publish_set(
        synthetic_images, table, report, manifest, data_report, SAMPLER, SIZE, HERE, work_dir, variant_name="dermdit"
    )


def test_the_set_opens_as_an_image_folder_with_its_columns(published, screened, synthetic_images, tmp_path):
    import datasets

    kept = screened[0][screened[0]["kept"]].set_index("sample_id")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(published.path), cache_dir=str(tmp_path), split="train")
    assert sorted(loaded["sample_id"]) == sorted(kept.index)
    row = loaded[0]
    expected = kept.loc[row["sample_id"]]
    assert row["prompt"] == expected["prompt"]
    assert row["requested_is_malignant"] == expected["requested_is_malignant"]
    assert row["seed"] == expected["seed"]
    drawn = read_rgb(synthetic_images.path / f"{row['sample_id']}.png")
    np.testing.assert_array_equal(np.asarray(row["image"]), drawn)
    assert "nearest_train_image_id" not in loaded.column_names


def test_the_set_reads_back_as_a_source_by_the_guide_s_own_words(published, screened):
    from dermdit_kedro.dermoscopy.layouts import open_source

    shown_there = yaml.safe_load(shown("An image folder of Hugging Face")["conf/other/catalog.yml"])
    entry = shown_there["sources"]["sources"]["synthetic"] | {"path": str(published.path)}
    source = open_source("synthetic", entry)
    records = source.records()
    kept = screened[0][screened[0]["kept"]]
    assert [Path(file).stem for file in records["file"]] == kept["sample_id"].tolist()
    assert source.num_unused_files() == 0
    for ours, theirs in entry["columns"].items():
        found = records["expert_tone_group" if ours == "tone_group" else ours].astype("object")
        asked = kept[theirs].astype("object")
        assert found.where(found.notna(), None).tolist() == asked.where(asked.notna(), None).tolist(), ours
    for file in records["file"]:
        assert source.read_bytes(file) == (published.path / file).read_bytes()


def test_the_set_says_what_is_not_in_it_and_why(published, screened):
    table = pd.read_parquet(published.path / "manifest.parquet")
    pd.testing.assert_frame_equal(table, screened[0])
    pictures = {path.stem for path in (published.path / "images").glob("*.png")}
    assert pictures == set(table.loc[table["kept"], "sample_id"])
    assert set(published.index()["image_id"]) == pictures
    assert all((published.path / file).is_file() for file in published.index()["file"])


def test_the_card_names_every_count_truly(published, screened, manifest):
    table, report = screened
    card = (published.path / "README.md").read_text()
    assert f"{table['kept'].sum()} images of skin lesions" in card
    assert f"| all | 24 | {table['kept'].sum()} |" in card
    asked = table.groupby(["requested_is_malignant", "requested_tone_group"])["kept"].agg(["size", "sum"])
    for (malignant, tone), (planned, kept) in asked.iterrows():
        assert f"| {'malignant' if malignant else 'benign'} {tone} | {planned} | {kept} |" in card
    for reason, count in report["reasons"].items():
        assert f"| {reason} | {count} |" in card
    train = manifest[manifest["split"] == "train"]
    assert f"learned from {len(train)} images" in card
    assert "trained on phantoms" in card
    assert "2 steps, guidance 2.0 (from 50 to 100 % of the steps)." in card
    assert "Off: tone." in card
    assert "{{" not in card


def test_a_second_time_nothing_is_done(published, synthetic_images, screened, manifest, work_dir, monkeypatch):
    monkeypatch.setattr("dermdit_kedro.launching._run_here", pytest.fail)
    data_report = {"sources": {"phantoms": {"layout": "phantom", "role": "train"}}}
    again = publish_set(
        synthetic_images, *screened, manifest, data_report, SAMPLER, SIZE, HERE, work_dir, variant_name="dermdit"
    )
    assert again == published
