"""The finished answers of a captioner, on disk as they come, found again by every later run that asks the same.

An answer is kept under what it depends on: the image, the instruction, and who was asked (model, revision,
decoding). Each process appends to a file of its own in its job's folder; the files of earlier jobs that asked the
same captioner are read too, so that a larger data set or another audit asks for what is new alone.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dermdit_kedro.jobs import Job
from dermdit_kedro.prompts.captioners import Answer
from dermdit_kedro.prompts.instructions import GRAMMAR_VERSION, instruction_sha256
from dermdit_kedro.prompts.parameters import CaptionerConfig


def answer_key(image_sha256: str, instruction: str, control: str = "") -> str:
    """Return what an answer is kept under.

    Args:
        image_sha256: Of the prepared image's file; empty where none is looked at.
        instruction: What the captioner is told.
        control: Empty for the image itself, else which control is shown in its place.

    Returns:
        40 hexadecimal digits.
    """
    parts = "\n".join([image_sha256, instruction_sha256(instruction), control])
    return hashlib.sha256(parts.encode()).hexdigest()[:40]


def captioner_key(config: CaptionerConfig, source: str, weights: str | None) -> str:
    """Return who was asked, as a hash: backend, model, revision, decoding, and the grammar.

    Args:
        config: The captioner.
        source: What it says of itself; knows the commit that a hub id stood for.
        weights: Fingerprint of a local folder's weights.

    Returns:
        16 hexadecimal digits; where a server is and how fast it is asked have no part in them.
    """
    said = config.model_dump(mode="json", exclude={"batch_size", "server"})
    identity = json.dumps([GRAMMAR_VERSION, said, source, weights], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


class Answers:
    """The answers of one captioner: those on disk, and those being added by this process.

    Args:
        job: The job that asks.
        captioner: Of `captioner_key`.
        rank: This process.
    """

    def __init__(self, job: Job, captioner: str, rank: int) -> None:
        pattern = f"{job.spec['name']}-*/captions.{captioner}.*.jsonl"
        self._folder, self._pattern = job.folder.parent, pattern
        self._path = job.folder / f"captions.{captioner}.{rank}.jsonl"
        self._known: dict[str, Answer] = {}

    def read(self, own_errors: bool = False) -> Self:
        """Read all files again.

        Args:
            own_errors: Whether failures of this job count as answers; else they are asked for again.

        Returns:
            Itself.
        """
        for path in sorted(self._folder.glob(self._pattern)):
            is_own = path.parent == self._path.parent
            for line in _whole_lines(path):
                if not line["error"] or (own_errors and is_own and line["key"] not in self._known):
                    self._known[line["key"]] = Answer(line["text"], line["is_cut"], line["error"])
        return self

    def get(self, key: str) -> Answer | None:
        """Return the answer under a key, if there is one."""
        return self._known.get(key)

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is with the system when this returns."""
        row = {"key": key, "text": answer.text, "is_cut": answer.is_cut, "error": answer.error}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        self._known[key] = answer

    def __enter__(self) -> Self:
        self._file = self._path.open("a")
        self._file.write("\n")  # ends a line that a kill cut short
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; a line that a kill cut short is left out."""
    with path.open() as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict):
                yield row
