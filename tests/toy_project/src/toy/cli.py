"""The command line of `dermdit_kedro`."""

from dermdit_kedro.cli import cli, run

__all__ = ["cli", "run"]
