"""What is refused before the first node runs: unknown parameters, wrong values, missing inputs."""

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, TypeAdapter, ValidationError

from dermdit_kedro.errors import UserError

_PREFIX = "params:"


def parameter_types(pipelines: Mapping[str, Pipeline]) -> dict[str, list[Any]]:
    """Collect the types that the nodes ask of every parameter they read.

    Args:
        pipelines: The registered pipelines.

    Returns:
        Dotted parameter name -> the annotations of the arguments that take it.
    """
    types: dict[str, list[Any]] = {}
    for node in _nodes(pipelines):
        for _, dataset, annotation in annotated_inputs(node):
            if dataset.startswith(_PREFIX):
                known = types.setdefault(dataset.removeprefix(_PREFIX), [])
                known += [] if annotation is Any or annotation in known else [annotation]
    return types


def refuse_parameters(parameters: Mapping[str, Any], pipelines: Mapping[str, Pipeline]) -> None:
    """Refuse a parameter that no node reads, and a value that its type refuses.

    All registered pipelines count, not only those being run: a misspelt key is misspelt everywhere.

    Args:
        parameters: The parameters of the environment, with those of the command line.
        pipelines: The registered pipelines.

    Raises:
        UserError: With one line a fault: the key, the value and the rule.
    """
    types = parameter_types(pipelines)
    known = set(types) | {f"{key}.{field}" for key, kinds in types.items() for kind in kinds for field in _fields(kind)}
    faults = [_unknown(key, known) for key in _unread(parameters, set(types))]
    for key, kinds in types.items():
        present, value = select(parameters, key)
        for kind in kinds if present else ():
            faults += _faults(key, value, kind, known)
    if faults:
        raise UserError("\n".join(sorted(set(faults))))


def refuse_missing_inputs(
    pipeline: Pipeline,
    pipelines: Mapping[str, Pipeline],
    catalog: DataCatalog,
    *,
    env: str | None = None,
    only_missing_outputs: bool = False,
) -> None:
    """Refuse to run a pipeline whose inputs another pipeline has yet to make.

    Args:
        pipeline: What is about to run.
        pipelines: The registered pipelines.
        catalog: Where the inputs lie.
        env: The environment, as the user named it; it enters the command that is proposed.
        only_missing_outputs: Whether nodes with finished outputs are left out.

    Raises:
        UserError: With the missing inputs and the pipeline that makes them.
    """
    needed = pipeline.inputs()
    if only_missing_outputs:
        waiting = [node for node in pipeline.nodes if not all(catalog.exists(name) for name in node.outputs)]
        needed &= {name for node in waiting for name in node.inputs}
    missing: dict[str, list[str]] = {}
    for name in sorted(needed):
        maker = _maker(name, pipelines)
        if maker is not None and not catalog.exists(name):
            missing.setdefault(maker, []).append(name)
    if missing:
        raise UserError("\n".join(_missing(name, missing[name], env) for name in pipelines if name in missing))


def refuse_given_outputs(pipeline: Pipeline, catalog: DataCatalog, *, env: str | None = None) -> None:
    """Refuse to make anew what the catalog says is the user's own, before anything is trained for it.

    Args:
        pipeline: What is about to run.
        catalog: Where its outputs go.
        env: The environment, as the user named it.

    Raises:
        UserError: Naming the entries and the pipelines to run instead.
    """
    given = [name for name in sorted(pipeline.all_outputs()) if getattr(catalog.get(name), "is_given", False)]
    if given:
        command = f"kedro run{f' --env {env}' if env else ''} --pipeline"
        raise UserError(
            f"{', '.join(f'`{name}`' for name in given)}: given in the catalog, and not made anew. Run the other "
            f"pipelines one by one: `{command} data_engineering`, prompting, synthesis, fairness_evaluation"
        )


def refuse_unknown_test_sets(parameters: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
    """Refuse a label for a test set that there is not, before anything is trained for it.

    Args:
        parameters: All parameters.
        sources: The sources by name, each with its role.

    Raises:
        UserError: Naming it and the test sets there are.
    """
    wanted = (parameters.get("evaluation") or {}).get("label_names") or {}
    known = ["held_out", *(name for name, source in sources.items() if source.role == "test")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(
            f"evaluation.label_names must name test sets of `sources`, {', '.join(known)}. Got {', '.join(unknown)}"
        )


def _nodes(pipelines: Mapping[str, Pipeline]) -> list[Node]:
    """Return every node of every pipeline once."""
    return list({node.name: node for pipeline in pipelines.values() for node in pipeline.nodes}.values())


def annotated_inputs(node: Node) -> Iterator[tuple[str, str, Any]]:
    """Yield what a node reads, however it was declared.

    Args:
        node: The node.

    Yields:
        Argument, data set and annotation; of a variable number of arguments the data set stands for the argument too.
    """
    declared = node._inputs
    arguments = list(inspect.signature(node.func).parameters.values())
    hints = get_type_hints(node.func)
    if isinstance(declared, Mapping):
        for argument, dataset in declared.items():
            yield str(argument), str(dataset), hints.get(str(argument), Any)
        return
    datasets = [declared] if isinstance(declared, str) else list(declared or [])
    for position, dataset in enumerate(datasets):
        is_named = position < len(arguments) and arguments[position].kind is not inspect.Parameter.VAR_POSITIONAL
        name = arguments[position].name if is_named else str(dataset)
        yield name, str(dataset), hints.get(name, Any) if is_named else Any


def _fields(kind: Any) -> list[str]:
    """Return the fields of a parameter block, also of one that may be None."""
    classes = [option for option in (kind, *get_args(kind)) if inspect.isclass(option)]
    return [field for option in classes if issubclass(option, BaseModel) for field in option.model_fields]


def _unread(parameters: Mapping[str, Any], read: set[str], above: str = "") -> Iterator[str]:
    """Yield the dotted keys that lead to no parameter any node reads."""
    for name, value in parameters.items():
        key = f"{above}{name}"
        if key in read:
            continue
        if isinstance(value, Mapping) and any(other.startswith(f"{key}.") for other in read):
            yield from _unread(value, read, f"{key}.")
        else:
            yield key


def select(parameters: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Follow a dotted key.

    Args:
        parameters: Nested parameters.
        key: Names with dots between them.

    Returns:
        Whether it is there, and its value.
    """
    value: Any = parameters
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def typed(value: Any, kind: Any) -> Any:
    """Return a value as its type has it, or as it is where its type refuses it: that is said elsewhere."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except (ValidationError, TypeError):
        return value


def _faults(key: str, value: Any, kind: Any, known: set[str]) -> list[str]:
    """Say in one line each what a type refuses in a value."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return [_fault(key, dict(fault), known) for fault in error.errors()]
    return []


def _fault(key: str, fault: Mapping[str, Any], known: set[str]) -> str:
    path = ".".join([key, *(str(part) for part in fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return _unknown(path, known)
    if fault["type"] == "missing":
        return f"{path} has no value: give it in conf/ or with --params"
    return f"{path} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def _unknown(key: str, known: set[str]) -> str:
    """Say that a key is unknown and, where one comes close, which was meant."""
    siblings = {name for name in known if name.rpartition(".")[0] == key.rpartition(".")[0]}
    last = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True)}
    close = get_close_matches(key, siblings, n=1) or get_close_matches(key, known, n=1, cutoff=0.7)
    if not close:
        close = [last[name] for name in get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.8)]
    return f"{key} is not a parameter" + (f"; did you mean {close[0]}?" if close else "")


def _maker(name: str, pipelines: Mapping[str, Pipeline]) -> str | None:
    """Return the smallest registered pipeline that makes a data set, if any does."""
    makers = [key for key, pipeline in pipelines.items() if key != "__default__" and name in pipeline.all_outputs()]
    return min(makers, key=lambda key: len(pipelines[key].nodes), default=None)


def _missing(maker: str, names: list[str], env: str | None) -> str:
    listed = ", ".join(f"`{name}`" for name in names)
    command = f"kedro run{f' --env {env}' if env else ''} --pipeline {maker}"
    return f"{listed} {'is' if len(names) == 1 else 'are'} missing: run `{command}` first"
