import pytest
from tests.prompts.labelled_prompts import read, score

SEALED = {
    "right": (1.0, 0.844), "missing": (0.959, 0.991), "contradicting": (0.926, 0.969), "negated": (0.966, 0.979),
    "refused": (1.0, 0.867), "repeated": (1.0, 0.933),
}  # fmt: skip
"""Precision and recall when the sealed half was scored, once; a change of the lexicon may not fall below them."""


def test_the_audit_is_right_on_prompts_that_were_labelled_by_hand():
    for name, figures in score(read("opened")).items():
        assert figures["precision"] >= 0.95, name
        assert figures["recall"] >= 0.95, name


@pytest.mark.parametrize("name", SEALED)
def test_the_audit_is_as_right_as_it_was_on_the_half_that_nobody_had_opened(name):
    figures = score(read("sealed"))[name]
    assert figures["precision"] >= SEALED[name][0] - 0.001
    assert figures["recall"] >= SEALED[name][1] - 0.001


def test_the_halves_are_whole_and_share_nothing():
    opened, sealed = read("opened"), read("sealed")
    assert len(opened) == len(sealed) == 165
    assert not {row["text"] for row in opened} & {row["text"] for row in sealed}
