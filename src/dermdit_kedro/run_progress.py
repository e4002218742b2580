"""What a person is told while a run goes on: which node, how many, how long, what is left; then the results."""

import logging
import time
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from dermdit_kedro import looking
from dermdit_kedro.durations import Duration, Record, machine, note, read_records, records_file, today, write_records
from dermdit_kedro.interrupts import raise_dropped_ctrl_c
from dermdit_kedro.outlook import Look
from dermdit_kedro.plan_runner import is_plan
from dermdit_kedro.progress import duration
from dermdit_kedro.terminal import print_place, print_ranking, print_summary, print_verdict
from dermdit_kedro.work import count_manifest

logger = logging.getLogger("dermdit_kedro.hooks")


class ProgressHook:
    """Says which node runs, how many there are and how long each took; at the end, the results.

    How long each took is kept beside the work folders; where that is known of all nodes to come, it says how much of
    the whole run is left.
    """

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._total: int | None = None
        self._results: dict[str, dict[str, Any]] = {}
        self._catalog: DataCatalog | None = None
        self._look: Look | None = None
        self._expected: dict[str, float | None] = {}

    @property
    def has_started(self) -> bool:
        """Whether a node of the current run has started."""
        return bool(self._started)

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Forget an earlier run of this process."""
        self._started, self._results, self._look, self._expected = {}, {}, None, {}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Count the nodes, and look up how long they took before."""
        self._catalog = catalog
        only_missing = bool(run_params.get("only_missing_outputs"))
        self._total = None if only_missing else len(pipeline.nodes)
        file = records_file(catalog)
        if is_plan(run_params) or file is None:
            return
        self._look = Look(catalog, dict(pipelines))
        self._look.count(pipeline)
        if not only_missing and file.is_file():
            self._expected = {outlook.node: outlook.seconds for outlook in self._look(pipeline)}

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Log the node's name and number, and the time left; end here if Python has dropped a Ctrl-C."""
        raise_dropped_ctrl_c()
        self._started[node.name] = time.monotonic()
        looking.begun_before.clear()
        of_total = f" of {self._total}" if self._total else ""
        logger.info("node %d%s: %s%s", len(self._started), of_total, node.name, self._left())

    def _left(self) -> str:
        """Say how long this node and those to come will take, if that is known of each."""
        *before, _ = self._started
        coming = [seconds for name, seconds in self._expected.items() if name not in before]
        if not coming or None in coming:
            return ""
        return f" (about {duration(sum(seconds for seconds in coming if seconds is not None))} left in all)"

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Keep how long a node took, and log it where it took long enough to ask."""
        seconds = time.monotonic() - self._started.get(node.name, time.monotonic())
        if seconds >= 2:
            logger.info("%s took %.0f s", node.name, seconds)
        file = records_file(self._catalog) if self._catalog is not None else None
        if self._look is None or file is None:
            return
        work, kind, settings = self._look.describe(node)
        taken = Duration(round(seconds, 3), work.amount, kind, machine(), today())
        records = read_records(file)
        is_anew = not looking.begun_before
        records[node.name] = note(records.get(node.name, Record()), taken, settings, is_anew=is_anew)
        write_records(file, records)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep what is shown at the end."""
        if dataset_name in ("summary", "verdict", "table1", "data_report"):
            self._results[dataset_name] = data
        if dataset_name == "manifest" and self._look is not None and "split" in getattr(data, "columns", ()):
            self._look.counts = count_manifest(data)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Print the results of this run and where the report is."""
        if not self._started:
            logger.info("nothing to do: every output is there; whether parameters have changed was not looked at")
        if "summary" in self._results and self._catalog is not None:
            report = path_of(self._catalog, "report")
            print_summary(self._results["summary"], report if report and report.is_file() else None)
        else:
            print_verdict(self._results.get("verdict"))
            page = path_of(self._catalog, "data_report_page") if self._catalog is not None else None
            if "data_report" in self._results and page and page.is_file():
                print_place("Who is in the data", page)
        print_ranking(self._results.get("table1"))


def path_of(catalog: DataCatalog, name: str) -> Path | None:
    """Return where a data set of the catalog lies, if it lies in a file or folder."""
    dataset = catalog.get(name)
    path = dataset._describe().get("filepath") if dataset is not None else None
    return Path(str(path)) if path is not None else None
