"""`mixed_precision: auto`: bf16 where the device has instructions for it, float32 elsewhere, settled before a job."""

from pathlib import Path

import pytest
import torch
from tests.training.test_engine import _config, _train

from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.precision import settle_precision


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "no"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"architecture": "arm"}, "no"),
    ],
)
def test_a_cpu_says_what_it_computes_in(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    settled = settle_precision(_config(mixed_precision="auto"), "cpu")
    assert settled == _config(mixed_precision=precision)


@pytest.mark.parametrize(("is_native", "precision"), [(True, "bf16"), (False, "no")])
def test_a_gpu_counts_where_there_is_one_and_is_to_be_used(
    monkeypatch: pytest.MonkeyPatch, is_native: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_native)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert settle_precision(_config(mixed_precision="auto")).mixed_precision == precision
    assert settle_precision(_config(mixed_precision="auto"), "cpu").mixed_precision == "no"


@pytest.mark.parametrize("named", ["no", "bf16", "fp16"])
def test_a_precision_that_is_named_stays(named: str) -> None:
    config: TrainingConfig = _config(mixed_precision=named)
    assert settle_precision(config) is config


def test_what_was_not_settled_does_not_train(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="settled before a job"):
        _train(tmp_path, _config(mixed_precision="auto"))
