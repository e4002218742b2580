"""Kedro data sets: the only code that knows how folders and sources are stored."""
