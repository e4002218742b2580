"""The commands of the documents, carried out: each by its rule, in a finished project of toy size."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from tests.browser import serving
from tests.conftest import ROOT
from tests.documents.pages import PAGES, Block, Command, blocks, distinct, everything, recipe
from tests.documents.rules import FIVE_GENERATORS, rules_of
from tests.documents.settings import lay_out_mine, mine_of
from tests.documents.stand_ins import PACKAGES, SCRIPTS, SERVER, kedro_run, settle, shrink, turned_down, type_in
from tests.prompts.captioning_server import CaptioningServer
from tests.test_conf import loader
from tests.views import QUIET

pytestmark = pytest.mark.timeout(900)
COLLECT = """
import json, shlex, sys, tomllib, pytest
settings = tomllib.loads(open("pyproject.toml").read())["tool"]["pytest"]["ini_options"]["addopts"]
# jaxtyping's plugin takes one collection in a process and no more
settings = shlex.join(word for word in settings if "jaxtyping" not in word)
for words in json.load(sys.stdin):
    status = pytest.main([*words, "--collect-only", "-q", "-p", "no:cacheprovider", "-o", f"addopts={settings}"])
    print("collected", int(status), flush=True)
"""
CI = (ROOT / ".ci/run").read_text()


def of(name: str) -> list[Command]:
    """The different commands that a rule treats."""
    return [command for command in distinct(everything()) if [rule.name for rule in rules_of(command)] == [name]]


def each(name: str) -> pytest.MarkDecorator:
    """Parametrise a test over the commands of a rule; there may be none."""
    return pytest.mark.parametrize("command", of(name), ids=lambda command: f"{command.place}: {command.key}")


@pytest.fixture(scope="module")
def settled(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project, as `kedro run` leaves one, with what is needed to go on by the documents."""
    return settle(finished_once, tmp_path_factory.mktemp("documents") / "dermdit_kedro")


@pytest.fixture
def here(settled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The finished project, as working directory and as the Kedro project of this process."""
    from kedro.framework.startup import bootstrap_project

    monkeypatch.chdir(settled)
    monkeypatch.setenv("KEDRO_ENV", "test")
    bootstrap_project(settled)
    terminate = signal.getsignal(signal.SIGTERM)
    yield settled
    signal.signal(signal.SIGTERM, terminate)


@each("install")
def test_what_is_installed_is_known(command: Command) -> None:
    named = (word for word in command.words[1:] if word not in ("pip", "install", "sync") and not word.startswith("--"))
    for package in named:
        assert package in PACKAGES, f"{command.place}: name what stands for {package} in stand_ins.PACKAGES"
    assert "pip install --quiet uv\n" in CI
    assert "uv sync" in CI


@each("make")
def test_targets_are_there(command: Command) -> None:
    for target in command.words[1:]:
        assert recipe(target), f"{command.place}: the Makefile has no {target}"
    type_in(ROOT, f"{command.text} --dry-run")


@each("check")
def test_ci_checks(command: Command) -> None:
    if command.words[0] == "pre-commit":
        type_in(ROOT, "pre-commit validate-config")
    else:
        assert f"uv run --no-sync {command.words[0]}" in CI


def test_there_are_tests_by_these_options() -> None:
    """Of the whole suite, where a command names no file, one file is collected: it has tests of both kinds."""
    wanted = of("tests")
    given = [command.words[1:] for command in wanted]
    given = [
        words if any((ROOT / word).exists() for word in words) else [*words, "tests/test_smoke.py"] for words in given
    ]
    outside = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], cwd=ROOT, input=json.dumps(given),
        capture_output=True, text=True, check=False, env=outside,
    )  # fmt: skip
    statuses = re.findall(r"^collected (\d)$", done.stdout, re.MULTILINE)
    assert len(statuses) == len(wanted), (done.stdout + done.stderr)[-3000:]
    odd = [(c.place, c.text) for c, status in zip(wanted, statuses, strict=True) if status != "0"]
    assert odd == [], f"no test is collected by these:\n{(done.stdout + done.stderr)[-3000:]}"


@cache
def told_by(folder: Path, script: str) -> str:
    """What a script says of its options."""
    return type_in(folder, f"python {script} --help")


@each("script")
def test_scripts(settled: Path, command: Command) -> None:
    script, *given = command.words[1:]
    assert (ROOT / script).is_file(), f"{command.place}: {script} is not there"
    assert script in SCRIPTS, f"{command.place}: say in stand_ins.SCRIPTS whether {script} is run"
    if SCRIPTS[script] == "options":
        known = told_by(settled, script)
        assert [word for word in given if word.startswith("--") and f" {word} " not in f"{known} "] == []
        return
    made = [place for place in given if place.startswith("docs/images/")]
    read = [place if (settled / place).exists() else "data" for place in given if place not in made]
    if script.endswith("skin_tone_figures.py"):
        few = (settled / script).read_text().replace("show_phantoms(720, side)", "show_phantoms(12, side)")
        assert "(12, side)" in few
        (settled / script).write_text(few)
    before = time.time()
    type_in(settled, shlex.join(["python", script, *read, *made]))
    assert [place for place in made if (settled / place).stat().st_mtime < before] == []


@each("run")
def test_runs(here: Path, command: Command) -> None:
    env = command.option("--env", "-e")
    data = here / "data" / env if env else here / "data"
    if env == "mine":
        lay_out_mine(here, *mine_of(command.section))
        shrink(here, "mine")
    options = ("--env", env) if env else ()
    if command.option("--pipeline", "-p") and not (data / "03_primary/manifest.parquet").exists():
        kedro_run(*options, "--pipeline", "data_engineering")
    with CaptioningServer() as server:
        server.says = "Say {facts}. Then describe the {view} in {words} words."
        kedro_run(*turned_down(command, here, server.url))
        assert (SERVER in command.text) == bool(server.asked)
    if env == "mine":
        catalog = yaml.safe_load((here / "conf/mine/catalog.yml").read_text())
        manifest = pd.read_parquet(data / "03_primary/manifest.parquet")
        assert set(manifest["source"]) == set(catalog["sources"]["sources"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@each("five generators")
def test_runs_of_five_generators(here: Path, command: Command) -> None:
    assert command.option("--pipeline", "-p") in FIVE_GENERATORS
    kedro_run(*turned_down(command, here, SERVER))
    assert (here / "data/08_reporting/table1.csv").is_file()


@each("paper")
def test_a_slow_test_runs_the_paper(command: Command) -> None:
    test = (ROOT / "tests/test_paper.py").read_text()
    assert "def test_the_paper_at_toy_size" in test
    assert '"--env", "paper", "--pipeline", pipeline' in test
    runs = re.findall(r'"(\w+)"', re.search(r"for pipeline in \((.*)\):", test)[1])
    assert command.words[2:] in [["--env", "paper", "--pipeline", name] for name in runs], (
        f"{command.place}: tests/test_paper.py runs {runs} of `--env paper` only"
    )


@each("plan")
def test_plans(here: Path, command: Command) -> None:
    kedro_run(*command.words[2:], command="plan")


@each("batch script")
def test_batch_scripts(settled: Path, command: Command) -> None:
    lay_out_mine(settled, *mine_of(command.section))
    shrink(settled, "mine")
    said = type_in(settled, command.text, SLURM_JOB_NODELIST="localhost", SLURM_CPUS_PER_TASK="1")
    assert "train_denoiser" in said


@each("package")
def test_the_package_is_tested(command: Command) -> None:
    test = (ROOT / "tests/test_package.py").read_text()
    for word in ("package", "wheel", "dermdit-kedro"):
        assert word in test


@each("lock")
def test_the_lock_is_there(command: Command) -> None:
    assert (ROOT / command.words[-1]).is_file()


@each("options")
def test_options(here: Path, command: Command) -> None:
    from kedro.framework.project import pipelines

    from dermdit_kedro.checks import refuse_parameters
    from dermdit_kedro.cli import run
    from dermdit_kedro.combinations import refuse_combinations

    given = run.make_context("run", [re.sub(r"=<[^>]*>", "=127.0.0.1", word) for word in command.words]).params
    parameters = loader(here, given["env"] or "base", given["params"])["parameters"]
    refuse_parameters(parameters, dict(pipelines))
    refuse_combinations(parameters)


@each("server")
def test_servers(settled: Path, command: Command) -> None:
    words = [word for word in command.words if word != "--no-browser"]
    options = {"mkdocs": {"address": "--dev-addr 127.0.0.1:{port}"}}.get(words[0], {})
    few = {"kedro viz": ["--no-browser"], "mlflow ui": ["--workers", "1"]}.get(" ".join(words[:2]), [])
    with serving(settled, "-m", *words, *few, KEDRO_ENV="test", **QUIET, **options) as url:
        assert urllib.request.urlopen(url, timeout=30).status == 200


@each("kedro")
def test_other_commands_of_kedro(settled: Path, command: Command) -> None:
    type_in(settled, *command.setting, command.text)


@each("notebook")
def test_notebooks_are_run(command: Command) -> None:
    (notebook,) = [word for word in command.words if word.endswith(".ipynb")]
    assert (ROOT / notebook).is_file(), f"{command.place}: {notebook} is not there"
    assert f'"{Path(notebook).stem}"' in re.search(
        r"parametrize\(\"name\", \[(.*)\]\)\ndef test_a_notebook", (ROOT / "tests/test_smoke.py").read_text()
    )[1]  # fmt: skip


@each("joining")
def test_joining_waits_for_jobs(settled: Path, command: Command) -> None:
    log = settled / "joining.log"
    (settled / command.words[3]).mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        words = [sys.executable, "-X", "faulthandler", *command.words[1:]]
        machine = subprocess.Popen(words, cwd=settled, stdout=out, stderr=out)
    try:
        for _ in range(240):
            assert machine.poll() is None, log.read_text()
            if "waits for jobs" in log.read_text():
                break
            time.sleep(0.5)
    finally:
        machine.terminate()
        try:
            machine.wait(120)
        except subprocess.TimeoutExpired:
            machine.send_signal(signal.SIGABRT)  # then it tells where it is
            machine.wait(10)
        finally:
            machine.kill()
    assert machine.returncode == 1, log.read_text()
    assert "no longer at the disposal of others" in log.read_text()


@each("archive client")
def test_what_the_archive_s_client_exports_is_read(settled: Path, command: Command) -> None:
    from dermdit_kedro.dermoscopy.layouts import open_source

    folder = command.words[-1]
    type_in(settled, *command.setting, command.text)
    source = open_source("isic", {"layout": "isic_archive", "role": "train", "path": str(settled / folder)})
    rows = source.records()
    assert len(rows) >= 6
    assert rows["is_malignant"].notna().all()


PAGE = Command("xdg-open data/08_reporting/report.html", "as a page may say")


@pytest.mark.parametrize("command", [PAGE, *of("shell")], ids=lambda command: f"{command.place}: {command.key}")
def test_the_shell(settled: Path, command: Command) -> None:
    type_in(settled, *command.setting, command.text)


def test_what_is_not_there_is_not_opened(settled: Path) -> None:
    with pytest.raises(AssertionError, match="fails"):
        type_in(settled, "open data/08_reporting/gone.html")


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_runs_as_it_is(settled: Path, block: Block) -> None:
    saved = [settled / name for name in re.findall(r"\.save\(\"([^\"]+)\"", block.text)]
    for file in saved:
        file.unlink(missing_ok=True)
    (settled / "block.py").write_text(block.text)
    type_in(settled, "python block.py")
    for file in saved:
        with Image.open(file) as image:
            assert image.size == (32, 32)
            assert len(set(image.convert("L").tobytes())) > 10, "a picture of one colour"
