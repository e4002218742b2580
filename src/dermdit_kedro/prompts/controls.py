"""Does the captioner look at the image? Its answers to other pictures under the same instruction, on a sample.

A model may write the same of noise as of a lesion (`LLaVA-Med` is known to). So a few images are asked for again
as they are, replaced by noise, and replaced by another image of the sample: words that follow the image change
with it, more than they do from one asking to the next.
"""

import re
from typing import Any

import numpy as np
import pandas as pd

REPEAT, NOISE, OTHER = "repeat", "noise", "other_image"
CONTROLS = (REPEAT, NOISE, OTHER)
"""The same image again; noise of its size; another image of the sample."""

_ALPHA = 0.05


def add_controls(requests: pd.DataFrame, num_images: int, seed: int) -> pd.DataFrame:
    """Add the controls of a sample to the requests.

    Args:
        requests: One row an image, with tone_group, file and sha256.
        num_images: Images in the sample, spread over the tone groups; 0 for none.
        seed: Of the draw.

    Returns:
        The requests with `control` "", and after them three rows for each sampled image. Of an `other_image`,
        file and sha256 are those of the next image of the sample, facts and instruction its own.
    """
    requests = requests.assign(control="")
    drawn = _draw(requests, num_images, seed)
    if len(drawn) < 2:
        return requests
    other = drawn[["file", "sha256"]].to_numpy()
    tables = [drawn.assign(control=control) for control in CONTROLS]
    tables[-1][["file", "sha256"]] = np.roll(other, 1, axis=0)
    return pd.concat([requests, *tables], ignore_index=True)


def _draw(requests: pd.DataFrame, num_images: int, seed: int) -> pd.DataFrame:
    """Draw from each tone group in turn, so that the sample holds as many of each as there are."""
    order = np.random.default_rng(seed).permutation(len(requests))
    shuffled = requests.iloc[order]
    turn = shuffled.groupby("tone_group", dropna=False).cumcount()
    return shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")[:num_images]]


def change(answer: str, other: str) -> float:
    """Return how far two answers differ, as one minus the Jaccard index of their words.

    Args:
        answer: A text.
        other: Another.

    Returns:
        0 for the same words, 1 for none in common; 0 for two empty texts.
    """
    one, two = (set(re.findall(r"\w+", text.lower())) for text in (answer, other))
    return 1 - len(one & two) / len(one | two) if one | two else 0.0


def score_controls(controls: pd.DataFrame) -> dict[str, Any] | None:
    """Judge whether the words follow the image.

    Args:
        controls: image_id, control, answer, control_answer.

    Returns:
        For each control n, the share of answers that did not change at all, and the mean change; and
        `looks_at_image`: "yes" where another image changes the words more than asking again does, and noise too
        (Wilcoxon's signed ranks, one-sided, p below 0.05 for both), "no" where neither changes a single answer, else
        "cannot tell". None where there was no control.
    """
    if controls.empty:
        return None
    changes = {
        str(name): pd.Series(
            [change(a, b) for a, b in zip(part["answer"], part["control_answer"], strict=True)], index=part["image_id"]
        )
        for name, part in controls.groupby("control")
    }
    found: dict[str, Any] = {
        name: {"n": len(values), "unchanged_share": float(values.eq(0).mean()), "mean_change": float(values.mean())}
        for name, values in changes.items()
    }
    return {**found, "looks_at_image": _looks(changes)}


def _looks(changes: "dict[str, pd.Series[float]]") -> str:
    from scipy.stats import wilcoxon

    if set(changes) != set(CONTROLS):
        return "cannot tell"
    table = pd.DataFrame(changes).dropna()
    if not (table[[NOISE, OTHER]] > 0).any(axis=None):
        return "no"
    p_values = []
    for name in (NOISE, OTHER):
        difference = table[name] - table[REPEAT]
        if not difference.ne(0).any():
            return "cannot tell"
        p_values.append(float(wilcoxon(difference, alternative="greater").pvalue))
    return "yes" if max(p_values) < _ALPHA else "cannot tell"
