"""One piece of heavy work: a folder with `job.json`, `metrics.jsonl`, `checkpoints/` and `result/`.

The folder is named by a hash of everything that may change the result, so a finished job is found again
and a stale one is never resumed. What only changes speed (processes, workers, intervals) is stored
beside it and stays out of the hash.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from dermdit_kedro import __version__
from dermdit_kedro.atomic import atomic_file, write_json
from dermdit_kedro.errors import UserError
from dermdit_kedro.handles import COMPLETE, Folder
from dermdit_kedro.looking import JOB, ask_for

FolderType = TypeVar("FolderType", bound=Folder)
ConfigType = TypeVar("ConfigType")


def fingerprint_table(table: pd.DataFrame) -> str:
    """Hash the content of a table: values, column names and row order.

    Args:
        table: Any table of scalars.

    Returns:
        16 hexadecimal digits.
    """
    rows = pd.util.hash_pandas_object(table.reset_index(drop=True), index=True).to_numpy()
    header = json.dumps([[str(name), str(dtype)] for name, dtype in table.dtypes.items()])
    return hashlib.sha256(header.encode() + rows.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Job:
    """A work folder of one job.

    Attributes:
        folder: The work folder, named `<name>-<key>`.
    """

    folder: Path

    @property
    def result(self) -> Path:
        """The folder the child writes its result into."""
        return self.folder / "result"

    @property
    def checkpoints(self) -> Path:
        """The folder of the resumable states."""
        return self.folder / "checkpoints"

    @property
    def spec(self) -> dict[str, Any]:
        """The content of `job.json`: name, module, key, config, inputs, speed."""
        spec: dict[str, Any] = json.loads((self.folder / JOB).read_text())
        return spec

    @property
    def key(self) -> str:
        """Hash of everything that may change the result."""
        return str(self.spec["key"])

    @property
    def is_complete(self) -> bool:
        """Whether the result is finished."""
        return (self.result / COMPLETE).is_file()

    def config(self, name: str, kind: type[ConfigType]) -> ConfigType:
        """Return one configuration value, validated.

        Args:
            name: Its name in `config` or `speed`.
            kind: A parameter class, or a plain type such as `int`.

        Returns:
            The value as `kind`.
        """
        spec = self.spec
        value = spec["config"][name] if name in spec["config"] else spec["speed"][name]
        return TypeAdapter(kind).validate_python(value)

    def input(self, name: str, kind: type[FolderType]) -> FolderType:
        """Return one input folder.

        Args:
            name: Its name in `inputs`.
            kind: The handle class.

        Returns:
            The handle.
        """
        entry = self.spec["inputs"][name]
        return kind(path=Path(entry["path"]), fingerprint=entry["fingerprint"])

    def has_input(self, name: str) -> bool:
        """Whether an input of that name was given."""
        return name in self.spec["inputs"]

    def table(self, name: str) -> pd.DataFrame:
        """Return one input table.

        Args:
            name: Its name in `inputs`.

        Returns:
            The table as it was given, with a fresh index.
        """
        return pd.read_parquet(self.folder / "inputs" / f"{name}.parquet")

    def log_metrics(self, step: int, **values: float) -> None:
        """Append one line to `metrics.jsonl`; for the main process only.

        A line that a kill cut short stays a line of its own.

        Args:
            step: The step, 0 or more.
            **values: Named numbers.
        """
        line = json.dumps({"step": step, **values}).encode() + b"\n"
        with (self.folder / "metrics.jsonl").open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else b"\n" + line
            file.write(line)

    def metrics(self) -> list[dict[str, float]]:
        """Return the lines of `metrics.jsonl`; of a step logged twice (a resumed run) the last line counts."""
        file = self.folder / "metrics.jsonl"
        if not file.is_file():
            return []
        by_step: dict[int, dict[str, float]] = {}
        for line in _whole_lines(file):
            by_step[int(line["step"])] = {**by_step.get(int(line["step"]), {}), **line}
        return [by_step[step] for step in sorted(by_step)]

    def complete(self) -> None:
        """Mark the result as finished; for the main process only, after everything else is written."""
        write_json(self.result / COMPLETE, {"fingerprint": self.key})

    def handle(self, kind: type[FolderType]) -> FolderType:
        """Return the finished result as a handle.

        Args:
            kind: The handle class.

        Returns:
            The handle, with the job's key as its fingerprint.

        Raises:
            RuntimeError: If the job has not finished.
        """
        if not self.is_complete:
            raise RuntimeError(f"the job in {self.folder} ended without finishing its result")
        return kind(path=self.result, fingerprint=self.key)


def create_job(
    work_dir: Path,
    name: str,
    module: str,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, Folder | pd.DataFrame] | None = None,
    speed: Mapping[str, Any] | None = None,
) -> Job:
    """Write `job.json`, or find the folder of the same job; within `looking.only_looking` a finished one, or none.

    Args:
        work_dir: The folder of all work folders.
        name: What the job is called, such as `train_denoiser.dermdit`.
        module: The child module, whose `main(job)` does the work.
        config: Parameter blocks and scalars that may change the result; they enter the key, but for the
            `speed_fields` of a block.
        inputs: Folders (by fingerprint) and tables (by content) that the job reads; they enter the key.
        speed: Settings that change speed alone; they do not enter the key.

    Returns:
        The job, perhaps already complete.

    Raises:
        TypeError: If an input is neither a folder nor a table.
        UserError: If the folder cannot be written to.
    """
    for input_name, value in (inputs or {}).items():
        if not isinstance(value, Folder | pd.DataFrame):
            raise TypeError(f"an input is a folder handle or a table; {input_name} is a {type(value).__name__}")
    folders = {k: v for k, v in (inputs or {}).items() if isinstance(v, Folder)}
    tables = {k: v for k, v in (inputs or {}).items() if isinstance(v, pd.DataFrame)}
    dumped = {k: _dump(v) for k, v in config.items()}
    fingerprints = {k: v.fingerprint for k, v in folders.items()} | {k: fingerprint_table(v) for k, v in tables.items()}
    relevant = {k: _dump(v, only_results=True) for k, v in config.items()}
    identity = {"module": module, "version": __version__, "config": relevant, "inputs": fingerprints}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    job = Job(work_dir / f"{name}-{key}")
    if ask_for(job.folder, is_complete=job.is_complete):
        return job
    entries: dict[str, Any] = {k: {"path": str(v.path), "fingerprint": v.fingerprint} for k, v in folders.items()}
    entries |= {k: {"table": f"inputs/{k}.parquet", "fingerprint": fingerprints[k]} for k in tables}
    spec = {"name": name, "key": key, **identity, "config": dumped, "inputs": entries, "speed": _dump(speed or {})}
    try:
        _write(job, spec, tables)
    except OSError as error:
        raise UserError(f"the work folder must be one that can be written to. Got {work_dir}: {error}") from error
    return job


def _write(job: Job, spec: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    """Write what a job reads, and the folders it writes to."""
    for table_name, table in tables.items():
        target = job.folder / "inputs" / f"{table_name}.parquet"
        if not target.is_file():
            with atomic_file(target) as aside:
                table.to_parquet(aside, index=False)
    write_json(job.folder / JOB, spec)
    job.result.mkdir(exist_ok=True)
    job.checkpoints.mkdir(exist_ok=True)


def _dump(value: Any, only_results: bool = False) -> Any:
    """Return parameter blocks, paths and containers of them as JSON has them, perhaps without speed fields."""
    if isinstance(value, BaseModel):
        hidden: frozenset[str] = getattr(value, "speed_fields", frozenset()) if only_results else frozenset()
        names = [name for name in type(value).model_fields if name not in hidden]
        return {name: _dump(getattr(value, name), only_results) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _dump(item, only_results) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_dump(item, only_results) for item in value]
    return sorted(value) if isinstance(value, set | frozenset) else to_jsonable_python(value)


def _whole_lines(file: Path) -> Iterator[dict[str, float]]:
    """Yield the parsed lines; a last line cut by a kill is left out."""
    for line in file.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
