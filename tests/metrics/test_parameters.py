"""Rules of the parameters."""

import pytest
from pydantic import ValidationError

from dermdit_kedro.metrics.parameters import ExtractorConfig, GroupFairnessConfig


@pytest.mark.parametrize("name", ["efficientnet_lite0", "finetuned"])
def test_some_extractors_bring_their_weights(name):
    assert ExtractorConfig(name=name).weights is None
    with pytest.raises(ValidationError, match="takes no weights"):
        ExtractorConfig(name=name, weights="x.safetensors")


@pytest.mark.parametrize("name", ["inception_v3", "timm:resnet18"])
def test_others_need_a_file(name):
    assert ExtractorConfig(name=name, weights="x").name == name
    with pytest.raises(ValidationError, match="needs local weights"):
        ExtractorConfig(name=name)


@pytest.mark.parametrize("name", ["timm:", "inception", ""])
def test_an_unknown_extractor_is_refused(name):
    with pytest.raises(ValidationError, match="name must be one of"):
        ExtractorConfig(name=name)


@pytest.mark.parametrize("edges", [(50, 30), (30, 30), (0, 30)])
def test_age_edges_rise(edges):
    with pytest.raises(ValidationError, match="positive and rising"):
        GroupFairnessConfig(age_edges=edges)


def test_an_unknown_key_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        GroupFairnessConfig(num_resample=10)
