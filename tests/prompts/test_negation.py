import pytest

from dermdit_kedro.prompts.negation import is_negated

CASES = [
    ("no malignancy", True),
    ("malignancy", False),
    ("no hair, malignancy", False),
    ("no hair, ruler or malignancy", True),
    ("no hair. malignancy", False),
    ("no hair but malignancy", False),
    ("without a sharp border in a malignancy", False),
    ("not one of the many features that one would expect of malignancy", False),
    ("malignancy is excluded", True),
    ("malignancy was not seen", True),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_scope(text, expected):
    start = text.index("malignancy")
    assert is_negated(text, start, start + len("malignancy")) is expected
