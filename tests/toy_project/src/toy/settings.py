"""The settings of `dermdit_kedro`."""

from dermdit_kedro.settings import *  # noqa: F403
