"""What a run will do, by what lies on disk: work found finished, work left, and how long its like took."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from dermdit_kedro.checks import annotated_inputs, parameter_types, select, typed
from dermdit_kedro.durations import Duration, Record, kind_of_work, read_records, records_file, settings_of
from dermdit_kedro.heavy_work import work_of
from dermdit_kedro.looking import WorkLeftError, only_looking
from dermdit_kedro.work import Counts, Work, count_manifest, count_sources

JOBS: Final = frozenset(
    {
        "prepare_images", "generate_prompts", "train_text_encoder", "encode_prompts", "train_autoencoder",
        "encode_latents", "train_denoiser", "export_generator", "extract_train_features", "sample_images",
        "train_screening_classifier", "train_inception", "extract_real_features", "extract_features",
        "train_classifier", "publish_set",
    }
)  # fmt: skip
"""Nodes that ask for their jobs before they compute anything: where all are finished, they only hand on."""
_SHARED: Final = (
    "autoencoder", "text_encoder", "synthesis", "image_size", "denoiser_training", "objective", "data_engineering",
    "launch",
)  # fmt: skip


@dataclass(frozen=True)
class Outlook:
    """What is known of a node before it runs.

    Attributes:
        node: Its name.
        work: What it will do.
        kind: Hash of what kind of work it is.
        found: What was found of it: `finished`, such as `continued from step 600`, or nothing.
        share_left: Share of its work that is left to do.
        seconds: How long it will take by what its like took; null where nothing is known.
        measured: The duration that says so.
    """

    node: str
    work: Work
    kind: str
    found: str = ""
    share_left: float = 1.0
    seconds: float | None = None
    measured: Duration | None = None


class Look:
    """Looks at what a run would find; writes nothing and computes nothing.

    Args:
        catalog: Where everything lies.
        pipelines: All registered pipelines: they say of what type parameters are.
    """

    def __init__(self, catalog: DataCatalog, pipelines: Mapping[str, Pipeline]) -> None:
        self._catalog = catalog
        self._records = read_records(records_file(catalog))
        parameters: Any = catalog.load("parameters") if "parameters" in catalog else {}
        types = parameter_types(pipelines)
        self._global = {key: select(parameters, key)[1] for key in types}
        self.shared = {key: typed(self._global[key], types[key][0]) for key in _SHARED if types.get(key)}
        self._denoisers = {
            key.removesuffix(".denoiser"): typed(value, types[key][0])
            for key, value in self._global.items()
            if key.endswith(".denoiser") and value is not None and types[key]
        }
        self.counts = Counts()
        self._known: dict[str, Any] = {}
        self._trained: dict[str, str] = {}

    def count(self, pipeline: Pipeline) -> Counts:
        """Count images by the manifest, where the run will not write another one, else by the sources.

        Args:
            pipeline: What is about to run.

        Returns:
            The counts; they are `counts` from now on.
        """
        self.counts = self._count(pipeline)
        return self.counts

    def _count(self, pipeline: Pipeline) -> Counts:
        catalog = self._catalog
        makers = [node for node in pipeline.nodes if node.name.rpartition(".")[2] in ("read_sources", "assign_splits")]
        try:
            if "manifest" in catalog and catalog.exists("manifest") and all(map(self._is_as_before, makers)):
                return count_manifest(catalog.load("manifest"))
            return count_sources(catalog.load("sources"), self.shared)
        except Exception as error:  # what is wrong with them, the checks say
            logging.getLogger(__name__).debug("nothing can be counted: %s", error)
            return Counts()

    def __call__(self, pipeline: Pipeline) -> list[Outlook]:
        """Look at every node of a pipeline, in the order they run in.

        Args:
            pipeline: What is about to run.

        Returns:
            An outlook for each node.
        """
        log = logging.getLogger("dermdit_kedro")
        level = log.level
        log.setLevel(logging.ERROR)  # what nodes say of their inputs they will say when they run
        try:
            self.count(pipeline)
            return [self.at(node, pipeline) for node in pipeline.nodes]
        finally:
            log.setLevel(level)

    def describe(self, node: Node) -> tuple[Work, str, str]:
        """Describe what a node will do.

        Args:
            node: The node.

        Returns:
            The work, the hash of its kind, and the hash of all settings.
        """
        parameters = self._parameters(node)
        owner, name = _owner(node), node.name.rpartition(".")[2]
        shared = {**self.shared, "denoiser": self._denoisers.get(owner)}
        is_unconditional = owner in self._denoisers and not self._denoisers[owner].conditional
        work = work_of(name, parameters, shared, self.counts, is_unconditional)
        return work, kind_of_work(parameters), self._settings(node)

    def _settings(self, node: Node) -> str:
        sources = self._catalog["sources"]._describe() if "sources" in node.inputs else None
        return settings_of(self._parameters(node), sources)

    def _is_as_before(self, node: Node) -> bool:
        """Whether a node is set as it was when it ran last, and what it wrote is there."""
        record = self._records.get(node.name, Record())
        return record.settings == self._settings(node) and all(map(self._catalog.exists, node.outputs))

    def at(self, node: Node, pipeline: Pipeline) -> Outlook:
        """Look at one node; those before it have been looked at.

        Args:
            node: The node.
            pipeline: What is about to run.

        Returns:
            What is known of it.
        """
        work, kind, _ = self.describe(node)
        record = self._records.get(node.name, Record())
        inputs = self._inputs(node, pipeline)
        found, share_left = "", 1.0
        if inputs is not None and node.name.rpartition(".")[2] in JOBS:
            found, share_left = self._ask(node, inputs)
        elif inputs is not None and self._is_as_before(node):
            self._known |= dict.fromkeys(node.outputs)  # what is on disk is what it would write again
            found = "as before"
        shares = self._shares(node, kind)
        if shares and found != "finished":
            found, share_left = shares, 0.0
        return self._timed(Outlook(node.name, work, kind, found, share_left), record)

    def _timed(self, outlook: Outlook, record: Record) -> Outlook:
        """Add how long it will take, where its like was measured."""
        if outlook.share_left == 0:
            measured, share = record.again, 1.0
        elif outlook.found == "as before":
            measured, share = record.again or record.anew, 1.0
        else:
            shares_jobs = outlook.node.rpartition(".")[2] not in JOBS  # it always finds what another node had made
            measured, share = record.anew or (record.again if shares_jobs else None), outlook.share_left
        seconds = measured.scaled(outlook.work.amount, outlook.kind) if measured else None
        if seconds is not None:
            return replace(outlook, seconds=seconds * share, measured=measured)
        return replace(outlook, seconds=0.0) if outlook.share_left == 0 else outlook

    def _shares(self, node: Node, kind: str) -> str:
        """Say which earlier arm trains the same classifiers."""
        arm = self._parameters(node).get("arm")
        if arm is None or node.name.rpartition(".")[2] != "train_classifier":
            return ""
        first = self._trained.setdefault(arm.training_set, _owner(node))
        return "" if first == _owner(node) else f"shares those of {first}"

    def _parameters(self, node: Node) -> dict[str, Any]:
        triples = [(a, d.removeprefix("params:"), kind) for a, d, kind in annotated_inputs(node) if d[:7] == "params:"]
        return {argument: typed(self._global.get(name), kind) for argument, name, kind in triples}

    def _inputs(self, node: Node, pipeline: Pipeline) -> dict[str, Any] | None:
        """Return what the node would be given, by argument; null where that will only turn out."""
        made = pipeline.all_outputs()
        given: dict[str, Any] = dict(self._parameters(node))
        for argument, name, _ in annotated_inputs(node):
            if name.startswith("params:"):
                continue
            is_made_anew = name in made and name not in self._known
            if is_made_anew or (self._known.get(name) is None and not self._catalog.exists(name)):
                return None
            given[argument] = name
        return given

    def _load(self, name: Any) -> Any:
        if name == "work_dir":  # loading it would make it
            return Path(self._catalog["work_dir"]._describe()["filepath"])
        known = self._known.get(name)
        return self._catalog.load(name) if known is None else known

    def _ask(self, node: Node, inputs: Mapping[str, Any]) -> tuple[str, float]:
        """Ask the node itself whether its jobs are finished."""
        datasets = {argument for argument, name, _ in annotated_inputs(node) if not name.startswith("params:")}
        try:
            given = {key: self._load(value) if key in datasets else value for key, value in inputs.items()}
            with only_looking():
                outputs = node.func(**given)
        except WorkLeftError as left:
            return _left_in(left.folder)
        except Exception as error:  # it will say so itself, with its own words, when it runs
            logging.getLogger(__name__).debug("%s cannot be asked: %s", node.name, error)
            return "", 1.0
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        self._known |= dict(zip(node.outputs, values, strict=True))
        return "finished", 0.0


def _owner(node: Node) -> str:
    """Return the variant, arm or prompt set that a node belongs to: the last part of its namespace."""
    return (node.namespace or "").rpartition(".")[2]


def _left_in(folder: Path) -> tuple[str, float]:
    """Say what an earlier run left in a work folder, and what share of a training is still to do."""
    from dermdit_kedro.jobs import Job
    from dermdit_kedro.launching import beginning

    job = Job(folder)
    if not (folder / "job.json").is_file():
        return "", 1.0
    training = job.spec["config"].get("training") or {}
    steps = [int(state.name.removeprefix("step_")) for state in job.checkpoints.glob("step_*")]
    share = max(steps, default=0) / training["max_train_steps"] if training.get("max_train_steps") else 0.0
    begun = beginning(job)
    return ("" if begun == "begun anew" else begun), 1.0 - share
