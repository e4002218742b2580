"""Who writes the prompts, p = VLM(I, x) (equation 1): one signature, several backends; as a job, resumable.

A captioner takes a part of the requests and returns one prompt each. The job hands out parts, appends every
answer to `captions.<rank>.jsonl` as it comes, and asks for nothing twice: a killed run loses one batch at most.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from dermdit_kedro.atomic import atomic_file
from dermdit_kedro.dermoscopy.images import read_rgb
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child, world
from dermdit_kedro.progress import Progress
from dermdit_kedro.prompts.instructions import describe, records
from dermdit_kedro.prompts.parameters import CaptionerConfig, PromptSetConfig

DRAFT_COLUMNS = ("image_id", "prompt", "prompt_source", "instruction_sha256")
"""Columns of the drafts, in order."""


@dataclass(frozen=True)
class Request:
    """One prompt asked for.

    Attributes:
        record: The image's row: attributes, image_id, modality, file.
        instruction: What a model is told (the paper's I).
        image: Path of the prepared image; None for a captioner that does not look.
    """

    record: Mapping[str, Any]
    instruction: str
    image: Path | None


class Captioner(Protocol):
    """The one signature of every backend."""

    @property
    def source(self) -> str:
        """What `prompt_source` says: `template`, or the model's name and revision."""

    def __call__(self, requests: Sequence[Request]) -> list[str]:
        """Write one prompt a request, in order; an unusable answer is returned as it is, for the audit to find."""


class TemplateCaptioner:
    """The deterministic captioner: attributes by the grammar, then descriptors measured on the image.

    Args:
        prompt_set: Which attributes to name; whether to look at the image.
    """

    def __init__(self, prompt_set: PromptSetConfig) -> None:
        self.prompt_set = prompt_set

    @property
    def source(self) -> str:
        """`template`."""
        return "template"

    def __call__(self, requests: Sequence[Request]) -> list[str]:
        """Write one prompt a request."""
        return [", ".join([describe(r.record, self.prompt_set.attributes), *self._words(r)]) for r in requests]

    def _words(self, request: Request) -> list[str]:
        if not self.prompt_set.captioner.describe_image or request.image is None:
            return []
        from dermdit_kedro.prompts.descriptors import measure

        descriptors = measure(read_rgb(request.image))
        return descriptors.words() if descriptors else []


class TransformersCaptioner:
    """Any image-text-to-text model that transformers serves (LLaVA, LLaVA-Med, MedGemma, Qwen-VL), greedily decoded.

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
        is_half = torch.device(device).type == "cuda"
        try:
            self.processor = AutoProcessor.from_pretrained(model_id, **arguments)
            self.model = AutoModelForImageTextToText.from_pretrained(
                model_id, dtype=torch.bfloat16 if is_half else torch.float32, use_safetensors=True, **arguments
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"captioner.model must be a local folder or a reachable hub id of an image-text-to-text model with "
                f"its processor, in safetensors. Got {model_id!r}: {error}. Give another model, or backend `template`"
            ) from error
        if not hasattr(self.processor, "tokenizer") or not hasattr(self.processor, "image_processor"):
            raise UserError(f"captioner.model must come with an image processor and a tokenizer. {model_id!r} does not")
        self.processor.tokenizer.padding_side = "left"
        if self.processor.tokenizer.pad_token is None:
            self.processor.tokenizer.pad_token = self.processor.tokenizer.eos_token
        self.model.to(device).eval()

    @property
    def source(self) -> str:
        """Name and revision; of a local folder the name alone, for its path is nobody's business."""
        model_id = str(self.config.model)
        name = Path(model_id).name if Path(model_id).is_dir() else model_id
        return f"{name}@{self.config.revision}" if self.config.revision else name

    def __call__(self, requests: Sequence[Request]) -> list[str]:
        """Write one prompt a request in one batch."""
        import torch
        from PIL import Image

        inputs = self.processor(
            text=[self._chat(request.instruction) for request in requests],
            images=[Image.fromarray(read_rgb(request.image)) for request in requests if request.image is not None],
            padding=True,
            return_tensors="pt",
        ).to(self.model.device, dtype=self.model.dtype)
        with torch.no_grad():
            tokens = self.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.config.max_new_tokens,
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
        answers = self.processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [" ".join(answer.split()) for answer in answers]

    def _chat(self, instruction: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": instruction}]
        template = {} if self.config.chat_template is None else {"chat_template": self.config.chat_template}
        return str(
            self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **template
            )
        )


def load_captioner(prompt_set: PromptSetConfig, device: Any = "cpu") -> Captioner:
    """Build the captioner of a prompt set.

    Args:
        prompt_set: Attributes and captioner.
        device: Where a model runs.

    Returns:
        The captioner.
    """
    if prompt_set.captioner.backend == "template":
        return TemplateCaptioner(prompt_set)
    return TransformersCaptioner(prompt_set.captioner, device)


def main(job: Job) -> None:
    """Write the prompts of one set.

    Job: config attributes and captioner (the fields of `PromptSetConfig`); inputs requests (image_id, file,
    modality, attributes, instruction, instruction_sha256) and, for a captioner that looks, images (ImageFolder).
    Result: `drafts.parquet`, in the order of the requests.

    Args:
        job: The work folder.
    """
    from accelerate import PartialState

    state = PartialState()
    table = job.table("requests")
    done = _read_answers(job)
    todo = table[~table["image_id"].isin(done)]
    state.wait_for_everyone()  # all have read the answers before anyone adds to them
    captioner_config = job.config("captioner", CaptionerConfig)
    prompt_set = PromptSetConfig(attributes=job.spec["config"]["attributes"], captioner=captioner_config)
    part = todo.iloc[state.process_index :: state.num_processes]
    if len(part):
        _answer(job, load_captioner(prompt_set, state.device), part, captioner_config.batch_size)
    state.wait_for_everyone()
    if state.is_main_process:
        answers = _read_answers(job)
        drafts = table[["image_id", "instruction_sha256"]].assign(
            prompt=[answers[image_id]["prompt"] for image_id in table["image_id"]],
            prompt_source=[answers[image_id]["prompt_source"] for image_id in table["image_id"]],
        )
        with atomic_file(job.result / "drafts.parquet") as aside:
            drafts[list(DRAFT_COLUMNS)].astype("str").to_parquet(aside, index=False)
        job.complete()


def _answer(job: Job, captioner: Captioner, part: pd.DataFrame, batch_size: int) -> None:
    folder = job.input("images", ImageFolder).path if job.has_input("images") else None
    progress = Progress("write prompts", len(part), "prompts")
    with (job.folder / f"captions.{world()[0]}.jsonl").open("a") as file:
        file.write("\n")  # ends a line that a kill cut short
        for batch in _batches(part, batch_size):
            requests = [Request(r, r["instruction"], folder / r["file"] if folder else None) for r in batch]
            for request, prompt in zip(requests, captioner(requests), strict=True):
                row = {"image_id": request.record["image_id"], "prompt": prompt, "prompt_source": captioner.source}
                file.write(json.dumps(row) + "\n")
            file.flush()
            progress.advance(len(batch))


def _batches(table: pd.DataFrame, size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(table), size):
        yield list(records(table.iloc[start : start + size]))


def _read_answers(job: Job) -> dict[str, dict[str, str]]:
    """Return the finished answers of all processes by image_id; a line cut by a kill is asked for again."""
    answers: dict[str, dict[str, str]] = {}
    for file in sorted(job.folder.glob("captions.*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            answers[row["image_id"]] = row
    return answers


if __name__ == "__main__":
    run_child(main)
