"""`kedro run` and `kedro plan`, with errors a user can act on: one message, no traceback, exit status 1."""

import errno
import os
import signal
import tarfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click
import yaml
from kedro.framework.cli import project
from kedro.framework.project import configure_logging, pipelines, settings
from kedro.utils import find_kedro_project

from dermdit_kedro.atomic import atomic_file
from dermdit_kedro.errors import UserError
from dermdit_kedro.interrupts import remember_ctrl_c
from dermdit_kedro.plan_runner import PlanRunner, PlanShown
from dermdit_kedro.selection import resolve_selection
from dermdit_kedro.settings import PACKAGED_CONF

_MEASURE_HELP = "Time a few steps of each network that no run has measured (half a minute at most)."
_VERBOSE_HELP = "Show the traceback of an error that a message would do for."


class RunError(click.ClickException):
    """An error of a run that its message explains."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message in red."""
        click.secho(f"Error: {self.message}", file=file, err=file is None, fg="red")


@click.group(name="dermdit_kedro")
def cli() -> None:
    """Commands of this project."""


def user_message(error: BaseException, *, is_before_nodes: bool) -> str | None:
    """Find what to tell the user of an error.

    Args:
        error: What the run raised.
        is_before_nodes: Whether no node had started: then whatever Kedro refuses is configuration.

    Returns:
        The message, or None where only a traceback helps (a bug).
    """
    from kedro.config import MissingConfigException
    from kedro.io import DatasetError
    from kedro.validation.exceptions import ParameterValidationError
    from omegaconf.errors import OmegaConfBaseException

    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, UserError):
            return str(link)
    for link in chain:
        if isinstance(link, ParameterValidationError | MissingConfigException | OmegaConfBaseException):
            return str(link)
    for link in chain:
        if isinstance(link, FileNotFoundError | PermissionError) and isinstance(error, DatasetError):
            return str(error)
    for link in chain:
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return f"the disk is full: {link}. Free some and run the same command again; finished work is kept"
    if is_before_nodes and isinstance(error, ValueError | DatasetError | OSError):
        return str(error)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that caused it, the outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _configure_logging(conf_source: str | None) -> None:
    """Take the logging.yml of the configuration in use, which Kedro finds in the working directory alone."""
    root = Path(find_kedro_project(Path.cwd()) or Path.cwd())
    folders = [Path(conf_source)] if conf_source else []
    files = [folder / "logging.yml" for folder in (*folders, root / settings.CONF_SOURCE, PACKAGED_CONF)]
    file = next((file for file in files if file.is_file()), None)
    if file is not None and "KEDRO_LOGGING_CONFIG" not in os.environ:
        configure_logging(yaml.safe_load(file.read_text()))


def _as_called(message: str) -> str:
    """Name the command that works here: outside a Kedro project there is no `kedro run`."""
    return message if find_kedro_project(Path.cwd()) else message.replace("`kedro run", "`dermdit-kedro")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def _interrupted() -> SystemExit:
    click.secho(
        "Interrupted; the same command goes on from here (`kedro plan` with its options says what is left).",
        err=True,
        fg="red",
    )
    return SystemExit(128 + signal.SIGINT)


def _run(*, verbose: bool, **options: Any) -> Any:
    from dermdit_kedro.hooks import PROGRESS, TRACKING
    from dermdit_kedro.launching import LaunchInterrupted  # brings pandas, which `kedro --help` can do without

    _configure_logging(options.get("conf_source"))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        options = resolve_selection(options, dict(pipelines))
        with remember_ctrl_c():
            return project.run.callback(**options) if project.run.callback else None
    except KeyboardInterrupt:
        pass  # and gone, with what its frames hold, before the MLflow run is ended; what else ends here has returned
    except click.ClickException:
        raise
    except Exception as error:
        if any(isinstance(link, LaunchInterrupted) for link in _chain(error)):
            raise _interrupted() from None
        message = user_message(error, is_before_nodes=not PROGRESS.has_started)
        if message is None:
            raise
        if verbose:
            click.echo(traceback.format_exc(), err=True)
        raise RunError(_as_called(message)) from error
    finally:
        TRACKING.mark_failed()
    raise _interrupted()


def _plan(*, measure: bool, **options: Any) -> None:
    """Show a plan; then say why the run would not start, where it would not."""
    from dermdit_kedro.hooks import CHECKS

    CHECKS.refusal = None
    runner = f"{PlanRunner.__module__}.{PlanRunner.__qualname__}"
    with suppress(PlanShown):
        _run(**options, runner=runner, runner_params={"measures": measure}, is_async=False)
    if CHECKS.refusal is not None:
        message = user_message(CHECKS.refusal, is_before_nodes=True)
        raise RunError(f"such a run would not start. {message}")


@cli.command(help=f"{project.package.help}\n\nCredentials of any environment stay out of the archive.")
@click.pass_context
def package(ctx: click.Context) -> None:
    """Package as Kedro does, which leaves out `conf/local` alone, and take every file of credentials out again."""
    ctx.invoke(project.package)
    archive = ctx.obj.project_path / f"dist/conf-{ctx.obj.package_name}.tar.gz"
    with atomic_file(archive) as kept, tarfile.open(archive) as packed, tarfile.open(kept, "w:gz") as to:
        for member in packed:
            if "credentials" not in Path(member.name).name:
                to.addfile(member, packed.extractfile(member) if member.isfile() else None)


class _Run(click.Command):
    """`kedro run`, where a value of `--params` that is no YAML is a message too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options."""
        from omegaconf.errors import OmegaConfBaseException

        given = " ".join(args)  # the list is used up
        try:
            return super().parse_args(ctx, args)
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            reason = " ".join(str(error).split())
            raise click.UsageError(f"each value of --params must be YAML. Got {given!r}: {reason}", ctx) from error


run = _Run(
    "run",
    params=[*project.run.params, click.Option(["--verbose"], is_flag=True, help=_VERBOSE_HELP)],
    callback=_run,
    help="Run the pipeline.",
)
_OF_THE_RUNNER = {"runner", "runner_params", "is_async"}
plan = _Run(
    "plan",
    params=[
        *(option for option in run.params if option.name not in _OF_THE_RUNNER),
        click.Option(["--measure/--no-measure"], default=True, help=_MEASURE_HELP),
    ],
    callback=_plan,
    help="Show what `kedro run` would do with the same options: nodes, time, memory, disk. Runs and writes nothing.",
)
cli.add_command(run)
cli.add_command(plan)
