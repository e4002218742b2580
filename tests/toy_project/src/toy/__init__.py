"""A three-node project that runs under the hooks, settings and command line of `dermdit_kedro`."""
