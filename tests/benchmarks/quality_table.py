"""Curves of distance over minutes: when one reaches what another has, as a table and as a picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def minutes_to_reach(curve: Sequence[tuple[float, float]], value: float) -> float | None:
    """Return when a curve of (minutes, distance) first is at or below a value; between points straight in log time."""
    before: tuple[float, float] | None = None
    for minutes, distance in curve:
        if distance <= value:
            if before is None:
                return minutes
            share = (before[1] - value) / (before[1] - distance)
            return math.exp(math.log(before[0]) * (1 - share) + math.log(minutes) * share)
        before = (minutes, distance)
    return None


def best_curve(rows: pd.DataFrame, recipe: str, way: str) -> list[tuple[float, float]]:
    """Return (minutes, distance) of a recipe: of several samplers the best, of several seeds the mean."""
    best = rows[rows["recipe"] == recipe].groupby(["mark", "seed"]).agg({"minutes": "mean", way: "min"})
    means = best.groupby("mark").mean().sort_index()
    return [(float(minutes), float(distance)) for minutes, distance in means[["minutes", way]].to_numpy()]


def compare(rows: pd.DataFrame, way: str) -> list[dict[str, Any]]:
    """Say when the prior recipe is as good as each point of the chosen curve, and the chosen as the prior's last."""
    ours, prior = best_curve(rows, "chosen", way), best_curve(rows, "prior", way)
    if not ours or not prior:
        return []
    end, lines = prior[-1][0], []
    for minutes, distance in ours:
        reached = minutes_to_reach(prior, distance)
        said = f"after {reached:.1f} minutes" if reached else f"not reached in {end:.0f} minutes"
        ratio = (reached or end) / minutes
        lines.append(
            {"distance": distance, "chosen_minutes": minutes, "prior": said, "ratio": ratio, "is_bound": not reached}
        )
    last = minutes_to_reach(ours, prior[-1][1])
    if last:
        said, is_bound = f"after {end:.1f} minutes", last == ours[0][0]  # it may have been there before its first point
        found = {"distance": prior[-1][1], "chosen_minutes": last, "prior": said, "ratio": end / last}
        lines.append({**found, "is_bound": is_bound})
    return lines


def draw_curves(rows: pd.DataFrame, floors: Mapping[str, float], target: Path) -> None:
    """Draw distance over minutes, one line a recipe, with the floor."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, panels = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for panel, (way, floor) in zip(panels, floors.items(), strict=True):
        for recipe in rows["recipe"].unique():
            panel.plot(*zip(*best_curve(rows, recipe, way), strict=True), marker="o", label=recipe)
        panel.axhline(floor, linestyle="--", color="grey", label="real against real")
        panel.set(title=f"held-out images {way.replace('_', ' ')}", xlabel="minutes of training", ylabel="distance")
        panel.set(xscale="log", yscale="log")
        marks = sorted(rows["mark"].unique())
        panel.set_xticks(marks, [f"{mark:g}" for mark in marks], minor=False)
        panel.set_xticks([], minor=True)
        for formatter in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            formatter(ticker.StrMethodFormatter("{x:.0f}"))
    panels[0].legend()
    figure.savefig(target, dpi=80)
    plt.close(figure)


def say(summary: Mapping[str, Any]) -> str:
    """Return the table, and when which recipe is as good as the other."""
    lines = [f"n = {summary['n']} of the {summary['split']} split; autoencoder alone {summary['autoencoder']:.0f}", ""]
    lines += ["| recipe | seed | minutes | steps | sampler | through the autoencoder | as they are |", "|---" * 7 + "|"]
    for row in summary["rows"]:
        places = (row["recipe"], row["seed"], f"{row['minutes']:.1f}", row["steps"], row["sampler"])
        distances = (f"{row['through_autoencoder']:.0f}", f"{row['as_they_are']:.0f}")
        lines.append(f"| {' | '.join(map(str, (*places, *distances)))} |")
    floor = summary["floor"]
    lines += [f"| real images | | | | | {floor['through_autoencoder']:.0f} | {floor['as_they_are']:.0f} |", ""]
    for way, comparison in summary["chosen_against_prior"].items():
        lines += [f"Distance to held-out images {way.replace('_', ' ')}:"] if comparison else []
        for line in comparison:
            bound = "at least " if line["is_bound"] else ""
            lines.append(
                f"- {line['distance']:.0f} by the chosen recipe after {line['chosen_minutes']:.1f} minutes, by the "
                f"prior one {line['prior']}: {bound}{line['ratio']:.1f} times as fast"
            )
    return "\n".join(lines)
