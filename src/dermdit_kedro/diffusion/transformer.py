"""DermDiT: the Diffusion Transformer of section 2.2, read from top to bottom like the paper.

Legend of the shapes: b batch, c latent channels, h w latent size, p patch size, n = (h / p)(w / p) image
tokens, d width, l text tokens, e text embedding size, m = 1 + l context tokens.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps, get_2d_sincos_pos_embed
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

CONDITIONINGS = ("tokens", "pooled", "none")


class Attention(nn.Module):
    """Multi-head attention of `x` to `context`, or to itself.

    Args:
        hidden_size: Width d.
        num_heads: Heads; must divide the width.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(hidden_size, hidden_size)
        self.to_kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.to_out = nn.Linear(hidden_size, hidden_size)

    def keys_values(self, context: Float[Tensor, "b m d"]) -> Float[Tensor, "2 b a m k"]:
        """Return keys and values of the context, by head (a heads of size k)."""
        kv: Tensor = self.to_kv(context).view(*context.shape[:2], 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return kv

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"],
        mask: Bool[Tensor, "b 1 1 _"] | None = None,
        text_kv: Float[Tensor, "2 b a l k"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend to the context and, behind it, to `text_kv`; where `mask` is False a token has no influence."""
        b, n, d = x.shape
        q = self.to_q(x).view(b, n, self.num_heads, -1).transpose(1, 2)
        kv = self.keys_values(context)
        k, v = kv if text_kv is None else torch.cat([kv, text_kv], dim=3)
        out = _attend(q, k, v, mask)
        attended: Tensor = self.to_out(out.transpose(1, 2).reshape(b, n, d))
        return attended


def _attend(
    q: Float[Tensor, "b a n k"],
    k: Float[Tensor, "b a m k"],
    v: Float[Tensor, "b a m k"],
    mask: Bool[Tensor, "b 1 1 m"] | None,
) -> Float[Tensor, "b a n k"]:
    """Attend; on a CPU in bfloat16 by two products, since its fused kernel costs more there than all else together."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v


class SingleTokenAttention(nn.Module):
    """Cross-attention to a context of one token, exactly and without its idle half.

    The softmax over a single key is 1 whatever the query, so attention is W_o W_v c for every image token; W_q and W_k
    would be weights that nothing reaches.

    Args:
        hidden_size: Width d.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.to_v = nn.Linear(hidden_size, hidden_size)
        self.to_out = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b 1 d"],
        mask: Bool[Tensor, "b 1 1 1"] | None = None,
        text_kv: None = None,
    ) -> Float[Tensor, "b 1 d"]:
        """Attend; the same for every image token, so one is returned for all."""
        attended: Tensor = self.to_out(self.to_v(context))
        return attended


class DermDiTBlock(nn.Module):
    """One block of Figure 1: self-attention, cross-attention to [timestep; text], MLP.

    Every residual branch is zero at initialisation, so that a fresh block is the identity: by its output
    projection, or, with adaLN, by its gate.

    Args:
        hidden_size: Width d.
        num_heads: Attention heads.
        adaln: Whether the timestep modulates self-attention and MLP.
        single_token: Whether the context is one token.
    """

    def __init__(self, hidden_size: int, num_heads: int, adaln: bool, single_token: bool) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(hidden_size, eps=1e-6, elementwise_affine=not adaln)
        self.self_attention = Attention(hidden_size, num_heads)
        self.norm_cross = nn.Identity() if single_token else nn.LayerNorm(hidden_size, eps=1e-6)
        self.cross_attention = SingleTokenAttention(hidden_size) if single_token else Attention(hidden_size, num_heads)
        self.norm_mlp = nn.LayerNorm(hidden_size, eps=1e-6, elementwise_affine=not adaln)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * hidden_size, hidden_size),
        )
        self.modulation = nn.Parameter(torch.zeros(6, hidden_size)) if adaln else None
        zero_at_start = [self.cross_attention.to_out]
        if not adaln:
            zero_at_start += [self.self_attention.to_out, self.mlp[-1]]
        for layer in zero_at_start:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"],
        mask: Bool[Tensor, "b 1 1 _"] | None,
        modulation: Float[Tensor, "b 6 d"] | None,
        text_kv: Float[Tensor, "2 b a l k"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Apply the three residual branches."""
        if self.modulation is None or modulation is None:
            y = self.norm_self(x)
            x = x + self.self_attention(y, y)
            x = x + self.cross_attention(self.norm_cross(x), context, mask, text_kv)
            return x + self.mlp(self.norm_mlp(x))
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (modulation + self.modulation).unsqueeze(2).unbind(1)
        y = self.norm_self(x) * (1 + scale_1) + shift_1
        x = x + gate_1 * self.self_attention(y, y)
        x = x + self.cross_attention(self.norm_cross(x), context, mask, text_kv)
        return x + gate_2 * self.mlp(self.norm_mlp(x) * (1 + scale_2) + shift_2)


def patchify(latents: Float[Tensor, "b c h w"], patch_size: int) -> Float[Tensor, "b n k"]:
    """Cut latents into non-overlapping patches, row by row; k = c p p.

    Args:
        latents: Latents; h and w are multiples of the patch size.
        patch_size: Side p of a patch.

    Returns:
        One flattened patch a token. Law: `unpatchify` inverts it.
    """
    b, c, h, w = latents.shape
    p = patch_size
    x = latents.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(b, (h // p) * (w // p), c * p * p)


def unpatchify(tokens: Float[Tensor, "b n k"], patch_size: int, size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Put patches back together.

    Args:
        tokens: One flattened patch a token.
        patch_size: Side p of a patch.
        size: (h, w) of the latents.

    Returns:
        The latents.
    """
    (h, w), p = size, patch_size
    x = tokens.reshape(len(tokens), h // p, w // p, -1, p, p).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(len(tokens), -1, h, w)


class DermDiTTransformer2DModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """DermDiT (section 2.2, Figure 1): noise prediction from noisy latents, timestep and text tokens.

    What every block attends to is the context: with `tokens` the timestep embedding and the projected text embeddings,
    concatenated as tokens (the paper); with `pooled` one token, the sum of the timestep and the mean of the projected
    text (what earlier code computes); with `none` the timestep alone. With `adaln` the timestep modulates the blocks as
    well (one projection for all blocks, an offset for each).

    Args:
        sample_size: Side of the square latents.
        in_channels: Latent channels c.
        patch_size: Side p of a patch; 4 in the paper.
        hidden_size: Width d; 1024 in DermDiT-L.
        depth: Blocks; 24 in the paper.
        num_heads: Attention heads; 16 in DermDiT-L.
        text_embed_dim: Size e of the text encoder's embeddings.
        conditioning: `tokens`, `pooled` or `none`.
        adaln: Whether the timestep modulates the blocks; False in the paper.
        out_channels: Channels of the prediction: c, or 2 c where it also tells the variance; None for c.

    Raises:
        ValueError: If the latents do not split into patches, or the conditioning is not one of the three.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 4,
        patch_size: int = 4,
        hidden_size: int = 1024,
        depth: int = 24,
        num_heads: int = 16,
        text_embed_dim: int = 512,
        conditioning: str = "tokens",
        adaln: bool = False,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        if sample_size % patch_size:
            raise ValueError(f"sample_size must be a multiple of patch_size ({patch_size}). Got {sample_size}")
        if conditioning not in CONDITIONINGS:
            raise ValueError(f"conditioning must be one of {', '.join(CONDITIONINGS)}. Got {conditioning!r}")
        self.patch_embed = nn.Linear(in_channels * patch_size**2, hidden_size)
        positions = torch.as_tensor(get_2d_sincos_pos_embed(hidden_size, sample_size // patch_size, output_type="pt"))
        self.register_buffer("positions", positions.float().unsqueeze(0), persistent=False)
        self.timestep_sinusoids = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.timestep_embed = TimestepEmbedding(256, hidden_size)
        self.text_proj = None if conditioning == "none" else nn.Linear(text_embed_dim, hidden_size)
        self.norm_context = nn.LayerNorm(hidden_size, eps=1e-6)
        self.modulation = nn.Linear(hidden_size, 6 * hidden_size) if adaln else None
        is_single = conditioning != "tokens"
        self.blocks = nn.ModuleList([DermDiTBlock(hidden_size, num_heads, adaln, is_single) for _ in range(depth)])
        self.norm_out = nn.LayerNorm(hidden_size, eps=1e-6)
        self.proj_out = nn.Linear(hidden_size, (out_channels or in_channels) * patch_size**2)
        self.gradient_checkpointing = False
        for layer in [self.proj_out] + ([self.modulation] if self.modulation is not None else []):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def cache_text(self, text: Float[Tensor, "b l e"]) -> list[Float[Tensor, "2 b a l k"]] | None:
        """Compute what every block makes of the text; it is the same at every timestep, so a sampler does it once.

        Args:
            text: Text embeddings E_t (equation 2).

        Returns:
            Keys and values of the text tokens for each block, as `forward` takes them; None where the text is not
            attended to as tokens.
        """
        if self.text_proj is None or self.config.conditioning != "tokens":
            return None
        tokens = self.norm_context(self.text_proj(text))
        return [block.cross_attention.keys_values(tokens) for block in self.blocks]

    def _context(
        self, t: Float[Tensor, "b d"], text: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"], has_cache: bool
    ) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b 1 1 _"] | None]:
        """Return what the blocks attend to, but for what they have cached, and which of all it is real."""
        if self.text_proj is None:
            return self.norm_context(t.unsqueeze(1)), None
        is_real = F.pad(mask, (1, 0), value=True)[:, None, None, :]  # the timestep is always seen
        if has_cache:
            return self.norm_context(t.unsqueeze(1)), is_real
        tokens = self.text_proj(text)  # (b, l, d)
        if self.config.conditioning == "pooled":
            weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(2).to(tokens.dtype)
            return self.norm_context((t + (weights * tokens).sum(1)).unsqueeze(1)), None
        return self.norm_context(torch.cat([t.unsqueeze(1), tokens], dim=1)), is_real

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Num[Tensor, " b"],
        encoder_hidden_states: Float[Tensor, "b l e"],
        encoder_attention_mask: Bool[Tensor, "b l"],
        return_dict: bool = True,
        text_cache: list[Float[Tensor, "2 b a l k"]] | None = None,
    ) -> Any:
        """Predict what the objective asks for (equation 4).

        Args:
            sample: Noisy latents.
            timestep: Timesteps, in [0, 1000].
            encoder_hidden_states: Text embeddings E_t (equation 2).
            encoder_attention_mask: True where a text token is real.
            return_dict: Whether to wrap the tensor as diffusers does.
            text_cache: What `cache_text` made of the text; None to compute it here.

        Returns:
            `Transformer2DModelOutput` with the prediction (b, out_channels, h, w), or a tuple of it.
        """
        dtype = self.patch_embed.weight.dtype
        x = self.patch_embed(patchify(sample, self.config.patch_size)) + self.positions.to(dtype)  # (b, n, d)
        t = self.timestep_embed(self.timestep_sinusoids(timestep.expand(len(sample))).to(dtype))  # (b, d)
        context, mask = self._context(t, encoder_hidden_states, encoder_attention_mask, text_cache is not None)
        modulation = None if self.modulation is None else self.modulation(F.silu(t)).unflatten(1, (6, -1))
        for block, text_kv in zip(self.blocks, text_cache or [None] * len(self.blocks), strict=True):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = self._gradient_checkpointing_func(block, x, context, mask, modulation)
            else:
                x = block(x, context, mask, modulation, text_kv)
        x = self.proj_out(self.norm_out(x))
        prediction = unpatchify(x, self.config.patch_size, (sample.shape[2], sample.shape[3]))
        return Transformer2DModelOutput(sample=prediction) if return_dict else (prediction,)
