"""Run the project without a checkout: `dermdit-kedro` is `kedro run`, `dermdit-kedro plan` is `kedro plan`."""

import sys
from pathlib import Path

from kedro.framework.project import configure_project
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project


def main() -> None:
    """Run the project found from the working directory upwards, or else this package in the working directory."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        configure_project("dermdit_kedro")
    else:
        bootstrap_project(project)
    from dermdit_kedro.cli import cli, run

    command = cli if set(sys.argv[1:2]) & set(cli.commands) else run
    command()


if __name__ == "__main__":
    main()
