"""A captioner on this machine: any image-text-to-text model that transformers serves."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dermdit_kedro.errors import UserError
from dermdit_kedro.prompts.captioners import Answer, Request
from dermdit_kedro.prompts.parameters import CaptionerConfig


class TransformersCaptioner:
    """LLaVA, LLaVA-Med, MedGemma, Qwen-VL, greedily decoded; bfloat16 on a GPU, float32 elsewhere.

    Code from a model's repository is never run.

    Args:
        config: Model, revision, length of the answer.
        device: Where to run.

    Raises:
        UserError: If the model or its processor cannot be loaded; before the first image.
    """

    def __init__(self, config: CaptionerConfig, device: Any) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.config = config
        model_id = str(config.model)
        arguments: dict[str, Any] = {"local_files_only": Path(model_id).is_dir(), "trust_remote_code": False}
        if config.revision is not None:
            arguments["revision"] = config.revision
        dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        try:
            self.processor = AutoProcessor.from_pretrained(model_id, **arguments)
            self.model = AutoModelForImageTextToText.from_pretrained(
                model_id, dtype=dtype, use_safetensors=True, **arguments
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"captioner.model must be a local folder or a reachable hub id of an image-text-to-text model with "
                f"its processor, in safetensors. Got {model_id!r}: {error}. Give another model, or backend `template`"
            ) from error
        if not hasattr(self.processor, "tokenizer") or not hasattr(self.processor, "image_processor"):
            raise UserError(f"captioner.model must come with an image processor and a tokenizer. {model_id!r} does not")
        if config.chat_template is None and not getattr(self.processor, "chat_template", None):
            raise UserError(f"captioner.chat_template must be given, since {model_id!r} comes without one")
        self.processor.tokenizer.padding_side = "left"
        if self.processor.tokenizer.pad_token is None:
            self.processor.tokenizer.pad_token = self.processor.tokenizer.eos_token
        self.model.to(device).eval()

    @property
    def source(self) -> str:
        """Name and commit; of a local folder the name alone, for its path is nobody's business."""
        model_id = str(self.config.model)
        if Path(model_id).is_dir():
            return Path(model_id).name
        commit = getattr(self.model.config, "_commit_hash", None) or self.config.revision
        return f"{model_id}@{commit}" if commit else model_id

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Answer the requests batch by batch, in order."""
        remaining = iter(requests)
        while batch := list(islice(remaining, self.config.batch_size)):
            yield from zip(batch, self._answer(batch), strict=True)

    def _answer(self, batch: Sequence[Request]) -> list[Answer]:
        import torch
        from PIL import Image

        inputs = self.processor(
            text=[self._chat(request.instruction) for request in batch],
            images=[Image.fromarray(pixels) for request in batch if (pixels := request.pixels()) is not None],
            padding=True,
            return_tensors="pt",
        ).to(self.model.device, dtype=self.model.dtype)
        tokenizer = self.processor.tokenizer
        with torch.no_grad():
            tokens = self.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.config.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
        cut = [row.shape[0] >= self.config.max_new_tokens and int(row[-1]) not in ends for row in tokens]
        return [Answer(" ".join(text.split()), is_cut) for text, is_cut in zip(texts, cut, strict=True)]

    def _chat(self, instruction: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": instruction}]
        template = {} if self.config.chat_template is None else {"chat_template": self.config.chat_template}
        return str(
            self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **template
            )
        )
