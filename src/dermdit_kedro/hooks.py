"""Effects tied to a run: checks before it, progress during it, MLflow beside it, a table after it."""

import atexit
import base64
import gc
import logging
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from dermdit_kedro.checks import (
    refuse_given_outputs,
    refuse_missing_inputs,
    refuse_parameters,
    refuse_unknown_test_sets,
)
from dermdit_kedro.combinations import refuse_combinations
from dermdit_kedro.errors import UserError
from dermdit_kedro.headlines import headlines, note
from dermdit_kedro.plan_runner import is_plan
from dermdit_kedro.provenance import PROVENANCE
from dermdit_kedro.run_progress import ProgressHook, path_of
from dermdit_kedro.tracking import (
    COMPARISONS,
    log_metrics,
    log_tags,
    measurements,
    plain_parameters,
    run_name,
    run_tags,
)

logger = logging.getLogger(__name__)

_REPORTING = "08_reporting"


class ChecksHook:
    """Refuses bad parameters and missing inputs before any node runs.

    Attributes:
        refusal: Why the run that was planned last would not start; a plan goes on, and says so at its end.
    """

    def __init__(self) -> None:
        self._env: str | None = None
        self._parameters: dict[str, Any] = {}
        self.refusal: Exception | None = None
        self._conf_is_a_users_own = True

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse unknown or ill-typed parameters of every registered pipeline."""
        self.refusal = None
        self._env = context.env
        self._conf_is_a_users_own = getattr(context.config_loader, "is_a_users_own", True)
        parameters = self._parameters = context.config_loader["parameters"]
        refuse_parameters(parameters, dict(pipelines))
        refuse_combinations(parameters)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Refuse to start where an input is missing that another pipeline makes; a plan is told and shown first."""
        self.refusal = None
        try:
            self._refuse(run_params, pipeline, catalog)
        except (UserError, DatasetError) as refusal:
            if not is_plan(run_params):
                raise
            self.refusal = refusal

    def _refuse(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        if "refined_instructions" in pipeline.outputs() and not self._conf_is_a_users_own:
            raise UserError(
                "a refined instruction is written into conf/instructions, and this configuration is the package's or "
                "an archive's. Have a folder of your own: tar -xzf conf-dermdit_kedro.tar.gz here, and run it again"
            )
        only_missing = bool(run_params.get("only_missing_outputs"))
        refuse_given_outputs(pipeline, catalog, env=self._env)
        refuse_missing_inputs(pipeline, dict(pipelines), catalog, env=self._env, only_missing_outputs=only_missing)
        if "sources" in pipeline.inputs() and not only_missing:
            # says what is wrong with a folder before MLflow takes its time to start
            refuse_unknown_test_sets(self._parameters, catalog.load("sources"))


class TrackingHook:
    """Logs a run to MLflow through kedro-mlflow, which wakes up only when a run has passed its checks.

    So neither a misspelt parameter nor `kedro viz` waits for MLflow or leaves a run behind. Typed
    parameters are logged field by field, JSON results as metrics, reports and figures as artifacts; a
    run that fails or is interrupted is marked as failed; one that is killed outright stays RUNNING.
    """

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._mlflow: Any = None
        self._logged: set[str] = set()
        self._run: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context until a run starts."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Start an MLflow run."""
        if is_plan(run_params):
            return
        from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

        self._logged = set()
        self._run = {"run_params": run_params, "pipeline": pipeline, "catalog": catalog}
        hook = MlflowHook()
        hook.after_context_created(self._context)
        run = hook.mlflow_config.tracking.run
        run.name = run.name or run_name(run_params, datetime.now())
        hook.before_pipeline_run(**self._run)
        self._mlflow = hook
        if hook.run_id:
            log_tags(hook.run_id, run_tags(run_params, _layouts(catalog)))
            os.environ["MLFLOW_RUN_ID"] = hook.run_id  # for the processes that nodes start
        # Registered after MLflow's own, hence called before it, which would call the run finished.
        atexit.register(self.mark_failed)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log the parameters that no earlier node has logged."""
        new = {name: value for name, value in plain_parameters(inputs).items() if name not in self._logged}
        self._logged |= set(new)
        if self._mlflow is not None:
            self._mlflow.before_node_run(node, catalog, new, is_async)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log the numbers of a JSON result; the reporting layer and a sheet of synthetic images as artifacts."""
        if self._mlflow is None or not self._mlflow._is_mlflow_enabled:
            return
        path = path_of(self._run["catalog"], dataset_name)
        if path is None:
            return
        if isinstance(data, dict) and path.suffix == ".json" and dataset_name not in COMPARISONS:
            log_metrics(self._mlflow.run_id, measurements(dataset_name, data))
        if dataset_name == "summary":
            log_metrics(self._mlflow.run_id, headlines(data))
            log_tags(self._mlflow.run_id, {"mlflow.note.content": note(data)})
        if _REPORTING in path.parts:
            self._log_artifact(path)
        if dataset_name.endswith(".synthetic_images"):
            self._log_contact_sheet(dataset_name)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """End the MLflow run."""
        hook = self._let_go()
        if hook is not None:
            hook.after_pipeline_run(run_params, pipeline, catalog)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the MLflow run as failed."""
        self.mark_failed()

    def mark_failed(self) -> None:
        """Mark the open MLflow run as failed, if there is one; safe to call at any time.

        What an interrupt left half written in MLflow's store keeps it locked until it is collected.
        """
        hook = self._let_go()
        if hook is not None:
            gc.collect()
            try:
                hook.on_pipeline_error(None, **self._run)
            except Exception as error:  # a store that is away must not hide why the run ended
                logger.warning("the MLflow run could not be marked as failed: %s", error)

    def _let_go(self) -> Any:
        hook, self._mlflow = self._mlflow, None
        os.environ.pop("MLFLOW_RUN_ID", None)
        atexit.unregister(self.mark_failed)
        return hook

    def _log_artifact(self, path: Path) -> None:
        from mlflow.tracking import MlflowClient

        below = path.parts[path.parts.index(_REPORTING) + 1 :]
        if path.is_dir():
            MlflowClient().log_artifacts(self._mlflow.run_id, str(path), "/".join(below))
        elif path.is_file():
            MlflowClient().log_artifact(self._mlflow.run_id, str(path), "/".join(below[:-1]) or None)

    def _log_contact_sheet(self, name: str) -> None:
        from mlflow.tracking import MlflowClient

        sheet = base64.b64decode(self._run["catalog"].get(name).preview())
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{name}.png"
            file.write_bytes(sheet)
            MlflowClient().log_artifact(self._mlflow.run_id, str(file), name.partition(".")[0])


def _layouts(catalog: DataCatalog) -> list[str]:
    """Return the layouts of the sources, if the catalog has some."""
    sources = catalog.get("sources")
    return [entry["layout"] for entry in sources._describe()["sources"].values()] if sources is not None else []


CHECKS = ChecksHook()
PROGRESS = ProgressHook()
TRACKING = TrackingHook()
HOOKS = (PROVENANCE, TRACKING, CHECKS, PROGRESS)
