"""The text encoder: adopt a pretrained CLIP, or train a small one on the training rows alone.

The small one is transformers' CLIPModel, trained contrastively as CLIP was (Radford et al., 2021). Few
attributes make few prompts, so a batch holds the same prompt often: images of equal prompts are positives of
each other, else the loss would ask the model to tell equal texts apart.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermdit_kedro.atomic import atomic_folder
from dermdit_kedro.dermoscopy.images import ImageStack, to_float
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child
from dermdit_kedro.prompts.clip import tokenize
from dermdit_kedro.prompts.instructions import vocabulary as grammar_vocabulary
from dermdit_kedro.prompts.parameters import TextEncoderConfig, TextEncoderTraining
from dermdit_kedro.prompts.tokenizer import train_tokenizer
from dermdit_kedro.seeds import stable_seed
from dermdit_kedro.training.engine import fit
from dermdit_kedro.training.streams import Batch

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer


def contrastive_loss(text: Tensor, image: Tensor, input_ids: Tensor, scale: Tensor) -> Tensor:
    """Return CLIP's symmetric cross-entropy with soft targets: equal prompts share the probability.

    The least possible value is the entropy of the targets; it is subtracted, so that 0 is perfect at any mix
    of prompts.

    Args:
        text: Unit vectors (b, p).
        image: Unit vectors (b, p); row i belongs to text i.
        input_ids: The prompts' tokens (b, l), at one length.
        scale: The inverse temperature.

    Returns:
        A scalar, at least 0.
    """
    logits = scale * text @ image.T
    same = (input_ids[:, None] == input_ids[None]).all(dim=-1).float()
    targets = same / same.sum(dim=1, keepdim=True)
    entropy = torch.special.entr(targets).sum(dim=1).mean()
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2 - entropy


class ContrastiveModel(nn.Module):
    """A CLIPModel whose `forward` returns what the contrastive loss needs.

    Args:
        clip: Text and vision tower.
    """

    def __init__(self, clip: "CLIPModel") -> None:
        super().__init__()
        self.clip = clip

    def forward(self, input_ids: Tensor, mask: Tensor, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed texts and images.

        Args:
            input_ids: Tokens (b, l).
            mask: True at real tokens (b, l).
            pixel_values: Images (b, 3, h, w) in [-1, 1].

        Returns:
            Unit text vectors (b, p), unit image vectors (b, p), inverse temperature, at most 100.
        """
        output = self.clip(input_ids=input_ids, attention_mask=mask.long(), pixel_values=pixel_values)
        return output.text_embeds, output.image_embeds, self.clip.logit_scale.exp().clamp(max=100.0)


class ContrastiveLoss:
    """The loss of `training.engine.fit` over the global batch, however many processes share it.

    Args:
        stack: The images.
        input_ids: Tokens of each image's prompt (n, l).
        mask: True at real tokens (n, l).
        side: Side in pixels of the vision tower's input.
    """

    def __init__(self, stack: ImageStack, input_ids: Tensor, mask: Tensor, side: int) -> None:
        self.stack, self.input_ids, self.mask, self.side = stack, input_ids, mask, side

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return {"loss": scalar, "retrieval": share of images whose nearest text is their prompt}."""
        pixels = resize(to_float(self.stack[batch.indices]).to(batch.device), self.side)
        input_ids, mask = (part[batch.indices].to(batch.device) for part in (self.input_ids, self.mask))
        text, image, scale = model(input_ids, mask, pixels)
        text, image, input_ids = gather(text), gather(image), gather(input_ids)
        nearest = (image @ text.T).argmax(dim=1)
        hits = (input_ids[nearest] == input_ids).all(dim=-1).float().mean()
        return {"loss": contrastive_loss(text, image, input_ids, scale), "retrieval": hits}


def resize(pixels: Tensor, side: int) -> Tensor:
    """Resize images (b, 3, h, w) to (b, 3, side, side), antialiased."""
    if pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)


def gather(part: Tensor) -> Tensor:
    """Concatenate every process's rows, in order of rank; gradients flow to all of them.

    Each process then holds the loss of the whole batch, and the average of the gradients is that of one
    process: contrast needs every pair.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return part
    if not part.is_floating_point():
        parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(part.contiguous()))


def build_clip(config: TextEncoderConfig, tokenizer: "CLIPTokenizer", seed: int) -> "CLIPModel":
    """Build the small CLIP with random weights.

    Args:
        config: Sizes.
        tokenizer: Gives vocabulary and marks.
        seed: Seed of the weights.

    Returns:
        transformers' CLIPModel.
    """
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    shared = {"num_attention_heads": config.num_heads, "projection_dim": config.projection_dim}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=config.max_length,
        hidden_size=config.hidden_size,
        intermediate_size=4 * config.hidden_size,
        num_hidden_layers=config.num_layers,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shared,
    )
    vision = CLIPVisionConfig(
        image_size=config.vision_image_size,
        patch_size=config.vision_patch_size,
        hidden_size=config.vision_hidden_size,
        intermediate_size=4 * config.vision_hidden_size,
        num_hidden_layers=config.vision_num_layers,
        **shared,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "text_encoder"))
        return CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=config.projection_dim)
        )


def adopt(config: TextEncoderConfig) -> "tuple[CLIPTextModel, CLIPTokenizer]":
    """Load a pretrained CLIP text encoder from a local folder or the hub.

    Args:
        config: pretrained and revision. A local folder may be a CLIP model, or hold `text_encoder/` and
            `tokenizer/` as a diffusers pipeline does.

    Returns:
        The model and its tokenizer.

    Raises:
        UserError: If it cannot be loaded; names the parameter to change.
    """
    from transformers import CLIPTextModel, CLIPTokenizer

    source = str(config.pretrained)
    folder = Path(source)
    has_parts = (folder / "text_encoder").is_dir()
    try:
        arguments: dict[str, Any] = {"revision": config.revision, "local_files_only": folder.is_dir()}
        if config.revision is None:
            del arguments["revision"]
        model = CLIPTextModel.from_pretrained(
            folder / "text_encoder" if has_parts else source, use_safetensors=True, **arguments
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer" if has_parts else source, **arguments)
    except (OSError, ValueError) as error:
        raise UserError(
            f"text_encoder.pretrained must be a local folder or a reachable hub id of a CLIP model with safetensors. "
            f"Got {source!r}: {error}. Give a folder, or null to train a small text encoder in the run"
        ) from error
    limit = model.config.max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return model, tokenizer


def _train(job: Job, config: TextEncoderConfig) -> "tuple[CLIPTextModel, CLIPTokenizer]":
    pairs = job.table("pairs")
    images = job.input("images", ImageFolder)
    tokenizer = train_tokenizer([*grammar_vocabulary(), *pairs["prompt"]], config)
    seed = job.config("seed", int)
    model = ContrastiveModel(build_clip(config, tokenizer, seed))
    input_ids, mask = tokenize(tokenizer, pairs["prompt"].tolist())
    loss = ContrastiveLoss(ImageStack(images, pairs["file"].tolist()), input_ids, mask, config.vision_image_size)
    training = job.config("training", TextEncoderTraining)
    trained = fit(job, model, loss, num_examples=len(pairs), training=training, seed=seed, what="train text encoder")
    return cast(ContrastiveModel, trained).clip.text_model, tokenizer


def main(job: Job) -> None:
    """Train or adopt the text encoder.

    Job: config text_encoder, and to train one: training, seed; inputs images (ImageFolder) and pairs (image_id,
    file, prompt; training rows only). Result: `text_encoder/` and `tokenizer/`, as `clip.load_text_encoder`
    and a diffusers pipeline read them.

    Args:
        job: The work folder.
    """
    from accelerate import PartialState

    config = job.config("text_encoder", TextEncoderConfig)
    text_encoder, tokenizer = _train(job, config) if config.pretrained is None else adopt(config)
    text_encoder.config.max_windows = config.max_windows  # the exported pipeline reads prompts the same way
    if PartialState().is_main_process:
        with atomic_folder(job.result / "text_encoder") as aside:
            text_encoder.save_pretrained(aside)
        with atomic_folder(job.result / "tokenizer") as aside:
            tokenizer.save_pretrained(aside)
        job.complete()


if __name__ == "__main__":
    run_child(main)
