"""How varied prompts are: distinct words, prompts that say the same of many images, prompts nearly so."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dermdit_kedro.prompts.instructions import describe
from dermdit_kedro.prompts.lexicon import clean

SAMPLE = 1000
"""Prompts on which shares of distinct n-grams and near neighbours are taken: both fall as there are more."""

NEAR = 0.8
"""Jaccard index of word pairs from which two prompts are nearly the same."""

_FEW_WORDS = 3


def beyond_facts(prompt: str, record: Mapping[str, Any]) -> str:
    """Leave out of a prompt the words of its record's template prompt: what is left is of the image.

    Args:
        prompt: The text.
        record: Columns of the manifest.

    Returns:
        The remaining words, in order, in lower case.
    """
    facts = set(re.findall(r"\w+", describe(record).lower())) | {"a", "an", "the", "of", "and", "with"}
    return " ".join(word for word in re.findall(r"\w+", clean(prompt)) if word not in facts)


def score_diversity(prompts: Sequence[str], records: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Measure how varied prompts are.

    Args:
        prompts: Texts.
        records: The rows they belong to.
        seed: Of the sample.

    Returns:
        unique_share: unique prompts over prompts. says_nothing_share: share with fewer than three words beyond the
        facts. same_but_facts_share: share whose words beyond the facts are those of another prompt. On a sample
        (n_sample): distinct_1 and distinct_2 (Li et al., 2016), distinct words and pairs of words over all;
        near_identical_share, share with another prompt of the sample at a Jaccard index of 0.8 or more.
    """
    if not len(prompts):
        return {"n": 0}
    rest = [beyond_facts(prompt, record) for prompt, record in zip(prompts, records, strict=True)]
    _, inverse, counts = np.unique(np.array(rest), return_inverse=True, return_counts=True)
    chosen = np.random.default_rng(seed).permutation(len(prompts))[:SAMPLE]
    sample = [prompts[i] for i in chosen]
    return {
        "n": len(prompts),
        "unique_share": len(set(prompts)) / len(prompts),
        "says_nothing_share": float(np.mean([len(text.split()) < _FEW_WORDS for text in rest])),
        "same_but_facts_share": float((counts[inverse] > 1).mean()),
        "n_sample": len(sample),
        "distinct_1": _distinct(sample, 1),
        "distinct_2": _distinct(sample, 2),
        "near_identical_share": _near_identical(sample),
    }


def _distinct(texts: Sequence[str], size: int) -> float | None:
    grams = [gram for text in texts for gram in _grams(text, size)]
    return len(set(grams)) / len(grams) if grams else None


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", clean(text))
    return list(zip(*(words[i:] for i in range(size)), strict=False))


def _near_identical(texts: Sequence[str]) -> float | None:
    """Return the share of texts with a near neighbour among the others, by their sets of word pairs."""
    from scipy.sparse import csr_matrix

    sets = [set(_grams(text, 2)) for text in texts]
    columns = {gram: i for i, gram in enumerate(sorted(set().union(*sets)))}
    if len(texts) < 2 or not columns:
        return None
    flat = [columns[gram] for grams in sets for gram in sorted(grams)]
    starts = np.cumsum([0, *(len(grams) for grams in sets)])
    matrix = csr_matrix((np.ones(len(flat)), flat, starts), shape=(len(texts), len(columns)))
    shared = (matrix @ matrix.T).toarray()
    sizes = np.array([len(grams) for grams in sets])
    index = shared / np.maximum(sizes[:, None] + sizes[None] - shared, 1)
    np.fill_diagonal(index, 0)
    return float((index.max(axis=1) >= NEAR).mean())
