"""What a text encoder needs, before one is trained: the size of what it says, and a step to be timed."""

from typing import Any, Final

from torch import Tensor

from dermdit_kedro.prompts.parameters import TextEncoderConfig, TextEncoderTraining
from dermdit_kedro.training.footprint import RandomImages, Workload
from dermdit_kedro.training.streams import Batch

PUBLISHED: Final = {"openai/clip-vit-base-patch32": (77, 512), "openai/clip-vit-large-patch14": (77, 768)}
"""Tokens and width of text encoders that the hub has, for a machine that has not."""


def text_shape(config: TextEncoderConfig) -> tuple[int, int] | None:
    """Work out the embedding of a prompt, without the encoder's weights.

    Args:
        config: The text encoder.

    Returns:
        Tokens at most and their width; null where a given encoder's configuration is not on this machine and its sizes
        are not known.
    """
    if config.pretrained is None:
        return config.max_length * config.max_windows, config.hidden_size
    from transformers import CLIPTextConfig

    try:
        given: Any = CLIPTextConfig.from_pretrained(config.pretrained, local_files_only=True)
    except (OSError, ValueError):
        sizes = PUBLISHED.get(config.pretrained)
    else:
        sizes = given.max_position_embeddings, given.hidden_size
    return (sizes[0] * config.max_windows, sizes[1]) if sizes else None


def text_encoder_workload(config: TextEncoderConfig, training: TextEncoderTraining, image_size: int) -> Workload:
    """Describe the training of a text encoder from scratch.

    Args:
        config: Its sizes.
        training: Batch and optimizer.
        image_size: Side of the images in pixels.

    Returns:
        The workload; the loss is the real one, the tokenizer that of the template's vocabulary.
    """
    from dermdit_kedro.prompts.clip import tokenize
    from dermdit_kedro.prompts.instructions import vocabulary
    from dermdit_kedro.prompts.text_encoder import ContrastiveLoss, ContrastiveModel, build_clip
    from dermdit_kedro.prompts.tokenizer import train_tokenizer

    words = list(vocabulary())
    tokenizer = train_tokenizer(words, config)
    images: Any = RandomImages(image_size)
    sentence = " ".join(words)[: 8 * config.max_length]  # as long as a prompt can be
    input_ids, mask = tokenize(tokenizer, [sentence] * len(images))

    def loss(model: Any, batch: Batch) -> dict[str, Tensor]:
        here = batch.device
        return ContrastiveLoss(images, input_ids.to(here), mask.to(here), config.vision_image_size)(model, batch)

    return Workload(lambda: ContrastiveModel(build_clip(config, tokenizer, 0)), loss, training, counted_on="cpu")
