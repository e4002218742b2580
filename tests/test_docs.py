"""The documents: links lead somewhere, commands name what is there, the site builds offline."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data/README.md"])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
RUN = re.compile(r"uv run (?:--\S+ \S+ )?(kedro|pytest|python|mlflow|mkdocs|jupyter) ?([^`\n#]*)")


def slug(heading: str) -> str:
    """A heading's anchor, as the pages of a repository and the site name it."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain))


def anchors(page: Path) -> set[str]:
    text = CODE.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def commands() -> list[tuple[str, str, str]]:
    """Every `uv run` of every page: page, program, arguments."""
    found = [
        (page.name, program, " ".join(arguments.split()))
        for page in PAGES
        for program, arguments in RUN.findall(re.sub(r"\n(?=\S[^`\n]*`)", " ", page.read_text()))
    ]
    assert len(found) > 50
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_a_dead_link_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A `b` c\n[x](#a-b-c) [y](#gone) [z](gone.md)\n")
    assert anchors(tmp_path / "a.md") == {"a-b-c"}
    with pytest.raises(AssertionError, match="gone"):
        test_links_lead_somewhere(tmp_path / "a.md")


def test_commands_name_what_is_there() -> None:
    from dermdit_kedro.pipeline_registry import register_pipelines

    pipelines, environments = set(register_pipelines()), {path.name for path in (ROOT / "conf").iterdir()}
    for page, program, arguments in commands():
        said = f"{page}: uv run {program} {arguments}"
        for name in re.findall(r"--pipelines?[= ]([\w,]+)", arguments):
            assert set(name.split(",")) <= pipelines, said
        for name in re.findall(r"--env[= ](\w+)", arguments):
            assert name in environments | {"mine", "X"}, said
        for path in re.findall(r"(?<![\w/])((?:tests|docs|notebooks)/[\w/.-]+\w)", arguments):
            assert (ROOT / path).exists() or path.startswith("docs/images/"), said


def test_parameters_in_commands_are_parameters() -> None:
    files = [*(ROOT / "conf/base").glob("**/parameters.yml")]
    known = {key: value for file in files for key, value in yaml.safe_load(file.read_text()).items()}
    from dermdit_kedro.diffusion.parameters import SamplerConfig
    from dermdit_kedro.launch_config import LaunchConfig

    known["sampler"] = SamplerConfig.model_fields
    known["launch"] = LaunchConfig.model_fields
    asked = [
        (page, key)
        for page, program, arguments in commands()
        if program == "kedro"
        for values in re.findall(r"--params[= ]\"?([^\s\"]+)", arguments)
        for key in re.findall(r"([\w.]+)=", values)
    ]
    assert len(asked) > 5
    for page, key in asked:
        block, _, name = key.partition(".")
        assert block in known, (page, key)
        assert not name or "." in name or name in known[block], (page, key)


def test_the_reproduction_page_names_nodes() -> None:
    from dermdit_kedro.pipeline_registry import register_pipelines

    graphs = register_pipelines()
    nodes = {node.name.rpartition(".")[2] for name in ("tables", "__default__") for node in graphs[name].nodes}
    rows = (ROOT / "docs/reproduction.md").read_text().splitlines()
    cells = [row.split("|")[2] for row in rows if row.startswith("|")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert len(named) >= 8
    assert named <= nodes


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {
        re.match(r"[\w-]+", line)[0]
        for line in (*project["project"]["dependencies"], *project["dependency-groups"]["dev"])
    }
    listed = set(re.findall(r"[\w-]+", (ROOT / "docs/dependencies.md").read_text()))
    assert names <= listed, names - listed


def test_the_site_builds_and_asks_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "site/index.html").read_text()
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://[^\"]+", page) == []
    named = yaml.safe_load(re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text()))["nav"]
    pages = set(re.findall(r"[\w/-]+\.md", str(named)))
    assert pages == {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
