"""Train a denoiser on cached latents and cached prompt embeddings.

`accelerate launch -m dermdit_kedro.diffusion.train <job folder>` repeats a run without Kedro.
"""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.latents import LatentStack
from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig
from dermdit_kedro.handles import Latents, TextEmbeddings
from dermdit_kedro.jobs import Job
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch

VALIDATION_IMAGES = 256
"""Held-out latents that the validation loss is measured on, at fixed time and noise."""


class DenoisingData:
    """Latents with their prompt embeddings, by position in a table of examples.

    Args:
        latents: Cached latents.
        prompts: Encoded prompts; row 0 is the null prompt.
        examples: Columns latent_row and text_row.
        device: Where embeddings are kept.
    """

    def __init__(
        self, latents: LatentStack, prompts: tuple[Tensor, Tensor], examples: pd.DataFrame, device: torch.device
    ) -> None:
        self.latents = latents
        self.latent_rows = torch.as_tensor(examples["latent_row"].to_numpy().copy())
        self.text_rows = torch.as_tensor(examples["text_row"].to_numpy().copy())
        self.embeddings, self.mask = prompts[0].float().to(device), prompts[1].to(device)

    def __len__(self) -> int:
        return len(self.latent_rows)

    def prompts(self, indices: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (embeddings (b, l, e), mask (b, l)); `dropped` rows get the null prompt."""
        rows = self.text_rows[indices].to(self.embeddings.device)
        if dropped is not None:
            rows = torch.where(dropped, torch.zeros_like(rows), rows)
        return self.embeddings[rows], self.mask[rows]


def denoising_loss(
    model: Any, objective: Objective, latents: Tensor, noise: Tensor, time: Tensor, prompts: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the loss of one batch (equation 3).

    Args:
        model: A denoiser.
        objective: Forward process and target.
        latents: Clean latents (b, c, h, w).
        noise: Standard normal (b, c, h, w).
        time: Standard normal (b,).
        prompts: Embeddings (b, l, e) and mask (b, l).

    Returns:
        A scalar.
    """
    noisy = objective.draw(latents, noise, time)
    out = model(
        noisy.sample, noisy.timestep, encoder_hidden_states=prompts[0], encoder_attention_mask=prompts[1],
        return_dict=False,
    )  # fmt: skip
    return objective.loss(out[0], noisy)


def _validator(objective: Objective, data: DenoisingData, seed: int) -> Any:
    count = min(len(data), VALIDATION_IMAGES)
    generator = torch.Generator().manual_seed(stable_seed(seed, "validation"))
    noise = torch.randn(count, *data.latents.shape, generator=generator)
    time = torch.randn(count, generator=generator)

    def validate(model: Any) -> dict[str, float]:
        losses = []
        for rows in torch.arange(count).split(64):
            device = data.embeddings.device
            part = noise[rows].to(device)
            latents = data.latents.sample(data.latent_rows[rows], torch.zeros(len(rows)), torch.zeros_like(part))
            value = denoising_loss(model, objective, latents, part, time[rows].to(device), data.prompts(rows))
            losses += [float(value)] * len(rows)
        return {"loss": sum(losses) / count}

    return validate


def main(job: Job) -> None:
    """Train the denoiser of a job and write its averaged weights as a diffusers folder.

    Args:
        job: Config `denoiser`, `objective`, `training`, `seed`; inputs `latents`, `text_embeddings` and
            table `examples` (latent_row, text_row, split).
    """
    from accelerate import PartialState

    state = PartialState()
    training, seed = job.config("training", TrainingConfig), job.config("seed", int)
    objective = Objective(job.config("objective", ObjectiveConfig))
    dropout = objective.config.prompt_dropout
    latents = LatentStack(job.input("latents", Latents))
    embeddings, mask = job.input("text_embeddings", TextEmbeddings).arrays()
    prompts = (torch.from_numpy(embeddings), torch.from_numpy(mask))
    examples = job.table("examples")
    parts = {k: DenoisingData(latents, prompts, v, state.device) for k, v in examples.groupby("split")}
    data = parts["train"]
    torch.manual_seed(stable_seed(seed, "denoiser"))
    c, h, _ = latents.shape
    model: nn.Module = build_denoiser(job.config("denoiser", DenoiserConfig), h, c, embeddings.shape[-1])

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        mirrored = batch.rand(1)[:, 0] < 0.5
        z = latents.sample(data.latent_rows[batch.indices], mirrored, batch.randn(*latents.shape))
        dropped = batch.rand(1)[:, 0] < dropout
        noise, time = batch.randn(*latents.shape), batch.randn(1)[:, 0]
        return {"loss": denoising_loss(model, objective, z, noise, time, data.prompts(batch.indices, dropped))}

    model = fit(
        job, model, loss, num_examples=len(data), training=training, seed=seed, what=job.spec["name"],
        validate=_validator(objective, parts["val"], seed) if "val" in parts else None,
    )  # fmt: skip
    if state.is_main_process:
        denoiser: Any = model
        denoiser.save_pretrained(job.result)
        job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
