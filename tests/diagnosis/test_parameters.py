"""Rules of the parameters."""

import pytest
from pydantic import ValidationError

from dermdit_kedro.diagnosis.parameters import ArmConfig, ClassifierConfig, ClassifierTraining


def test_steps_follow_from_the_real_training_images_alone():
    training = ClassifierTraining(epochs=3, batch_size=64, num_validations=4).for_images(130)
    assert training.max_train_steps == 9
    assert training.validation_steps == 2
    assert training.lr_warmup_steps == 0


def test_an_arm_trains_on_something():
    with pytest.raises(ValidationError, match="Got neither"):
        ArmConfig(real=False)


def test_a_ratio_needs_synthetic_images():
    with pytest.raises(ValidationError, match="synthetic_ratio needs synthetic: true"):
        ArmConfig(synthetic_ratio=1.0)


@pytest.mark.parametrize("label", ["malignant", "is_benign"])
def test_an_unknown_label_is_refused(label):
    with pytest.raises(ValidationError, match="is_malignant"):
        ClassifierConfig(architecture="test_resnet", label_name=label)
