"""What a report says of the run that wrote it: code, configuration, libraries, and where the other files lie."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import TypeAdapter

from dermdit_kedro import __version__
from dermdit_kedro.checks import parameter_types, select
from dermdit_kedro.plan_runner import is_plan
from dermdit_kedro.run_progress import path_of

ENTRY: Final = "provenance"
LIBRARIES: Final = (
    "torch", "diffusers", "transformers", "timm", "torchmetrics", "kedro", "mlflow", "fairlearn", "scikit-learn",
)  # fmt: skip


class ProvenanceHook:
    """Writes the catalog entry `provenance` at the start of a run that writes a report."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context until a run starts."""
        self._context = context

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Write down the run, once MLflow has given it an id; a run that finds everything there changes nothing."""
        if self._context is None or ENTRY not in pipeline.inputs() or is_plan(run_params):
            return
        if run_params.get("only_missing_outputs") and all(catalog.exists(name) for name in pipeline.outputs()):
            return
        read = {"__default__": pipelines["__default__"], "this": pipeline}
        catalog.save(
            ENTRY,
            {
                "mlflow_run_id": os.environ.get("MLFLOW_RUN_ID"),
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "environment": self._context.env,
                "pipelines": list(run_params.get("pipeline_names") or ["__default__"]),
                "code": {"dermdit_kedro": __version__, **describe_commit(self._context.project_path)},
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "libraries": {name: _version(name) for name in LIBRARIES},
                "configuration": effective_parameters(self._context.config_loader["parameters"], read),
                "files": beside_the_report(pipeline, catalog),
            },
        )


def describe_commit(project: Path) -> dict[str, Any]:
    """Return the commit of a project and whether its code or configuration differs from it.

    Args:
        project: The project's folder.

    Returns:
        `commit` and `is_changed`, both None where there is no git repository or no git.
    """
    commit = _git(project, "rev-parse", "HEAD")
    changes = _git(project, "status", "--porcelain", "--", "src", "conf") if commit else None
    return {"commit": commit, "is_changed": None if changes is None else bool(changes)}


def effective_parameters(parameters: Mapping[str, Any], read: Mapping[str, Pipeline]) -> dict[str, Any]:
    """Return the parameters that nodes read, as they read them: with the defaults of their types filled in.

    Args:
        parameters: The parameters of the environment, with those of the command line.
        read: The pipelines whose parameters are wanted.

    Returns:
        Plain JSON values by dotted name, sorted.
    """
    found: dict[str, Any] = {}
    for key, kinds in sorted(parameter_types(read).items()):
        present, value = select(parameters, key)
        if present:
            kind: TypeAdapter[Any] = TypeAdapter(kinds[0] if kinds else Any)
            found[key] = kind.dump_python(kind.validate_python(value), mode="json")
    return found


def beside_the_report(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, str]:
    """Return what a reader of the report may want to open next.

    Args:
        pipeline: A pipeline that writes the report.
        catalog: Where its data sets lie.

    Returns:
        Paths relative to the report's folder by what they are.
    """
    folder = _place(catalog, "report").parent
    files = {"The data, counted": "data_report_page", "Every number of this page": "summary"}
    places = {words: _place(catalog, name) for words, name in files.items()}
    for name in sorted(pipeline.datasets()):
        variant, _, kind = name.rpartition(".")
        if kind == "screening":
            places[f"Model card of {variant}"] = _place(catalog, f"{variant}.generator") / "README.md"
            places[f"Data card of {variant}'s images"] = _place(catalog, f"{variant}.synthetic_set") / "README.md"
        elif name in ("table1", "table2"):
            places[f"Table {name[-1]}"] = _place(catalog, name)
    return {words: Path(os.path.relpath(place, folder)).as_posix() for words, place in places.items()}


def _place(catalog: DataCatalog, name: str) -> Path:
    place = path_of(catalog, name)
    assert place is not None, "a pipeline that writes the report names it in the catalog"
    return place


def _git(project: Path, *arguments: str) -> str | None:
    """Return what git says of a project, or None where it has nothing to say."""
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


PROVENANCE = ProvenanceHook()
