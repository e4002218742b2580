from tests.report.conftest import prompt_audit

from dermdit_kedro.report.prompt_figure import prompt_audit_figure


def test_answers_are_hollow_and_prompts_full():
    figure = prompt_audit_figure(prompt_audit())
    symbols = {trace.marker.symbol for trace in figure.data}
    assert symbols == {"circle", "circle-open"}
    named = next(t for t in figure.data if t.marker.symbol == "circle-open" and t.xaxis == "x")
    assert list(named.x) == [1.0, 1.0, 0.9]
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4


def test_what_is_unknown_is_not_drawn():
    figure = prompt_audit_figure(prompt_audit())
    contradicted = next(t for t in figure.data if t.xaxis == "x2")
    assert len(contradicted.x) == 4


def test_the_caption_tells_what_was_repaired_and_whether_the_words_follow_the_image():
    caption = prompt_audit_figure(prompt_audit()).layout.meta["caption"]
    assert "20 were mended by asking again, 6 replaced by the template" in caption
    assert caption.endswith("Do the words follow the image? Yes.")


def test_a_template_has_no_answers_of_its_own():
    audit = {**prompt_audit(), "answers": None, "controls": None}
    audit["by_tone_group"] = {tone: {**group, "answers": None} for tone, group in audit["by_tone_group"].items()}
    figure = prompt_audit_figure(audit)
    assert {trace.marker.symbol for trace in figure.data} == {"circle"}
    assert "Hollow" not in figure.layout.meta["caption"]
