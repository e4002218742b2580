"""What a person may name on the command line, and what to say of a name that is not there."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from kedro.pipeline import Pipeline

from dermdit_kedro.errors import UserError


def refuse_selection(options: Mapping[str, Any], pipelines: Mapping[str, Pipeline]) -> None:
    """Refuse a tag, namespace or node that the pipelines asked for do not have, and name the pipeline that has it.

    Args:
        options: Of the command line: `pipeline`, `pipelines`, `tags`, `namespaces`, `node_names`.
        pipelines: The registered pipelines.

    Raises:
        UserError: Naming what there is.
    """
    asked = [*([options["pipeline"]] if options.get("pipeline") else []), *(options.get("pipelines") or ())]
    asked = asked or ["__default__"]
    if any(name not in pipelines for name in asked):
        return  # Kedro says so, and which there are
    for option, kind in (("tags", "tag"), ("namespaces", "namespace"), ("node_names", "node")):
        known = {name: _named(pipeline, kind) for name, pipeline in pipelines.items()}
        here = set().union(*(known[name] for name in asked))
        for name in options.get(option) or ():
            if name not in here:
                raise UserError(_unknown(name, kind, asked, here, known))


def _named(pipeline: Pipeline, kind: str) -> set[str]:
    if kind == "tag":
        return set().union(*(node.tags for node in pipeline.nodes))
    if kind == "namespace":
        return {prefix for node in pipeline.nodes for prefix in node.namespace_prefixes}
    return {name for node in pipeline.nodes for name in (node.name, node.short_name)}


def _unknown(name: str, kind: str, asked: Sequence[str], here: set[str], known: Mapping[str, set[str]]) -> str:
    where = "the default pipeline" if list(asked) == ["__default__"] else f"--pipelines {','.join(asked)}"
    others = [other for other, names in known.items() if name in names]
    if others:
        return f"{where} has no {kind} {name!r}; `--pipelines {others[0]}` has"
    close = get_close_matches(name, here, n=1)
    listed = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(here)) or 'none'}"
    return f"{where} has no {kind} {name!r}; {listed}"
