"""The classifier: calibration, threshold, and the same scores after a round trip."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import balanced_accuracy_score, log_loss

from dermdit_kedro.diagnosis.classifier import (
    choose_threshold,
    create_classifier,
    fit_temperature,
    load_classifiers,
    read_cards,
    save_classifier,
)
from dermdit_kedro.diagnosis.parameters import ClassifierConfig
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ModelFolder

CONFIG = ClassifierConfig(architecture="test_byobnet")


@pytest.fixture
def batch():
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_saved_classifier_scores_the_same(tmp_path, batch):
    classifier = create_classifier(CONFIG, 32, seed=3)
    classifier.card = classifier.card.model_copy(update={"threshold": 0.3, "temperature": 2.0})
    (tmp_path / "seed_0").mkdir()
    save_classifier(classifier, tmp_path / "seed_0")
    (loaded,) = load_classifiers(ModelFolder(tmp_path, "x"))
    assert loaded.card == classifier.card
    assert torch.equal(loaded.predict_proba(batch), classifier.predict_proba(batch))
    assert loaded.predict_proba(batch).shape == (5,)


def test_classifiers_come_in_the_order_of_their_seeds(tmp_path):
    for k in (10, 2, 0):
        (tmp_path / f"seed_{k}").mkdir()
        save_classifier(create_classifier(CONFIG, 32, seed=100 + k), tmp_path / f"seed_{k}")
    assert [card.seed for card in read_cards(ModelFolder(tmp_path, "x"))] == [100, 102, 110]
    assert [card.seed for card in read_cards(ModelFolder(tmp_path / "seed_2", "x"))] == [102]


def test_a_folder_without_a_classifier_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected a classifier"):
        load_classifiers(ModelFolder(tmp_path, "x"))


def test_an_image_scores_the_same_in_any_batch(batch):
    classifier = create_classifier(CONFIG, 32, seed=0)
    together = classifier.predict_proba(batch)
    alone = torch.cat([classifier.predict_proba(image[None]) for image in batch])
    assert together == pytest.approx(alone, abs=1e-6)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(UserError, match="resnet_of_dreams"):
        create_classifier(ClassifierConfig(architecture="resnet_of_dreams"), 32, seed=0)


def test_local_weights_are_loaded_but_for_the_head(tmp_path):
    import timm

    given = timm.create_model("test_byobnet", num_classes=7)
    save_file(given.state_dict(), tmp_path / "weights.safetensors")
    config = ClassifierConfig(architecture="test_byobnet", pretrained=str(tmp_path / "weights.safetensors"))
    own = create_classifier(config, 32, seed=0).backbone.state_dict()
    same = [torch.equal(own[name], value) for name, value in given.state_dict().items() if "head" not in name]
    assert all(same)
    with pytest.raises(UserError, match=r"lacks \d+ of the model's"):
        create_classifier(config.model_copy(update={"architecture": "test_resnet"}), 32, seed=0)


def test_position_embeddings_are_fitted_to_the_images_and_not_lost(tmp_path):
    import timm
    from timm.layers import resample_abs_pos_embed

    given = timm.create_model("test_vit", num_classes=7).state_dict()
    save_file(given, tmp_path / "weights.safetensors")
    config = ClassifierConfig(architecture="test_vit", pretrained=str(tmp_path / "weights.safetensors"))
    own = create_classifier(config, 64, seed=0).backbone.state_dict()
    assert torch.allclose(own["pos_embed"], resample_abs_pos_embed(given["pos_embed"], [4, 4]), atol=1e-6)


def test_weights_that_are_no_weights_are_named(tmp_path):
    (tmp_path / "half.safetensors").write_bytes(b"half a file")
    config = ClassifierConfig(architecture="test_byobnet", pretrained=str(tmp_path / "half.safetensors"))
    with pytest.raises(UserError, match=r"half\.safetensors does not hold weights of 'test_byobnet'"):
        create_classifier(config, 32, seed=0)


def test_missing_local_weights_are_named(tmp_path):
    config = ClassifierConfig(architecture="test_byobnet", pretrained=str(tmp_path / "no.safetensors"))
    with pytest.raises(UserError, match=r"no\.safetensors does not exist"):
        create_classifier(config, 32, seed=0)


def test_the_threshold_has_the_best_balanced_accuracy():
    rng = np.random.default_rng(0)
    labels = rng.random(200) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.2 * labels, 0.15), 0, 1)
    best = balanced_accuracy_score(labels, scores >= choose_threshold(scores, labels))
    grid = [balanced_accuracy_score(labels, scores >= limit) for limit in np.linspace(0, 1, 501)]
    assert best == pytest.approx(max(grid), abs=0.01)
    assert best >= max(grid) - 1e-12


def test_the_threshold_lies_between_two_scores():
    labels, scores = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.6, 0.9])
    assert choose_threshold(scores, labels) == pytest.approx(0.4)


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_label_alone_chooses_nothing(labels):
    assert choose_threshold(np.array([0.2, 0.9]), np.array(labels)) == 0.5
    assert fit_temperature(np.array([0.2, 0.9]), np.array(labels)) == 1


def test_the_temperature_is_found_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, size=20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-logits))
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.05)


def test_calibration_never_raises_the_log_loss():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 5, size=300), rng.random(300) < 0.4
    before, after = (log_loss(labels, 1 / (1 + np.exp(-logits / t))) for t in (1.0, fit_temperature(logits, labels)))
    assert after <= before + 1e-9


def test_a_network_without_an_opinion_has_some_temperature():
    assert 0.05 <= fit_temperature(np.zeros(4), np.array([True, False, True, False])) <= 20
