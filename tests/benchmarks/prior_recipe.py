"""The training step of earlier work on DermDiT, re-stated from its description; only benchmarks use it.

The text's 77 tokens are pooled by attention into one vector, the timestep is added to it, and every block attends to
that single token with query, key, value and output at full size. The network predicts noise and variance; the loss is
the mean squared error and the variational bound of Nichol and Dhariwal 2021 (section 3.1, equations 14 to 16). AdamW as
torch has it by default, a moving average by a loop over the parameters, no clipping, float32.
"""

import math

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, Timesteps, get_2d_sincos_pos_embed
from torch import Tensor, nn

from dermdit_kedro.diffusion.transformer import patchify, unpatchify


class PooledDiT(nn.Module):
    """A Diffusion Transformer whose blocks attend to one token.

    Args:
        latent_size: Side of the square latents.
        channels: Latent channels.
        patch_size: Side of a patch.
        width: Width of the tokens.
        depth: Blocks.
        heads: Attention heads.
        text_dim: Size of the text embeddings.
    """

    def __init__(
        self, latent_size: int, channels: int, patch_size: int, width: int, depth: int, heads: int, text_dim: int
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.patch_embed = nn.Linear(channels * patch_size**2, width)
        positions = get_2d_sincos_pos_embed(width, latent_size // patch_size, output_type="pt")
        self.register_buffer("positions", torch.as_tensor(positions).float())
        self.sinusoids = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.timestep = TimestepEmbedding(256, width)
        self.text = TextTimeEmbedding(text_dim, width, num_heads=min(64, text_dim))
        self.blocks = nn.ModuleList(
            BasicTransformerBlock(
                width, heads, width // heads, cross_attention_dim=width, activation_fn="gelu-approximate",
                attention_bias=True,
            )
            for _ in range(depth)
        )  # fmt: skip
        self.norm_out = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation_out = nn.Linear(width, 2 * width)
        self.proj_out = nn.Linear(width, 2 * channels * patch_size**2)

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return predicted noise and where the log-variance lies between its bounds, both (b, c, h, w)."""
        x = self.patch_embed(patchify(sample, self.patch_size)) + self.positions
        condition = self.timestep(self.sinusoids(timestep)) + self.text(text)
        for block in self.blocks:
            x = block(x, encoder_hidden_states=condition.unsqueeze(1))
        shift, scale = self.modulation_out(F.silu(condition)).unsqueeze(1).chunk(2, dim=2)
        x = self.proj_out(self.norm_out(x) * (1 + scale) + shift)
        noise, fraction = unpatchify(x, self.patch_size, tuple(sample.shape[2:])).chunk(2, dim=1)
        return noise, fraction


class PriorRecipe:
    """Model, schedule, optimizer and average of the recipe.

    Args:
        model: What is trained.
    """

    def __init__(self, model: PooledDiT) -> None:
        self.model = model
        self.schedule = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)
        self.average = {name: value.detach().clone() for name, value in model.named_parameters()}

    def step(self, latents: Tensor, text: Tensor) -> float:
        """Do one step and return its loss."""
        timestep = torch.randint(0, 1000, (len(latents),))
        noise = torch.randn_like(latents)
        noisy = self.schedule.add_noise(latents, noise, timestep)
        predicted, fraction = self.model(noisy, timestep, text)
        loss = F.mse_loss(predicted, noise) + self.bound(latents, noisy, timestep, predicted.detach(), fraction)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.average[name].mul_(0.9999).add_(value, alpha=1 - 0.9999)
        return loss.item()

    def bound(self, latents: Tensor, noisy: Tensor, timestep: Tensor, noise: Tensor, fraction: Tensor) -> Tensor:
        """Return the variational bound in bits per latent: KL of the posteriors, at t = 0 the decoder's likelihood.

        Its gradient reaches the variance alone, for the noise comes detached. The paper's weight of 0.001 of the sum
        over 1,000 steps is 1 of the one step drawn.
        """
        t = timestep.view(-1, 1, 1, 1)
        abar = self.schedule.alphas_cumprod
        before = torch.cat([torch.ones(1), abar[:-1]])
        beta, abar_t, before_t = self.schedule.betas[t], abar[t], before[t]
        posterior = ((1 - before) / (1 - abar) * self.schedule.betas)[t.clamp(min=1)].log()
        log_variance = (fraction + 1) / 2 * beta.log() + (1 - fraction) / 2 * posterior

        def mean_given(clean: Tensor) -> Tensor:
            return (before_t.sqrt() * beta * clean + (1 - beta).sqrt() * (1 - before_t) * noisy) / (1 - abar_t)

        mean = mean_given((noisy - (1 - abar_t).sqrt() * noise) / abar_t.sqrt())
        gap = posterior - log_variance
        kl = 0.5 * (gap.exp() - 1 - gap + (mean_given(latents) - mean).square() * (-log_variance).exp())
        spread = (-0.5 * log_variance).exp()
        upper, lower = ((latents - mean + side / 255) * spread for side in (1, -1))
        likelihood = (torch.special.ndtr(upper) - torch.special.ndtr(lower)).clamp_min(1e-12).log()
        return torch.where(t == 0, -likelihood, kl).mean() / math.log(2)
