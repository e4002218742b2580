"""The configuration that docs/guide.md shows, so that what is tested is what users copy."""

import re
from pathlib import Path
from typing import Any

import yaml
from tests.conftest import ROOT
from tests.test_paper import merge

GUIDE = ROOT / "docs" / "guide.md"
BLOCK = re.compile(r"^```yaml\n# (conf/\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shown(heading: str) -> dict[str, str]:
    """Return the files that a section shows, by their path."""
    sections = re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.startswith(f"{heading}\n")]
    return dict(BLOCK.findall(section))


def write_environment(project: Path, *, files: dict[str, str], name: str = "mine", **parameters: Any) -> Path:
    """Write an environment: what the guide shows, at the size of `conf/test`.

    Args:
        project: The project.
        files: What the guide shows.
        name: The environment.
        **parameters: Parameters that make it smaller still.

    Returns:
        Its data folder.
    """
    conf = project / "conf" / name
    conf.mkdir()
    small = merge(yaml.safe_load((ROOT / "conf/test/parameters.yml").read_text()), parameters)
    for path, text in files.items():
        if path.endswith("parameters.yml"):
            small = merge(small, yaml.safe_load(text))
        else:
            (project / path).write_text(text)
    (conf / "parameters.yml").write_text(yaml.safe_dump(small))
    (conf / "globals.yml").write_text(yaml.safe_dump({"paths": {"data": f"${{project_root:}}/data/{name}"}}))
    return project / "data" / name


def run(project: Path, *pipelines: str, env: str = "mine", **arguments: Any) -> None:
    """Run pipelines as `kedro run --env mine` does, in this process."""
    from kedro.framework.session import KedroSession

    for pipeline in pipelines:
        with KedroSession.create(project_path=project, env=env) as session:
            session.run(pipeline_names=[pipeline], **arguments)
