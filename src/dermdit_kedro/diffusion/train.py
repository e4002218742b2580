"""Train a denoiser on cached latents and cached prompt embeddings.

`accelerate launch -m dermdit_kedro.diffusion.train <job folder>` repeats a run without Kedro.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dermdit_kedro.atomic import write_json
from dermdit_kedro.dermoscopy.images import build_image_index, contact_sheet, to_uint8, write_png
from dermdit_kedro.diffusion import SAMPLES
from dermdit_kedro.diffusion.denoisers import build_denoiser
from dermdit_kedro.diffusion.denoising import denoise
from dermdit_kedro.diffusion.latents import LatentStack
from dermdit_kedro.diffusion.objective import Objective
from dermdit_kedro.diffusion.parameters import DenoiserConfig, ObjectiveConfig, SamplerConfig
from dermdit_kedro.diffusion.patch_autoencoder import load_autoencoder
from dermdit_kedro.diffusion.sampler import decode_latents
from dermdit_kedro.diffusion.schedulers import build_scheduler
from dermdit_kedro.handles import COMPLETE, Latents, ModelFolder, TextEmbeddings
from dermdit_kedro.jobs import Job
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import Draw, Validate, fit
from dermdit_kedro.training.parameters import TrainingConfig
from dermdit_kedro.training.streams import Batch

VALIDATION_IMAGES = 256
"""Held-out latents of each tone group, at most, that the validation loss is measured on at fixed time and noise."""
DRAWN_IMAGES = 4
"""Prompts of each tone group's held-out images that pictures are drawn for, at fixed noise."""
ON_DEVICE_BYTES = 2**30
"""Prompt embeddings up to this size in all are kept on the device; more are read from disk as they are needed."""


class DenoisingData:
    """Latents with their prompt embeddings, by position in a table of examples.

    Args:
        latents: Cached latents.
        prompts: Encoded prompts; row 0 is the null prompt.
        examples: Columns latent_row, text_row and tone_group.
        device: Where batches go.
    """

    def __init__(
        self, latents: LatentStack, prompts: tuple[Tensor, Tensor], examples: pd.DataFrame, device: torch.device
    ) -> None:
        self.latents = latents
        self.latent_rows = torch.as_tensor(examples["latent_row"].to_numpy().copy())
        self.text_rows = torch.as_tensor(examples["text_row"].to_numpy().copy())
        self.tone_groups = examples["tone_group"].to_numpy()
        place = device if prompts[0].nbytes <= ON_DEVICE_BYTES else torch.device("cpu")
        self.embeddings, self.mask, self.device = prompts[0].to(place), prompts[1].to(place), device

    def __len__(self) -> int:
        return len(self.latent_rows)

    def prompts(self, indices: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (embeddings (b, l, e), mask (b, l)); `dropped` rows get the null prompt."""
        place = self.embeddings.device
        rows = self.text_rows[indices].to(place)
        if dropped is not None:
            rows = torch.where(dropped.to(place), torch.zeros_like(rows), rows)
        return self.embeddings[rows].to(self.device).float(), self.mask[rows].to(self.device)

    def some_of_each_tone(self, count: int, repeat: bool = False) -> Tensor:
        """Return the positions of `count` examples of each tone group, spread evenly, group by group.

        Where a group has fewer they are all taken once, or, with `repeat`, some again.
        """
        groups = pd.Series(range(len(self)), dtype="int64").groupby(self.tone_groups, sort=True)
        counts = {name: count if repeat else min(count, len(rows)) for name, rows in groups}
        picked = [rows.iloc[np.linspace(0, len(rows) - 1, counts[name]).astype(int)] for name, rows in groups]
        return torch.as_tensor(pd.concat(picked).to_numpy().copy())


def denoising_losses(
    model: Any, objective: Objective, latents: Tensor, noise: Tensor, time: Tensor, prompts: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the loss of each example of a batch (equation 3).

    Args:
        model: A denoiser.
        objective: Forward process and target.
        latents: Clean latents (b, c, h, w).
        noise: Standard normal (b, c, h, w).
        time: Standard normal (b,).
        prompts: Embeddings (b, l, e) and mask (b, l).

    Returns:
        (b,).
    """
    noisy = objective.draw(latents, noise, time)
    out = model(
        noisy.sample, noisy.timestep, encoder_hidden_states=prompts[0], encoder_attention_mask=prompts[1],
        return_dict=False,
    )  # fmt: skip
    return objective.losses(out[0], noisy)


def _validator(objective: Objective, data: DenoisingData, seed: int) -> Validate:
    """Return what measures the loss on held-out latents, over all and as `loss_<tone group>`."""
    picked = data.some_of_each_tone(VALIDATION_IMAGES)
    generator = torch.Generator().manual_seed(stable_seed(seed, "validation"))
    noise = torch.randn(len(picked), *data.latents.shape, generator=generator)
    time = torch.randn(len(picked), generator=generator)
    groups = data.tone_groups[picked.numpy()]

    def validate(model: Any) -> dict[str, float]:
        losses: list[float] = []
        for rows in torch.arange(len(picked)).split(64):
            here = picked[rows]
            part, times = noise[rows].to(data.device), time[rows].to(data.device)
            latents = data.latents.sample(data.latent_rows[here], torch.zeros(len(rows)), torch.zeros_like(part))
            losses += denoising_losses(model, objective, latents, part, times, data.prompts(here)).tolist()
        values = pd.Series(losses)
        by_group = {f"loss_{name}": float(part.mean()) for name, part in values.groupby(groups)}
        return {"loss": float(values.mean()), **by_group}

    return validate


def _drawer(job: Job, data: DenoisingData, objective: ObjectiveConfig, seed: int) -> Draw:
    """Return what draws a sheet of pictures, a row for each tone group, for prompts and noise that stay the same."""
    sampler = job.config("sampler", SamplerConfig)
    autoencoder: Any = load_autoencoder(job.input("autoencoder", ModelFolder).path)
    autoencoder.to(data.device)
    picked = data.some_of_each_tone(DRAWN_IMAGES, repeat=True)
    generator = torch.Generator().manual_seed(stable_seed(seed, "drawn"))
    noise = torch.randn(len(picked), *data.latents.shape, generator=generator).to(data.device)
    tones = [str(tone) for tone in data.tone_groups[picked.numpy()][::DRAWN_IMAGES]]
    folder = job.folder / SAMPLES
    prompts, null = data.prompts(picked), data.prompts(picked, torch.ones(len(picked), dtype=torch.bool))
    is_conditional = job.config("denoiser", DenoiserConfig).conditional
    is_guided = sampler.guidance_scale != 1 and is_conditional
    embeddings, mask = (torch.cat([a, b]) if is_guided else b for a, b in zip(null, prompts, strict=True))

    def draw(model: Any, step: int) -> None:
        latents = denoise(
            model, build_scheduler(objective, sampler), noise, embeddings, mask,
            guidance_scale=sampler.guidance_scale if is_guided else 1.0,
            num_inference_steps=sampler.num_inference_steps, guidance_interval=sampler.guidance_interval,
            generator=torch.Generator().manual_seed(stable_seed(seed, "drawn", step)),
        )  # fmt: skip
        images = to_uint8(decode_latents(autoencoder, latents) * 2 - 1).permute(0, 2, 3, 1).cpu().numpy()
        title = f"step {step:,}, {'by the skin tone asked for' if is_conditional else 'without prompts'}"
        sheet = contact_sheet(list(images), DRAWN_IMAGES, title=title, rows=tones if is_conditional else ())
        write_png(folder / f"step_{step:08d}.png", sheet)

    return draw


def main(job: Job) -> None:
    """Train the denoiser of a job and write its averaged weights as a diffusers folder.

    The sheets drawn on the way lie beside the result, in the folder `SAMPLES`.

    Args:
        job: Config `denoiser`, `objective`, `training`, `seed`; speed `sampler`; inputs `latents`, `text_embeddings`,
            `autoencoder` and table `examples` (latent_row, text_row, split, tone_group).
    """
    from accelerate import PartialState

    state = PartialState()
    training, seed = job.config("training", TrainingConfig), job.config("seed", int)
    objective = Objective(job.config("objective", ObjectiveConfig))
    dropout = objective.config.prompt_dropout
    latents = LatentStack(job.input("latents", Latents))
    prompts = job.input("text_embeddings", TextEmbeddings).tensors()
    examples = job.table("examples")
    parts = {k: DenoisingData(latents, prompts, v, state.device) for k, v in examples.groupby("split")}
    data, held_out = parts["train"], parts["val"]
    torch.manual_seed(stable_seed(seed, "denoiser"))
    c, h, _ = latents.shape
    model: nn.Module = build_denoiser(
        job.config("denoiser", DenoiserConfig), h, c, prompts[0].shape[-1], objective.config.learn_sigma
    )

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        mirrored = batch.rand(1)[:, 0] < 0.5
        z = latents.sample(data.latent_rows[batch.indices], mirrored, batch.randn(*latents.shape))
        dropped = batch.rand(1)[:, 0] < dropout
        noise, time = batch.randn(*latents.shape), batch.randn(1)[:, 0]
        losses = denoising_losses(model, objective, z, noise, time, data.prompts(batch.indices, dropped))
        return {"loss": losses.mean()}

    model = fit(
        job, model, loss, num_examples=len(data), training=training, seed=seed, what=job.spec["name"],
        validate=_validator(objective, held_out, seed),
        draw=_drawer(job, held_out, objective.config, seed) if state.is_main_process else None,
    )  # fmt: skip
    if state.is_main_process:
        denoiser: Any = model
        denoiser.save_pretrained(job.result)
        build_image_index(job.folder / SAMPLES)
        write_json(job.folder / SAMPLES / COMPLETE, {"fingerprint": job.key})
        job.complete()


if __name__ == "__main__":
    from dermdit_kedro.launching import run_child

    run_child(main)
