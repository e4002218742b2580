"""A runner that runs nothing: it shows what a run of the same options would do."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from pluggy import PluginManager

PLAN: Final = "plan"
"""What hooks see as the runner's name."""


def is_plan(run_params: Mapping[str, Any]) -> bool:
    """Return whether nothing is to be run, and so nothing to be written or tracked."""
    return run_params.get("runner") == PLAN


class PlanShown(BaseException):
    """Ends a session once the plan is shown: what plugins do after a run (Kedro-Viz's statistics) is not due."""


class PlanRunner(SequentialRunner):
    """Prints a plan of the nodes it is given, those that `kedro run` would run.

    Args:
        measures: Whether a few steps of what no run has measured are timed.
        is_async: As Kedro gives it; nothing is loaded or saved.
    """

    def __init__(self, measures: bool = True, is_async: bool = False) -> None:
        super().__init__(is_async=is_async)
        self.__name__ = PLAN
        self._measures = measures
        self._asked = 0

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger("kedro.runner")  # Kedro's own lines stay as quiet as in a run

    def run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Leave out what a run would leave out, and plan the rest.

        Args:
            pipeline: The nodes that were asked for.
            catalog: Where everything lies.
            hook_manager: As Kedro gives it.
            run_id: As Kedro gives it.
            only_missing_outputs: Whether nodes with finished outputs are left out.

        Returns:
            Nothing.

        Raises:
            PlanShown: In the end.
        """
        self._asked = len(pipeline.nodes)
        return super().run(pipeline, catalog, hook_manager, run_id, only_missing_outputs)

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        from dermdit_kedro.plan_table import print_plan
        from dermdit_kedro.planning import plan_nodes

        plan = plan_nodes(pipeline, catalog, dict(pipelines), measures=self._measures)
        print_plan(plan, left_out=self._asked - len(pipeline.nodes))
        raise PlanShown
