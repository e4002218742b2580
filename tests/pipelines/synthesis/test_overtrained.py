"""A generator that has learned its training images by heart is called what it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TWENTY_IMAGES = (
    "data_engineering.max_images=100,data_engineering.val_share=0.6,data_engineering.test_share=0.2,"
    "autoencoder_training.max_train_steps=800,"
    "denoiser_training.max_train_steps=3000,denoiser_training.batch_size=20,"
    "denoiser_training.validation_steps=1000,denoiser_training.checkpointing_steps=1000,"
    "dermdit.denoiser.hidden_size=128,dermdit.denoiser.depth=4,"
    "synthesis.min_train_images=1,synthesis.num_images=100"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_thousand_steps_on_twenty_images_are_found_to_copy(tracked_project: Path) -> None:
    command = [sys.executable, "-m", "kedro", "run", "--env", "test", "--params", TWENTY_IMAGES]
    command += ["--to-outputs", "dermdit.screening,dermdit.synthetic_set"]
    run = subprocess.run(command, cwd=tracked_project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    report = json.loads((tracked_project / "data/test/08_reporting/dermdit/screening.json").read_text())
    found = report["memorisation"]
    assert found["copies"]
    assert found["share_accused"] >= 0.5
    assert found["false_alarm_rate"] <= 0.05
    assert "dermdit copies its training images" in run.stdout + run.stderr
    card = (tracked_project / "data/test/07_model_output/dermdit/set/README.md").read_text()
    assert "This generator copies its training images" in card
