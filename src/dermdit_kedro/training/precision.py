"""In which numbers a device trains fastest without losing what it learns."""

from dermdit_kedro.training.parameters import TrainingConfig


def settle_precision(training: TrainingConfig, device: str = "auto") -> TrainingConfig:
    """Replace `mixed_precision: auto` by what this machine computes in natively.

    To be settled before a job is made, so that the precision is in its key and a run that moves to another machine
    begins anew there instead of going on in other numbers.

    Args:
        training: The settings as configured.
        device: `cpu` where a GPU is to be left alone; else a GPU counts where there is one.

    Returns:
        The settings with `bf16` where the device has instructions for it (GPUs from Ampere on; CPUs with AVX512-BF16 or
        AMX), with `no` where it would only be emulated; unchanged where they name a precision.
    """
    if training.mixed_precision != "auto":
        return training
    import torch

    if device != "cpu" and torch.cuda.is_available():
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        is_native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return training.model_copy(update={"mixed_precision": "bf16" if is_native else "no"})
