"""Settings of the Kedro project: configuration loader, hooks, plugins."""

import atexit
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  `kedro viz --lite` forgets what it has imported, and numpy refuses to be imported twice
from kedro.config import OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from dermdit_kedro.errors import UserError
from dermdit_kedro.hooks import HOOKS as HOOKS
from dermdit_kedro.terminal import silence_known_warnings

silence_known_warnings()
os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; progress is in the log


_HERE = Path(__file__).resolve()
PACKAGED_CONF = _HERE.parent / "conf" if (_HERE.parent / "conf").is_dir() else _HERE.parents[2] / "conf"
"""The configuration that came with this package: in a wheel beside this module, in a checkout above `src`."""


def default_conf(working_directory: Path) -> str:
    """Find the configuration of a command that names none.

    Args:
        working_directory: Where the command was given.

    Returns:
        `conf`, where the Kedro project around the folder, or the folder itself, has one; else the path of the
        configuration that came with this package.
    """
    start = find_kedro_project(working_directory) or working_directory
    return "conf" if (Path(start) / "conf" / "base").is_dir() else str(PACKAGED_CONF)


def project_root(conf_source: str | Path) -> Path:
    """Find the folder of the project that a configuration belongs to; data and MLflow's store lie below it.

    Args:
        conf_source: The configuration: a folder, usually `<project>/conf`, or an archive of one.

    Returns:
        The nearest folder above `conf_source` that holds a Kedro project, else the nearest one above
        the working directory, else the working directory. What came with this package, and an archive,
        belong to no project.
    """
    conf = Path(conf_source).resolve()
    is_of_no_project = conf.is_file() or (conf == PACKAGED_CONF and conf.parent == _HERE.parent)
    for start in (Path.cwd(),) if is_of_no_project else (conf, Path.cwd()):
        found = find_kedro_project(start)
        if found is not None:
            return Path(found)
    return Path.cwd()


def unpack(archive: Path) -> Path:
    """Unpack a configuration for as long as this process lives.

    Args:
        archive: What `kedro package` made, a `tar.gz`, or a zip file.

    Returns:
        The folder with the environments.
    """
    folder = Path(tempfile.mkdtemp(prefix="dermdit_kedro_conf_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if tarfile.is_tarfile(archive):
        shutil.unpack_archive(archive, folder, filter="data")
    else:
        shutil.unpack_archive(archive, folder)
    return folder / "conf" if (folder / "conf").is_dir() else folder


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader with two resolvers more: `${project_root:}` and `${conf_source:}`, absolute paths.

    Kedro registers custom resolvers once in a process; this one follows the loader in use, so that two
    projects can be loaded in one process (as the tests do).

    Args:
        conf_source: The configuration folder, or an archive of one.
        *arguments: What Kedro's loader takes.
        **named: What Kedro's loader takes by name.
    """

    def __init__(self, conf_source: str, *arguments: Any, **named: Any) -> None:
        root, given = project_root(conf_source).as_posix(), Path(conf_source).resolve()
        folder = unpack(given) if given.is_file() else given
        self._resolvers: dict[str, Callable[[], str]] = {
            "project_root": lambda: root,
            "conf_source": folder.as_posix,
        }
        self.is_a_users_own = given.is_dir() and (given != PACKAGED_CONF or given.parent.as_posix() == root)
        self._register_resolvers()
        super().__init__(str(folder), *arguments, **named)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration, resolved for this project."""
        self._register_resolvers()
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

    def _register_resolvers(self) -> None:
        for name, resolve in self._resolvers.items():
            OmegaConf.register_resolver(name, resolve, replace=True)


CONF_SOURCE = default_conf(Path.cwd())
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
