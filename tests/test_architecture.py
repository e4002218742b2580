"""The house rules that no single module can keep: directions of imports, sizes, words."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dermdit_kedro"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODEL_FILES = {PACKAGE / "diffusion" / "transformer.py"}
HEAVY = {
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "timm",
    "sklearn",
    "skimage",
    "mlflow",
    "plotly",
    "accelerate",
}
FORBIDDEN_NAMES = {"utils.py", "common.py", "helpers.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def functions_of(module: Path) -> Iterator[Function]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, Function):
            yield node


def body_lines(function: Function) -> int:
    """Lines of a function's body, its docstring left out."""
    body = function.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def is_light(module: Path) -> bool:
    """Whether a module is imported before anything is computed."""
    place = module.relative_to(PACKAGE)
    return len(place.parts) == 1 or place.parts[0] in {"pipelines", "datasets"} or "parameters" in module.stem


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def test_imports_point_one_way(root: Path) -> None:
    command = shutil.which("lint-imports", path=Path(sys.executable).parent)
    result = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def test_files_are_small() -> None:
    limits = {module: 400 if module in MODEL_FILES else 250 for module in MODULES}
    lengths = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert sorted(f"{name_of(module)}: {n} lines" for module, n in lengths.items() if n > limits[module]) == []


def test_functions_are_small() -> None:
    sizes = ((f"{name_of(module)}:{f.name}", body_lines(f)) for module in MODULES for f in functions_of(module))
    assert sorted(f"{name}: {lines} lines" for name, lines in sizes if lines > 40) == []


def test_everything_public_is_documented() -> None:
    bare = []
    for module in MODULES:
        tree = tree_of(module)
        if tree.body and ast.get_docstring(tree) is None:
            bare.append(name_of(module))
        for node in ast.walk(tree):
            if (
                isinstance(node, Function | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                bare.append(f"{name_of(module)}:{node.lineno} {node.name}")
    nested = {f"{name_of(m)}:{f.lineno} {f.name}" for m in MODULES for f in nested_functions(m)}
    assert sorted(set(bare) - nested) == []


def nested_functions(module: Path) -> Iterator[Function]:
    """Functions inside functions, which nobody outside can call."""
    for outer in functions_of(module):
        for node in ast.walk(outer):
            if isinstance(node, Function) and node is not outer:
                yield node


def test_everything_is_annotated() -> None:
    bare = []
    for module in MODULES:
        for function in functions_of(module):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            missing = [a.arg for a in arguments if a.annotation is None and a.arg not in {"self", "cls"}]
            if missing or function.returns is None:
                bare.append(f"{name_of(module)}:{function.lineno} {function.name}")
    assert sorted(bare) == []


def test_nothing_prints() -> None:
    calls = [
        f"{name_of(module)}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert sorted(calls) == []


def test_no_module_is_a_drawer() -> None:
    assert sorted([name_of(module) for module in MODULES if module.name in FORBIDDEN_NAMES]) == []


@pytest.mark.parametrize("module", [m for m in MODULES if is_light(m)], ids=name_of)
def test_light_modules_import_nothing_heavy_at_the_top(module: Path) -> None:
    top = [node for node in tree_of(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} & HEAVY == set()


def test_the_registry_loads_without_torch_and_mlflow() -> None:
    code = "import sys, dermdit_kedro.pipeline_registry as r; r.register_pipelines(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) & (HEAVY - {"sklearn"}) == set()


def test_no_pickle_is_loaded() -> None:
    unsafe = re.compile(
        r"torch\.load\((?!.*weights_only=True)|allow_pickle=True|import pickle|joblib\.load|read_pickle"
    )
    found = [f"{name_of(m)}: {hit}" for m in MODULES for hit in unsafe.findall(m.read_text(encoding="utf-8"))]
    assert sorted(found) == []
