"""What the guide hands out to be copied fits the code."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from dermdit_kedro.launch_config import LaunchConfig

GUIDE = (Path(__file__).parents[1] / "docs/guide.md").read_text()


def block(language: str, containing: str) -> str:
    """The block of code in the guide that holds some words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if containing in text]
    return found


def test_the_batch_script_and_its_parameters_belong_together() -> None:
    script = block("bash", "#SBATCH")
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", script, re.MULTILINE))
    given = yaml.safe_load(block("yaml", "command_prefix"))["launch"]
    (added,) = re.findall(r'--params "launch\.(\w+)=\$first"', script)
    launch = LaunchConfig(**given, **{added: "node-1"})
    assert launch.num_machines == int(asked["nodes"])
    assert launch.num_processes == int(asked["gpus-per-node"])
    assert launch.command_prefix == ("srun", f"--ntasks-per-node={asked['ntasks-per-node']}")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_four_lines_make_a_folder_a_project(tmp_path: Path) -> None:
    from kedro.framework.startup import _get_project_metadata

    (tmp_path / "pyproject.toml").write_text(block("toml", "tool.kedro"))
    ours = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["kedro"]
    made = _get_project_metadata(tmp_path)
    assert (made.package_name, made.source_dir) == (ours["package_name"], tmp_path)
    assert made.kedro_init_version == ours["kedro_init_version"]
