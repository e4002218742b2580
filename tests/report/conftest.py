"""A finished run in miniature: every part in the shape the pipelines write, with numbers like those of a real one."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from dermdit_kedro.handles import Features, ImageFolder
from dermdit_kedro.metrics.arm_comparison import compare_arms
from dermdit_kedro.metrics.diagnosis import score_arm
from dermdit_kedro.metrics.group_fairness import score_groups
from dermdit_kedro.metrics.parameters import GroupFairnessConfig
from dermdit_kedro.report.verdict import write_verdict

SKIN = {"light": (232, 196, 176), "brown": (176, 128, 96), "dark": (98, 66, 50)}
ARMS = ("real", "synthetic", "real_plus_synthetic", "real_oversampled")
TEST_SETS = ("held_out", "phantom_even")


def value(centre: float, half: float, **more: Any) -> dict[str, Any]:
    """Return a metrics entry with its interval."""
    return {"value": centre, "interval": [max(centre - half, 0.0), min(centre + half, 1.0)], **more}


def draw(path: Path, malignant: bool, tone: str, rng: np.random.Generator) -> None:
    """Draw a crude lesion on skin of a tone."""
    image = Image.new("RGB", (64, 64), SKIN[tone])
    pen = ImageDraw.Draw(image)
    radius = rng.uniform(9, 20)
    angles = np.linspace(0, 2 * np.pi, 40)
    radii = radius * (1 + (0.35 if malignant else 0.06) * rng.standard_normal(40))
    points = [(32 + r * np.cos(a), 32 + r * np.sin(a)) for a, r in zip(angles, radii, strict=True)]
    pen.polygon(points, fill=(92, 52, 36) if not malignant else (52, 28, 30))
    if malignant:
        pen.ellipse((30, 24, 44, 36), fill=(70, 74, 112))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_images(folder: Path, table: pd.DataFrame, id_column: str, label: str, tone: str) -> ImageFolder:
    """Write one image per row and their index."""
    rng = np.random.default_rng(5)
    for row in table.to_dict("records"):
        draw(folder / f"{row[id_column]}.png", bool(row[label]), str(row[tone]), rng)
    files = [f"{name}.png" for name in table[id_column]]
    index = {"image_id": table[id_column], "file": files, "width": 64, "height": 64, "sha256": "0"}
    pd.DataFrame(index).to_parquet(folder / "index.parquet")
    return ImageFolder(folder, "fake")


def write_features(folder: Path, count: int, shift: float = 0.0, width: int = 12) -> Features:
    """Write Gaussian features whose components differ in scale."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = np.linspace(3.0, 0.5, width)
    features = np.random.default_rng(count).standard_normal((count, width)) * scale + shift
    np.save(folder / "features.npy", features.astype(np.float32))
    pd.DataFrame({"image_id": [f"i{k}" for k in range(count)]}).to_parquet(folder / "index.parquet")
    return Features(folder, "fake")


def make_manifest(count: int = 240) -> pd.DataFrame:
    """Return the columns of the manifest that the report reads."""
    rng = np.random.default_rng(0)
    tone = rng.choice(["light", "brown", "dark"], count, p=[0.6, 0.3, 0.1])
    return pd.DataFrame(
        {
            "image_id": [f"phantoms/p{k:04d}" for k in range(count)],
            "file": [f"p{k:04d}" for k in range(count)],
            "source": "phantoms",
            "is_malignant": pd.array(rng.random(count) < 0.35, dtype="boolean"),
            "tone_group": tone,
            "split": rng.choice(["train", "val", "test"], count, p=[0.6, 0.15, 0.25]),
        }
    )


def make_synthetic_manifest(count: int = 60) -> pd.DataFrame:
    """Return a balanced synthetic manifest."""
    cells = [(label, tone) for label in (False, True) for tone in SKIN]
    picked = [cells[k % len(cells)] for k in range(count)]
    return pd.DataFrame(
        {
            "sample_id": [f"s{k:04d}" for k in range(count)],
            "file": [f"s{k:04d}.png" for k in range(count)],
            "requested_is_malignant": pd.array([label for label, _ in picked], dtype="boolean"),
            "requested_tone_group": [tone for _, tone in picked],
        }
    )


def predictions_of(arm: str) -> pd.DataFrame:
    """Return predictions whose scores tell more in later arms and less on dark skin, which is rare in `held_out`."""
    parts = []
    for number, test_set in enumerate(TEST_SETS):
        rng = np.random.default_rng(number)
        shares = [0.64, 0.33, 0.03] if test_set == "held_out" else [1 / 3, 1 / 3, 1 / 3]
        count = 240
        people = pd.DataFrame(
            {
                "image_id": [f"{test_set}/{k:04d}" for k in range(count)], "test_set": test_set, "split": "test",
                "duplicate_cluster": [f"{test_set}/{k // 2}" for k in range(count)], "label_name": "is_malignant",
                "label": rng.random(count) < 0.4, "tone_group": rng.choice(list(SKIN), count, p=shares),
                "sex": rng.choice(["female", "male"], count), "age_approx": 55.0, "site": "trunk", "arm": arm,
            }
        )  # fmt: skip
        strength = 1.1 + 0.4 * ARMS.index(arm) - 0.9 * (people["tone_group"] == "dark")
        noise = rng.standard_normal((count, 4))
        for seed in range(3):
            logit = 0.7 * noise[:, 3] + 0.7 * noise[:, seed] + strength * np.where(people["label"], 1, -1)
            score = 1 / (1 + np.exp(-logit))
            parts.append(people.assign(seed=seed, score=score, called=score >= 0.5))
    return pd.concat(parts, ignore_index=True)


@functools.cache
def diagnosis_parts() -> str:
    """Return the metrics of every arm, their comparison and the verdict, as JSON."""
    config = GroupFairnessConfig(
        attributes=("tone_group", "sex"), intersections=(("tone_group", "sex"),), num_resamples=100,
        num_permutations=19, reference_groups={"tone_group": "light", "sex": "male"},
    )  # fmt: skip
    calls = {arm: predictions_of(arm) for arm in ARMS}
    diagnosis = {arm: score_arm(part, {"overall": [0.5] * 3}, config, 0) for arm, part in calls.items()}
    fairness = {arm: score_groups(part, config, 0) for arm, part in calls.items()}
    comparison = compare_arms(calls, "real", config)
    parts = {
        **{f"{arm}.diagnosis_metrics": part for arm, part in diagnosis.items()},
        **{f"{arm}.group_fairness": part for arm, part in fairness.items()},
        "arm_comparison": comparison,
        "verdict": write_verdict(comparison, diagnosis, fairness),
    }
    return json.dumps(parts)


def image_metrics() -> dict[str, Any]:
    """Return `image_metrics` of a conditional variant."""
    by_tone = {tone: value(0.85, 0.09, n=40) for tone in SKIN}
    by_label = {"benign": value(0.9, 0.06, n=60), "malignant": value(0.78, 0.08, n=60)}
    ssim = {"name": "ms_ssim_64px_kernel7_3scales", "image_size": 64, "kernel_size": 7, "num_scales": 3}
    distance = {"name": "fd_efficientnet_lite0", "n_real": 140, "n_synthetic": 120, "n_floor": 70}
    kid = {
        "name": "kid_efficientnet_lite0",
        "value": 0.031,
        "interval": [0.027, 0.035],
        "floor": 0.002,
        "n_real": 120,
        "n_synthetic": 120,
    }
    overlap = {"precision": 0.7, "recall": 0.5, "density": 0.9, "coverage": 0.6}
    manifold = {"name": "efficientnet_lite0", "reference": "held_out", "n_real": 120, "n_synthetic": 120}
    group = {"name": "kid_efficientnet_lite0", "group": "benign, light", "reason": None, "n": 40}
    group |= {"value": 0.02, "interval": [0.01, 0.03]}
    judge = {
        "judge": "real",
        "judge_accuracy": value(0.88, 0.04, n=240),
        "judge_balanced_accuracy": value(0.86, 0.05, n=240),
    }
    return {
        "variant": "dermdit",
        "image_size": 64,
        "frechet_distance": [{**distance, "value": 41.23456789, "reference": "held_out", "floor": 12.5}],
        "kid": [{**kid, "reference": "held_out"}],
        "manifold": [{**manifold, "num_neighbours": 5, "synthetic": overlap, "real": overlap}],
        "autoencoder": {
            "n": 120,
            "reason": None,
            "frechet_distance": [{**distance, "value": 33.1, "reference": "held_out", "floor": 12.5}],
            "kid": [{**kid, "value": 0.022, "reference": "held_out"}],
            "manifold": [{**manifold, "num_neighbours": 5, "synthetic": {**overlap, "recall": 0.44}, "real": overlap}],
        },
        "kid_by_group": [group],
        "ms_ssim": {
            **ssim,
            "synthetic": {"value": 0.31, "interval": [0.29, 0.33], "n_pairs": 500, "n": 120},
            "real": {"value": 0.27, "interval": [0.25, 0.29], "n_pairs": 500, "n": 120},
        },
        "tone_agreement": {"overall": value(0.9, 0.05, n=120), "by_group": by_tone},
        "label_agreement": {"overall": value(0.84, 0.06, n=120), "by_group": by_label, **judge},
    }


def make_parts() -> dict[str, Any]:
    """Return every part of the report by its catalog name, figures left out."""
    steps = list(range(20, 620, 20))
    losses = [1.1 * 0.93 ** (k**0.7) for k in range(len(steps))]
    checks = [{"step": 200, "loss": 0.6}, {"step": 400, "loss": 0.5}, {"step": 600, "loss": 0.47}]
    groups = [
        {"tone_group": t, "is_malignant": m, "planned": 20, "kept": 18 - 2 * m} for t in SKIN for m in (False, True)
    ]
    by_tone = {"train": {"light": 90, "brown": 41, "dark": 13}, "test": {"light": 150, "brown": 70, "dark": 20}}
    return {
        "data_report": {
            "images": 480,
            "lesions": 470,
            "malignant": 160,
            "melanoma": 90,
            "by_split_and_tone": by_tone,
            "by_split_and_label": {"train": {"benign": 100, "malignant": 44}},
            "sources": {"phantoms": {"layout": "phantom", "role": "train"}, "phantom_even": {"layout": "phantom"}},
            "missing": {"age_approx": 12},
            "quarantined": {"unreadable": 1},
            "duplicates": {"clusters": 4},
            "leak_guard": {"excluded": 3},
        },
        "five_attributes.prompt_audit": prompt_audit(),
        "autoencoder_report": {
            "psnr": {"value": 27.3, "n": 36, "split": "val"},
            "frechet_distance": {"name": "fd_efficientnet_lite0", "value": 136.44, "floor": 121.7, "n": 1000},
            "scaling_factor": 0.91,
            "by_tone_group": {"light": {"value": 27.9, "n": 20}},
            "history": {"steps": steps[:13], "loss": losses[:13], "validation": []},
        },
        "dermdit.training_history": {
            "variant": "dermdit",
            "steps": steps,
            "loss": losses,
            "validation": checks,
            "first_loss": losses[0],
            "last_loss": losses[-1],
            "seconds": 123.4,
            "num_parameters": 5_000_000,
        },
        "dermdit.image_metrics": image_metrics(),
        "dermdit.screening": {
            "variant": "dermdit",
            "n_planned": 120,
            "n_kept": 102,
            "reasons": {"tone": 12, "memorised": 6},
            "by_group": groups,
            "unsupported_groups": [{"group": {"tone_group": "dark", "is_malignant": True}, "n_train": 2}],
            "memorisation": {
                "n_accused": 6,
                "share_accused": 0.05,
                "interval": [0.02, 0.1],
                "n": 120,
                "false_alarm_rate": 0.04,
                "n_held_out": 75,
            },
            "thresholds": {"label": 0.5},
        },
        **json.loads(diagnosis_parts()),
    }


def make_drawing_inputs(folder: Path) -> dict[str, Any]:
    """Return the inputs of the figures by catalog name, images and features on disk."""
    manifest, synthetic = make_manifest(), make_synthetic_manifest()
    parts = make_parts()
    kept = ("dermdit.training_history", "autoencoder_report", *(f"{arm}.diagnosis_metrics" for arm in ARMS))
    return {
        "manifest": manifest,
        "images": write_images(folder / "images", manifest, "image_id", "is_malignant", "tone_group"),
        "held_out_features": write_features(folder / "held_out", 60),
        "train_features": write_features(folder / "train", 140),
        "dermdit.synthetic_images": write_images(
            folder / "synthetic", synthetic, "sample_id", "requested_is_malignant", "requested_tone_group"
        ),
        "dermdit.synthetic_manifest": synthetic,
        "dermdit.synthetic_features": write_features(folder / "dermdit", 120, shift=0.8),
        **{name: json.loads(json.dumps(parts[name])) for name in kept},
    }


def prompt_audit() -> dict[str, Any]:
    """An audit of prompts by a model that leaves the sex out and was repaired."""
    told = {"is_malignant": 1.0, "tone_group": 1.0, "sex": 0.99}
    part = {
        "n": 480, "unique_prompts": 300, "attribute_recall": told,
        "contradictions": {**dict.fromkeys(told, 0.0), "age_approx": None, "site": 0.01},
        "names_all_share": 0.99, "contradicting_share": 0.01, "truncated_share": 0.0,
        "repairs": {"retry": 20, "template": 6, "reasons": {"leaves out the sex": 26}},
    }  # fmt: skip
    answers = {**part, "attribute_recall": {**told, "sex": 0.9}, "names_all_share": 0.9, "contradicting_share": 0.05}
    groups = {tone: {**part, "n": 160, "answers": answers} for tone in ("light", "brown", "dark")}
    return {**part, "answers": answers, "controls": {"looks_at_image": "yes"}, "by_tone_group": groups}


@pytest.fixture(scope="session")
def parts() -> dict[str, Any]:
    """Every part of the report but the figures."""
    return make_parts()


@pytest.fixture(scope="session")
def drawing_inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The inputs of the figures."""
    return make_drawing_inputs(tmp_path_factory.mktemp("run"))
