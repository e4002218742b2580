"""Settings of the Kedro project: configuration loader, hooks, plugins."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from dermdit_kedro.errors import UserError
from dermdit_kedro.hooks import HOOKS as HOOKS
from dermdit_kedro.terminal import silence_known_warnings

silence_known_warnings()
os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; progress is in the log


def project_root(conf_source: str | Path) -> Path:
    """Find the folder of the project that a configuration folder belongs to.

    Args:
        conf_source: The configuration folder, usually `<project>/conf`.

    Returns:
        The nearest folder above `conf_source` that holds a Kedro project, else the nearest one above
        the working directory, else the working directory.
    """
    for start in (Path(conf_source).resolve(), Path.cwd()):
        found = find_kedro_project(start)
        if found is not None:
            return Path(found)
    return Path.cwd()


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader with one resolver more: `${project_root:}`, an absolute path.

    Kedro registers custom resolvers once in a process; this one follows the loader in use, so that two
    projects can be loaded in one process (as the tests do).

    Args:
        conf_source: The configuration folder.
        *arguments: What Kedro's loader takes.
        **named: What Kedro's loader takes by name.
    """

    def __init__(self, conf_source: str, *arguments: Any, **named: Any) -> None:
        root = project_root(conf_source).as_posix()
        self._resolve_project_root: Callable[[], str] = lambda: root
        self._register_project_root()
        super().__init__(conf_source, *arguments, **named)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration, resolved for this project."""
        self._register_project_root()
        try:
            return super().__getitem__(key)
        except TypeError as error:
            if "Cannot merge" not in str(error):
                raise
            where = f"--params {self.runtime_params}" if self.runtime_params else f"conf/{self.env}"
            raise UserError(
                f"{key}: a list must not take the place of a block of keys, nor a block that of a list. "
                f"Got one in {where}"
            ) from error

    def _register_project_root(self) -> None:
        OmegaConf.register_resolver("project_root", self._resolve_project_root, replace=True)


CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",
    # One key given in an environment or with --params keeps its siblings.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
}
# The tracking hook wakes kedro-mlflow itself, once a run has passed its checks.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-mlflow", "kedro-telemetry")
