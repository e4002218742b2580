"""Progress lines: what, how many of how many, time left."""

import logging

import pytest

from dermdit_kedro.progress import Progress, track


def test_a_line_says_what_how_many_and_the_time_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress("encode latents", 2400, every_s=0)
    progress.advance(640, "loss 0.31")
    (line,) = caplog.messages
    assert line.startswith("encode latents: 640 of 2,400 images, ")
    assert line.endswith(" left (loss 0.31)")


def test_the_last_line_says_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Progress("encode prompts", 3, unit="prompts", every_s=0).advance(3)
    assert caplog.messages == ["encode prompts: 3 of 3 prompts, 0 s in all"]


def test_quick_work_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(track(range(100), "count", 100)) == list(range(100))
    assert caplog.messages == []


def test_lines_are_apart_in_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress("count", 1_000_000, every_s=0.05)
    while len(caplog.messages) < 2:
        progress.advance()
    assert progress.done > 10
    first, second = caplog.records[:2]
    assert second.created - first.created >= 0.045


def test_a_resumed_job_counts_on_but_measures_its_own_pace(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing done yet since the resume means no pace, whatever was done before."""
    caplog.set_level(logging.INFO)
    progress = Progress("train", 1000, unit="steps", done=900, every_s=0)
    progress.advance(0)
    assert caplog.messages == ["train: 900 of 1,000 steps, unknown time left"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (7265, "2 h 1 min")]
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    from dermdit_kedro import progress

    assert progress.duration(seconds) == text
