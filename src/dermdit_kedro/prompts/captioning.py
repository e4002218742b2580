"""The job that has a prompt written for every image, repaired where it is of no use, and the captioner's eyes tested.

An answer with a fault is asked for again, told what was wrong; after that the template takes its place, and the
reason is kept. Whatever was answered is never asked for again: a killed run loses what was under way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from dermdit_kedro.atomic import atomic_file
from dermdit_kedro.handles import ImageFolder
from dermdit_kedro.jobs import Job
from dermdit_kedro.launching import run_child, world
from dermdit_kedro.progress import Progress
from dermdit_kedro.prompts.answers import Answers, answer_key, captioner_key
from dermdit_kedro.prompts.captioners import Answer, Request, load_captioner
from dermdit_kedro.prompts.controls import NOISE
from dermdit_kedro.prompts.faults import NO_ANSWER, REASONS, find_faults
from dermdit_kedro.prompts.instructions import describe, instruct_again, records
from dermdit_kedro.prompts.parameters import PromptSetConfig
from dermdit_kedro.seeds import stable_seed

DRAFT_COLUMNS = (
    "image_id", "prompt", "prompt_source", "instruction_sha256", "answer", "answer_is_cut", "attempts", "repair",
    "repair_reason",
)  # fmt: skip
"""Columns of the drafts, in order. `answer` is the captioner's first, `answer_is_cut` where it had no end; `repair` is
"", `retry` or `template`."""

CONTROL_COLUMNS = ("image_id", "control", "instruction_sha256", "answer", "control_answer")
"""Columns of the controls, in order."""


@dataclass(frozen=True)
class Row:
    """One row of the requests: an image, or a control, with all that may be asked of it.

    Attributes:
        record: Attributes, instruction, image_id, control; file and sha256 for a captioner that looks.
        prompt_set: Attributes to name and how often to ask.
        folder: The prepared images; None for a captioner that does not look.
    """

    record: dict[str, Any]
    prompt_set: PromptSetConfig
    folder: Path | None

    def chain(self, answers: Answers) -> tuple[list[tuple[Answer, list[str]]], Request | None]:
        """Follow what was asked and answered so far.

        Args:
            answers: What is answered.

        Returns:
            The answers with their faults, and what to ask next; None where there is nothing left to ask.
        """
        given: list[tuple[Answer, list[str]]] = []
        request = self._request(self.record["instruction"])
        while (answer := answers.get(request.key)) is not None:
            faults = [f"{NO_ANSWER}: {answer.error}"] if answer.error else self._faults(answer.text)
            given.append((answer, faults))
            if not faults or answer.error or len(given) > self._retries:
                return given, None
            request = self._request(instruct_again(self.record["instruction"], faults, len(given)))
        return given, request

    def draft(self, answers: Answers, source: str) -> dict[str, Any]:
        """Return the finished row of the drafts.

        Args:
            answers: All of them.
            source: The captioner's.

        Returns:
            `DRAFT_COLUMNS` by name.
        """
        given, _ = self.chain(answers)
        first, last = given[0], given[-1]
        repair = "template" if last[1] else "retry" if len(given) > 1 else ""
        return {
            "image_id": self.record["image_id"],
            "prompt": describe(self.record, self.prompt_set.attributes) if repair == "template" else last[0].text,
            "prompt_source": "template" if repair == "template" else source,
            "instruction_sha256": self.record["instruction_sha256"],
            "answer": first[0].text,
            "answer_is_cut": first[0].is_cut,
            "attempts": len(given),
            "repair": repair,
            "repair_reason": REASONS.join(first[1]) if repair else "",
        }

    @cached_property
    def _retries(self) -> int:
        """A control is a measurement and asked once; template and table would say the same again."""
        return self.prompt_set.retries if self.prompt_set.captioner.is_model and not self.record["control"] else 0

    def _faults(self, text: str) -> list[str]:
        """Find what is to be mended; what a user wrote is the user's, and the audit says what it leaves out."""
        if self.record["control"] or self.prompt_set.captioner.backend == "table":
            return []
        return find_faults(text, self.record, self.prompt_set.attributes)

    @property
    def _subject(self) -> str:
        """What an answer is about, beside the instruction: the image's bytes, its name, or nothing more."""
        if self.folder:
            return str(self.record["sha256"])
        return str(self.record["image_id"]) if self.prompt_set.captioner.backend == "table" else ""

    def _request(self, instruction: str) -> Request:
        control = self.record["control"]
        return Request(
            key=answer_key(self._subject, instruction, control),
            record=self.record,
            instruction=instruction,
            image=self.folder / self.record["file"] if self.folder else None,
            noise_seed=stable_seed(0, "noise", self.record["image_id"]) if control == NOISE else None,
        )


def main(job: Job) -> None:
    """Write the prompts of one set.

    Job: config prompt_set (PromptSetConfig) and weights (fingerprint of a local model, or of the table of captions);
    inputs requests (image_id, control, modality, attributes, instruction, instruction_sha256, file and sha256 for a
    captioner that looks, and caption for the backend `table`)
    and, for that one, images (ImageFolder). Result: `drafts.parquet` (`DRAFT_COLUMNS`), in the order of the requests,
    and `controls.parquet` (`CONTROL_COLUMNS`).

    Args:
        job: The work folder.
    """
    from accelerate import PartialState

    state = PartialState()
    prompt_set = job.config("prompt_set", PromptSetConfig)
    folder = job.input("images", ImageFolder).path if job.has_input("images") else None
    rows = [Row(record, prompt_set, folder) for record in records(job.table("requests"))]
    weights = job.spec["config"]["weights"]
    captioner = load_captioner(prompt_set, state.device, weights)
    key = captioner_key(prompt_set.captioner, captioner.source, weights)
    answers = Answers(job, key, world()[0]).read()
    state.wait_for_everyone()  # all have read the answers before anyone adds to them
    with answers:
        part = rows[state.process_index :: state.num_processes]
        while requests := _next(part, answers):  # twice or more where answers have faults
            progress = Progress("write prompts", len(part), "prompts", done=len(part) - len(requests))
            for request, answer in captioner(requests.values()):
                answers.add(request.key, answer)
                progress.advance()
    state.wait_for_everyone()
    if state.is_main_process:
        _write(job, rows, answers.read(own_errors=True), captioner.source)
        job.complete()


def _next(rows: list[Row], answers: Answers) -> dict[str, Request]:
    """Return what is still to be asked, each request once."""
    following = (row.chain(answers)[1] for row in rows)
    return {request.key: request for request in following if request is not None}


def _write(job: Job, rows: list[Row], answers: Answers, source: str) -> None:
    drafts = pd.DataFrame([row.draft(answers, source) for row in rows if not row.record["control"]])
    controls = pd.DataFrame(_controls(rows, answers), columns=list(CONTROL_COLUMNS)).astype("str")
    texts = [name for name in DRAFT_COLUMNS if name not in ("answer_is_cut", "attempts")]
    with atomic_file(job.result / "drafts.parquet") as aside:
        drafts[list(DRAFT_COLUMNS)].astype(dict.fromkeys(texts, "str")).to_parquet(aside, index=False)
    with atomic_file(job.result / "controls.parquet") as aside:
        controls.to_parquet(aside, index=False)


def _controls(rows: list[Row], answers: Answers) -> Iterator[dict[str, str]]:
    """Yield the controls that were answered beside the answers they are held against."""
    given = [(row.record, row.chain(answers)[0][0][0]) for row in rows]
    of_images = {record["image_id"]: answer for record, answer in given if not record["control"]}
    for record, answer in given:
        held_against = of_images[record["image_id"]]
        if record["control"] and not answer.error and not held_against.error:
            named = {name: record[name] for name in ("image_id", "control", "instruction_sha256")}
            yield {**named, "answer": held_against.text, "control_answer": answer.text}


if __name__ == "__main__":
    run_child(main)
