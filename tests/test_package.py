"""The wheel, installed and used where there is no checkout; the release's files agree with one another."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.conftest import copy_project

import dermdit_kedro

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LICENCE = re.compile(r"Apache|0BSD|BSD|MIT-CMU|MIT|BSL|Boost|ISC|Zlib|CC0|Artistic|A?L?GPL|MPL")
ROW = re.compile(r"^\| ([\w-]+) \| (.+) \| (.+) \|$", re.MULTILINE)
pytestmark = pytest.mark.timeout(900)
ANSWERS = ("08_reporting/summary.json", "08_reporting/verdict.json", "08_reporting/data_report.json")


def tracked(folder: str) -> set[str]:
    """The files of a folder that git knows."""
    done = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, with a secret of its user's."""
    folder = copy_project(tmp_path_factory.mktemp("package") / "checkout")
    (folder / "src").rmdir()
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "conf/local").mkdir(exist_ok=True)
    (folder / "conf/mine").mkdir(exist_ok=True)
    for environment in ("local", "mine"):
        (folder / f"conf/{environment}/credentials.yml").write_text("server: {password: secret}\n")
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """The wheel that `kedro package` makes, beside the archive of `conf/`."""
    subprocess.run([sys.executable, "-m", "kedro", "package"], cwd=checkout, check=True)
    return next((checkout / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`dermdit-kedro` in an environment of its own, which sees the packages of this one but not the checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "packages.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    python = str(folder / "bin/python")
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", python, str(wheel)]
    subprocess.run(install, check=True)
    where = "import dermdit_kedro, sys; print(dermdit_kedro.__file__, *sys.path)"
    found = subprocess.run([python, "-c", where], cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    assert Path(found[0]).is_relative_to(own)
    assert str(ROOT / "src") not in found
    return folder / "bin/dermdit-kedro"


def command(folder: Path, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in a folder."""
    away = {"PYTHONPATH", "KEDRO_ENV", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in away} | {"COLUMNS": "200"}
    line = [str(program), *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run(folder: Path, program: Path, *arguments: str) -> str:
    """Run it to its end; a failure shows its end."""
    done = command(folder, program, *arguments)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def test_the_wheel_holds_all_code_and_every_file_of_the_configuration(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name.removeprefix("src/") for name in tracked("src")}
    conf = {f"dermdit_kedro/{name}" for name in tracked("conf")}
    assert code | conf == {name for name in names if name.startswith("dermdit_kedro/")}
    assert not {name for name in names if "/conf/local" in name or "credentials" in name}


def test_the_archive_holds_the_configuration_without_secrets(wheel: Path) -> None:
    with tarfile.open(wheel.parent / "conf-dermdit_kedro.tar.gz") as archive:
        files = {member.name for member in archive if member.isfile()}
        globals_file = archive.extractfile("conf/base/globals.yml")
        assert globals_file is not None
        assert globals_file.read() == (ROOT / "conf/base/globals.yml").read_bytes()
    assert files == {name for name in tracked("conf") if "/local/" not in name}


def test_the_first_two_pipelines_run_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    said = run(tmp_path, program, "--env", "test", "--pipelines", "data_engineering,prompting")
    assert "node 1 of" in said
    data = tmp_path / "data" / "test"
    assert (data / "03_primary/manifest.parquet").is_file()
    assert (data / "04_feature/text_embeddings/five_attributes/_complete.json").is_file()
    assert (tmp_path / "mlflow.db").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "mlflow.db", "mlartifacts"}


def test_messages_name_the_command_that_works_there(program: Path, tmp_path: Path) -> None:
    done = command(tmp_path, program, "--pipeline", "prompting")
    assert done.returncode == 1
    assert "run `dermdit-kedro --pipeline data_engineering` first" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in command(tmp_path, program, "--verbose", "--pipeline", "prompting").stderr
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_of_ones_own_is_taken(program: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "conf-dermdit_kedro.tar.gz", "w:gz") as archive:
        archive.add(ROOT / "conf", "conf")
    given = ("--conf-source", "conf-dermdit_kedro.tar.gz")
    refused = command(tmp_path, program, *given, "--pipeline", "refine_instructions")
    assert "Have a folder of your own" in refused.stderr
    with tarfile.open(tmp_path / "conf-dermdit_kedro.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "conf/base/parameters.yml").open("a").write("seeed: 3\n")
    assert "seeed is not a parameter; did you mean seed?" in command(tmp_path, program).stderr
    for conf in (given, ("--conf-source", "conf")):
        done = command(tmp_path, program, *conf, "--env", "test", "--to-nodes", "read_sources")
        is_refused = conf[1] == "conf"
        assert ("seeed" in done.stderr, done.returncode) == (is_refused, int(is_refused)), done.stderr[-3000:]
    assert (tmp_path / "data/test/02_intermediate/records.parquet").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_everything_runs_there_as_in_a_checkout(program: Path, tmp_path: Path) -> None:
    from tests.test_smoke import close
    from tests.test_smoke import run as run_in_checkout

    checkout, empty = copy_project(tmp_path / "checkout"), tmp_path / "empty"
    empty.mkdir()
    run_in_checkout(checkout)
    run(empty, program, "--env", "test")
    for answer in ANSWERS:
        one, other = (json.loads((folder / "data/test" / answer).read_text()) for folder in (checkout, empty))
        if "run" in one:  # id and time are the run's own
            assert one.pop("run")["configuration"] == other.pop("run")["configuration"]
        assert close(one, other, bound=1e-6), answer


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_base_runs_to_the_end_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    lock = ["--constraint", str(ROOT / "requirements.lock")]
    subprocess.run(["uv", "venv", "--quiet", "--python", "3.11", str(tmp_path / "venv")], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *lock, str(wheel)], check=True)
    (tmp_path / "empty").mkdir()
    run(tmp_path / "empty", tmp_path / "venv/bin/dermdit-kedro")
    assert json.loads((tmp_path / "empty/data/08_reporting/summary.json").read_text())["data"]["kind"] == "phantoms"


def test_the_version_is_one() -> None:
    version = PROJECT["project"]["version"]
    assert dermdit_kedro.__version__ == version == metadata("dermdit-kedro")["Version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version


def test_only_the_tested_python_is_declared() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.12"
    declared = [one for one in PROJECT["project"].get("classifiers", []) if "Python ::" in one]
    assert declared == ["Programming Language :: Python :: 3.11"]
    assert sys.version_info[:2] == (3, 11)


def test_the_lock_is_of_these_dependencies_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?:|--index|--find-links|@ ", text)
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", text, re.MULTILINE))
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for requirement in map(Requirement, asked):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, requirement
        assert requirement.specifier.contains(version), requirement


def licences(package: str) -> set[str]:
    """The licences that an installed package says it is under, by their first word."""
    about = metadata(package)
    classifiers = [one for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    said = about.get("License-Expression") or " ".join(classifiers) or (about.get("License") or "").partition("\n")[0]
    return set(LICENCE.findall(said))


def test_every_dependency_is_listed_with_the_licence_it_states() -> None:
    listed = {name: set(LICENCE.findall(licence)) for name, _, licence in ROW.findall(
        (ROOT / "docs/dependencies.md").read_text()
    ) if name != "package"}  # fmt: skip
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert set(listed) == {Requirement(line).name for line in asked}
    stated = {name: licences(name) for name in listed}
    assert {name: (listed[name], stated[name]) for name in listed if listed[name] != stated[name]} == {}
    assert sum(1 for found in stated.values() if not found) == 2  # the two packages of weights state none


def test_no_locked_package_binds_what_is_built_on_it() -> None:
    """Neither GPL nor AGPL; a library under MPL or LGPL is used as it is."""
    bound = []
    for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        try:
            found = licences(name)
        except PackageNotFoundError:
            continue  # of another system than this one
        bound += (
            [name]
            if found & {"GPL", "AGPL"} and not found & {"MIT", "BSD", "Apache", "Artistic", "LGPL", "MPL"}
            else []
        )
    assert bound == []
