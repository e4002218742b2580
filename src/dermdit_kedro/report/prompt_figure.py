"""The chart of a prompt audit: what is named and what contradicted, by attribute and tone, before and after repair."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dermdit_kedro.report.figures import COLOURS, REAL_COLOUR, finish
from dermdit_kedro.report.wording import readable

_PANELS = (("attribute_recall", "named"), ("contradictions", "contradicted"))
_OFFSET = 0.16


def prompt_audit_figure(audit: Mapping[str, Any]) -> go.Figure:
    """Draw a prompt audit.

    Args:
        audit: Of `prompts.audit.audit_prompts`.

    Returns:
        Two panels, shares named and contradicted, with a row for each attribute and a colour for each tone group;
        hollow marks are the captioner's answers, full ones the prompts after repair.
    """
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.14, subplot_titles=[t for _, t in _PANELS]
    )
    groups = {"all": audit, **audit["by_tone_group"]}
    colours = {"all": REAL_COLOUR, **dict(zip(list(groups)[1:], COLOURS, strict=False))}
    attributes = list(audit["contradictions"])
    for position, (name, group) in enumerate(groups.items()):
        shift = (position - (len(groups) - 1) / 2) * _OFFSET
        for part, symbol in ((group.get("answers"), "circle-open"), (group, "circle")):
            for column, (kind, _) in enumerate(_PANELS, start=1) if part else ():
                points = [(row, value) for row, a in enumerate(attributes) if (value := part[kind].get(a)) is not None]
                figure.add_scatter(
                    x=[value for _, value in points],
                    y=[row + shift for row, _ in points],
                    mode="markers",
                    marker={"symbol": symbol, "color": colours[name], "size": 9, "line": {"width": 1.5}},
                    name=f"{name} (n = {part['n']:,})",
                    legendgroup=name,
                    showlegend=column == 1 and symbol == "circle",
                    hovertemplate="%{x:.3f}",
                    row=1,
                    col=column,
                )
    figure.update_xaxes(range=[-0.04, 1.04], tickformat=".0%", tickvals=[0, 0.5, 1], title_text="of prompts")
    labels = [readable(attribute.removeprefix("is_").removesuffix("_approx")) for attribute in attributes]
    figure.update_yaxes(tickvals=list(range(len(attributes))), ticktext=labels, autorange="reversed", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    finish(figure, "Do the prompts say what they were told?", _caption(audit), 160 + 62 * len(attributes))
    return figure.update_layout(legend={"y": 1.08}, margin={"t": 84})


def _caption(audit: Mapping[str, Any]) -> str:
    text = (
        f"Of {audit['n']:,} prompts {audit['names_all_share']:.1%} name every attribute that is known of their image, "
        f"{audit['contradicting_share']:.1%} contradict one, {audit['truncated_share']:.1%} are longer than the text "
        "encoder reads."
    )
    repairs, answers, controls = audit["repairs"], audit.get("answers"), audit.get("controls")
    if answers:
        text += (
            f" Hollow marks: the answers as they came, {answers['names_all_share']:.1%} of them with every attribute, "
            f"{answers['contradicting_share']:.1%} with a contradiction; {repairs['retry']:,} were mended by asking "
            f"again, {repairs['template']:,} replaced by the template."
        )
    if controls:
        text += f" Do the words follow the image? {controls['looks_at_image'].capitalize()}."
    return text
