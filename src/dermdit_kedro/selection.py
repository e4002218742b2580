"""What a person may name on the command line, in full or by its last part, and what to say of what is not there."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from kedro.pipeline import Pipeline

from dermdit_kedro.errors import UserError

_KINDS = {
    "tags": "tag", "namespaces": "namespace", "node_names": "node", "from_nodes": "node", "to_nodes": "node"
}  # fmt: skip


def resolve_selection(options: Mapping[str, Any], pipelines: Mapping[str, Pipeline]) -> dict[str, Any]:
    """Put full names in the place of short ones: `dermdit` is every namespace that ends so, a node's likewise.

    Args:
        options: Of the command line: `pipeline`, `pipelines`, `tags`, `namespaces`, `node_names`, `from_nodes` and
            `to_nodes` are read.
        pipelines: The registered pipelines.

    Returns:
        The options.

    Raises:
        UserError: If the pipelines asked for have no such tag, namespace or node; names what there is.
    """
    asked = [*([options["pipeline"]] if options.get("pipeline") else []), *(options.get("pipelines") or ())]
    asked = asked or ["__default__"]
    if any(name not in pipelines for name in asked):
        return dict(options)  # Kedro says so, and which there are
    resolved = dict(options)
    for option, kind in _KINDS.items():
        if not options.get(option):
            continue
        known = {name: _named(pipeline, kind) for name, pipeline in pipelines.items()}
        here = set().union(*(known[name] for name in asked))
        found = {name: _matches(name, here) for name in options[option]}
        for name, full in found.items():
            if not full:
                raise UserError(_unknown(name, kind, asked, here, known))
        resolved[option] = list(dict.fromkeys(name for full in found.values() for name in full))
    return resolved


def _named(pipeline: Pipeline, kind: str) -> set[str]:
    if kind == "tag":
        return set().union(*(node.tags for node in pipeline.nodes))
    if kind == "namespace":
        return {prefix for node in pipeline.nodes for prefix in node.namespace_prefixes}
    return {node.name for node in pipeline.nodes}


def _matches(name: str, known: set[str]) -> list[str]:
    """Return the name itself where it is known, else every known name that ends in it."""
    return [name] if name in known else sorted(full for full in known if full.endswith(f".{name}"))


def _unknown(name: str, kind: str, asked: Sequence[str], here: set[str], known: Mapping[str, set[str]]) -> str:
    where = "the default pipeline" if list(asked) == ["__default__"] else f"--pipelines {','.join(asked)}"
    others = [other for other, names in known.items() if _matches(name, names)]
    if others:
        return f"{where} has no {kind} {name!r}; `--pipelines {others[0]}` has"
    short = sorted({part for full in here for part in (full, full.rpartition(".")[2])})
    close = get_close_matches(name, short, n=1)
    shown = sorted({full.rpartition(".")[2] for full in here})
    listed = f"did you mean {close[0]}?" if close else f"there are {', '.join(shown) or 'none'}"
    return f"{where} has no {kind} {name!r}; {listed}"
