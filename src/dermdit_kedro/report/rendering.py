"""From values and figures to one HTML document with everything inside."""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dermdit_kedro.report import cells
from dermdit_kedro.report.summary import NOT_MEASURED
from dermdit_kedro.report.wording import arm_word, readable

STATEMENTS = {
    "phantoms": "Phantoms: these figures say nothing about patients. "
    "The images were drawn by a program to show that everything works.",
    "phantoms and patients": "Phantoms among the images: figures that include them say nothing about patients.",
    "unknown": "It is not known whether these images show patients: the data report names no source.",
}


def render_template(template: str, *, kind: str, charts: Mapping[str, Any], **values: Any) -> str:
    """Fill in a page.

    Args:
        template: Name of a file in `templates/` that extends `page.html.j2`.
        kind: What the images show, as `kind_of_data` says it; phantoms get a banner.
        charts: What `describe_chart` made of each figure, by the name the template calls it.
        **values: What else the template names.

    Returns:
        One HTML document that needs no network; every value is escaped.
    """
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("dermdit_kedro.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(cells, name) for name in ("number", "spread", "rate", "percent", "signed_number")
    }
    environment.filters |= {"readable": readable, "arm_word": arm_word}
    return environment.get_template(template).render(
        statement=STATEMENTS.get(kind), charts=charts, plotly_js=get_plotlyjs(), not_measured=NOT_MEASURED, **values
    )


def describe_chart(figure: Any) -> dict[str, Any]:
    """Return what a page needs of a figure, without the words the page prints itself.

    Args:
        figure: A plotly figure with `title` and `caption` in `layout.meta`.

    Returns:
        `title`, `caption` and `content`, the figure as plain JSON values.
    """
    content = json.loads(figure.to_json())
    meta = content["layout"].pop("meta", None) or {}
    return {"title": meta.get("title", ""), "caption": meta.get("caption", ""), "content": content}
