"""What a person sees of a run: no warnings to no avail; at the end a table of results and the report's path."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_TONES = ("light", "brown", "dark")
_NOTHING = "-"
_KNOWN_WARNINGS = (
    "register_new_resolver() is deprecated",  # Kedro's and kedro-mlflow's use of OmegaConf
    "Add type hints to the `predict` method",  # MLflow's wish to kedro-mlflow
    "One or more dataset names contain '.' characters",  # `<variant>.<data set>` is meant as a namespace
    "is interrupted by nodes",  # a namespace names an owner here; it is not run as a block
    "Option '--pipeline' is deprecated",
)


class _KnownWarnings(logging.Filter):
    """Drops what libraries say of one another at every start; nobody who reads it could act on it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything else through."""
        message = record.getMessage()
        return not any(known in message for known in _KNOWN_WARNINGS)


def silence_known_warnings() -> None:
    """Send warnings to the log, without those that libraries raise against each other."""
    logging.captureWarnings(True)
    target = logging.getLogger("py.warnings")
    if not any(isinstance(known, _KnownWarnings) for known in target.filters):
        target.addFilter(_KnownWarnings())


def print_summary(summary: Mapping[str, Any], report: Path | None, console: Console | None = None) -> None:
    """Print the results of a run.

    Args:
        summary: The content of `summary.json`.
        report: Where the report is, if it was written.
        console: Where to print; standard output if not given.
    """
    console = console or Console()
    if _at(summary, "data.kind") == "phantoms":
        console.print("Made on phantoms: nothing below is a result about patients.", style="yellow")
    images = image_table(summary)
    if images.row_count:
        console.print(images)
    for table in diagnosis_tables(summary):
        console.print(table)
    print_verdict(summary.get("verdict"), console)
    if report is not None:
        print_place("The report", report, console)


def print_place(what: str, path: Path, console: Console | None = None) -> None:
    """Print where something lies, on one line however long.

    Args:
        what: Its name.
        path: Its path.
        console: Where to print; standard output if not given.
    """
    (console or Console()).print(f"{what}: {path}", soft_wrap=True, highlight=False, markup=False)


def print_verdict(verdict: Any, console: Console | None = None) -> None:
    """Print what can be said of each test set, a paragraph each.

    Args:
        verdict: The content of `verdict.json`; nothing is printed of anything else.
        console: Where to print; standard output if not given.
    """
    paragraphs = verdict.get("paragraphs", []) if isinstance(verdict, Mapping) else []
    for paragraph in paragraphs:
        (console or Console()).print(f"\n{paragraph['text']}", highlight=False, markup=False)


def print_ranking(table1: Any, console: Console | None = None) -> None:
    """Print the generators in the order of their distance from held-out images: a line a distance and number of images.

    Args:
        table1: The table `table1`; nothing is printed of anything else.
        console: Where to print; standard output if not given.
    """
    console = console or Console()
    for column in getattr(table1, "columns", ()):
        if column.startswith(("fd_", "cmmd_")) and column.endswith("_held_out"):
            for n, rows in table1.groupby(f"{column}_n"):  # distances of other numbers of images do not compare
                ranked = rows.sort_values(column)
                order = " < ".join(f"{row['variant']} {row[column]:.4g}" for _, row in ranked.iterrows())
                floor = f"; real images {ranked[f'{column}_floor'].iloc[0]:.4g}"
                through = ranked.get(f"{column}_autoencoder")
                if through is not None and through.nunique() == 1:  # all have one autoencoder
                    floor += f", through the autoencoder {through.max():.4g}"
                line = f"\n{column}, n = {n:,.0f}: {order}{floor}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            missing = table1.loc[table1[column].isna(), "variant"]
            if len(missing):
                console.print(f"not measured: {', '.join(missing)}", highlight=False, markup=False)
    if table1 is not None:
        console.print("One training of each: another seed may order them otherwise (docs/results.md).", highlight=False)


def image_table(summary: Mapping[str, Any]) -> Table:
    """Arrange what was measured of the synthetic images, one row a variant.

    Args:
        summary: The content of `summary.json`.

    Returns:
        The table, without rows where nothing was measured.
    """
    table = _table("Synthetic images", "variant", "Fréchet distance", "KID", "tone\nagreement", "label\nagreement")
    for variant, metrics in _items(summary.get("image_metrics")):
        agreement = _at(summary, f"agreement.{variant}") or {}
        table.add_row(
            variant,
            *(_named(metrics.get(metric)) for metric in ("frechet_distance", "kid")),
            *(_with_interval(_at(agreement, f"{of}_agreement.overall"), "\n") for of in ("tone", "label")),
        )
    return table


def diagnosis_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """Arrange the diagnosis by arm, one table a test set.

    Args:
        summary: The content of `summary.json`.

    Yields:
        Tables of AUC (95 % interval), recall, AUC by estimated tone and the AUC gap.
    """
    arms = dict(_items(summary.get("diagnosis")))
    test_sets = dict.fromkeys(name for metrics in arms.values() for name in metrics.get("test_sets", {}))
    for test_set in test_sets:
        columns = ("trained on", "AUC", "recall", *(f"AUC\n{tone}" for tone in _TONES), "AUC\ngap")
        table = _table(f"Diagnosis on {test_set}", *columns)
        for arm, metrics in arms.items():
            groups = metrics.get("test_sets", {}).get(test_set, {})
            gap = _at(summary, f"fairness.{arm}.attributes.tone_group.{test_set}.gaps.auc_gap")
            tones = [_value(_at(groups, f"tone_group.{tone}.auc")) for tone in _TONES]
            overall = [_with_interval(_at(groups, "overall.auc")), _value(_at(groups, "overall.recall"))]
            table.add_row(arm, *overall, *tones, _value(gap))
        yield table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "AUC")  # 80 columns cut off nothing
    return table


def _items(part: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the parts that were measured."""
    measured = part.items() if isinstance(part, Mapping) else ()
    return [(str(key), value) for key, value in measured if isinstance(value, Mapping)]


def _at(content: Any, path: str) -> Any:
    """Follow a dotted path; None where it ends early."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _value(entry: Any) -> str:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    return f"{value:.3f}" if isinstance(value, int | float) else _NOTHING


def _with_interval(entry: Any, between: str = " ") -> str:
    interval = entry.get("interval") if isinstance(entry, Mapping) else None
    if not interval or None in interval:
        return _value(entry)
    return f"{_value(entry)}{between}({interval[0]:.2f}-{interval[1]:.2f})"


def _named(entries: Any) -> str:
    """Write the first entry with its name, since a distance means nothing without its features."""
    for entry in entries if isinstance(entries, list) else []:
        return f"{_value(entry)}\n{entry.get('name', '')}"
    return _NOTHING
