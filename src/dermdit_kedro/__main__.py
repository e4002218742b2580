"""Run the project as a module: `python -m dermdit_kedro` is `kedro run`."""

from pathlib import Path

from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project


def main() -> None:
    """Run the project found from the working directory upwards."""
    bootstrap_project(find_kedro_project(Path.cwd()) or Path(__file__).resolve().parents[2])
    from dermdit_kedro.cli import run

    run()


if __name__ == "__main__":
    main()
