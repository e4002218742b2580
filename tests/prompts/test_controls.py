import pandas as pd
import pytest

from dermdit_kedro.prompts.captioning import CONTROL_COLUMNS
from dermdit_kedro.prompts.controls import CONTROLS, NOISE, OTHER, REPEAT, add_controls, change, score_controls


def requests(n=30) -> pd.DataFrame:
    tones = ["light"] * (n - 4) + ["brown"] * 3 + ["dark"]
    ids = [f"s/{i}" for i in range(n)]
    return pd.DataFrame({"image_id": ids, "tone_group": tones, "file": ids, "sha256": ids, "instruction": ids})


def test_the_sample_is_spread_over_the_tone_groups():
    table = add_controls(requests(), 9, seed=0)
    drawn = table[table["control"] == NOISE]
    assert drawn["tone_group"].value_counts().to_dict() == {"light": 5, "brown": 3, "dark": 1}
    assert len(table) == 30 + 3 * 9


def test_another_image_keeps_facts_and_instruction_and_is_another():
    table = add_controls(requests(), 9, seed=0)
    other = table[table["control"] == OTHER]
    assert (other["file"] != other["image_id"]).all()
    assert (other["file"] == other["sha256"]).all()
    assert (other["instruction"] == other["image_id"]).all()
    assert set(other["file"]) == set(other["image_id"]), "each image of the sample is shown once"


@pytest.mark.parametrize(("n", "size"), [(30, 0), (30, 1), (1, 5)])
def test_a_sample_of_less_than_two_is_none(n, size):
    assert len(add_controls(requests(30).head(n), size, seed=0)) == n


def test_change_counts_words():
    assert change("a red, dark spot", "A dark red spot.") == 0
    assert change("red", "blue") == 1
    assert change("red spot", "blue spot") == pytest.approx(2 / 3)
    assert change("", "") == 0


def controls(repeat, noise, other, n=20) -> pd.DataFrame:
    rows = []
    for i in range(n):
        said = {REPEAT: repeat(i), NOISE: noise(i), OTHER: other(i)}
        rows += [
            {
                "image_id": f"s/{i}",
                "control": c,
                "instruction_sha256": "0",
                "answer": f"red spot w{i}",
                "control_answer": t,
            }
            for c, t in said.items()
        ]
    return pd.DataFrame(rows, columns=list(CONTROL_COLUMNS))


def same(i):
    return f"red spot w{i}"


def test_a_captioner_that_follows_the_image_is_told_from_one_that_does_not():
    looks = score_controls(controls(same, lambda i: "noise", lambda i: f"blue streak w{i + 1}"))
    assert looks["looks_at_image"] == "yes"
    assert looks[REPEAT] == {"n": 20, "unchanged_share": 1.0, "mean_change": 0.0}
    assert looks[NOISE]["mean_change"] == 1
    blind = score_controls(controls(same, same, same))
    assert blind["looks_at_image"] == "no"


def test_a_captioner_that_answers_by_chance_does_not_look():
    def chance(step):
        return lambda i: f"word{(i * step) % 7} word{(i * step) % 5} spot"

    assert score_controls(controls(chance(3), chance(5), chance(11)))["looks_at_image"] == "cannot tell"


def test_one_that_sees_noise_but_tells_no_image_from_another_cannot_be_told():
    assert score_controls(controls(same, lambda i: "noise", same))["looks_at_image"] == "cannot tell"


def test_no_controls_no_judgement():
    assert score_controls(pd.DataFrame(columns=list(CONTROL_COLUMNS))) is None
    only = controls(same, same, same).query("control == @NOISE")
    assert set(score_controls(only)) == {NOISE, "looks_at_image"}
    assert set(CONTROLS) == {REPEAT, NOISE, OTHER}
