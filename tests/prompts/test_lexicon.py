import pytest

from dermdit_kedro.prompts.lexicon import agrees, is_contradicted, is_recalled, mentions

LABELS = [
    ("A malignant lesion.", {True}),
    ("This benign nevus is round.", {False}),
    ("features of melanoma", {True}),
    ("a seborrheic keratosis", {False}),
    ("no sign of malignancy", {False}),
    ("There is no evidence of a malignant process.", {False}),
    ("a non-malignant mole", {False}),
    ("noncancerous growth", {False}),
    ("The lesion is not benign.", {True}),
    ("melanoma is ruled out", {False}),
    ("malignancy is unlikely", {False}),
    ("no ulceration, streaks, or malignancy", {False}),
    ("neither benign nor malignant", set()),
    ("malignant, without a regular network", {True}),
    ("no regular border, but malignant", {True}),
    ("could be benign or malignant", {True, False}),
    ("a lesion with irregular border", set()),
    ("malignant rather than a benign nevus", {True}),
    ("a pre-malignant lesion", set()),
]
TONES = [
    ("light skin tone", {"light"}),
    ("fair-skinned patient", {"light"}),
    ("light brown skin", {"brown"}),
    ("olive complexion", {"brown"}),
    ("dark brown skin", {"dark"}),
    ("her skin is dark", {"dark"}),
    ("Fitzpatrick skin type II", {"light"}),
    ("Fitzpatrick type 4", {"brown"}),
    ("phototype VI", {"dark"}),
    ("a dark brown lesion with light brown areas", set()),
    ("a black lesion on pale skin", {"light"}),
    ("not on dark skin", set()),
]
SEXES = [
    ("a woman", {"female"}),
    ("an elderly man", {"male"}),
    ("female", {"female"}),
    ("male", {"male"}),
    ("in her sixties", {"female"}),
    ("the patient", set()),
]
AGES = [
    ("age 60", {(60, 60)}),
    ("aged about 45", {(45, 45)}),
    ("a 63-year-old", {(63, 63)}),
    ("70 years of age", {(70, 70)}),
    ("55yo", {(55, 55)}),
    ("in his 50s", {(50, 59)}),
    ("in their early forties", {(40, 44)}),
    ("a sixty-year-old", {(60, 60)}),
    ("removed 10 years ago", set()),
    ("an image of 60 pixels", set()),
]
SITES = [
    ("on the back", "trunk"),
    ("posterior torso", "trunk"),
    ("the left forearm", "upper extremity"),
    ("lower leg", "lower extremity"),
    ("on the scalp", "head and neck"),
    ("palms and soles", "palms and soles"),
    ("the sole of the foot", "palms and soles"),
    ("on the hand", "upper extremity"),
    ("genital area", "oral or genital"),
]


@pytest.mark.parametrize(("text", "expected"), LABELS)
def test_labels(text, expected):
    assert mentions(text)["is_malignant"] == expected


@pytest.mark.parametrize(("text", "expected"), TONES)
def test_tones(text, expected):
    assert mentions(text)["tone_group"] == expected


@pytest.mark.parametrize(("text", "expected"), SEXES)
def test_sexes(text, expected):
    assert mentions(text)["sex"] == expected


@pytest.mark.parametrize(("text", "expected"), AGES)
def test_ages(text, expected):
    assert mentions(text)["age_approx"] == expected


@pytest.mark.parametrize(("text", "site"), SITES)
def test_sites(text, site):
    said = mentions(text)
    assert is_recalled("site", said, site)
    assert not is_recalled("site", said, "oral or genital" if site != "oral or genital" else "trunk")


@pytest.mark.parametrize(
    "text", ["not on the back", "the background", "on the other hand", "the surface", "a near edge"]
)
def test_what_only_sounds_like_a_site_is_none(text):
    assert not mentions(text)["site"]


def test_a_second_value_contradicts_even_beside_the_right_one():
    said = mentions("a malignant lesion, although it looks benign, on the back of the hand")
    assert is_recalled("is_malignant", said, True)
    assert is_contradicted("is_malignant", said, True)
    assert is_contradicted("site", said, "head and neck")


def test_ages_agree_within_five_years():
    assert agrees("age_approx", (60, 60), 65.0)
    assert not agrees("age_approx", (60, 60), 66.0)
    assert agrees("age_approx", (60, 69), 72.0)


def test_typographic_dashes_and_quotes_are_read():
    assert mentions("a 63\u2011year\u2011old in his 60\u2019s")["age_approx"] == {(63, 63)}
    assert mentions("in his 60\u2019s")["age_approx"] == {(60, 69)}
