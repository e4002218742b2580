"""Which rule treats a command of the documents: each by exactly one, or the suite says what its writer can do.

A rule is a way of treating commands that `test_commands.py` (or the test that `says` names) carries out. What cannot be
run here for want of a GPU, a hub, an archive or a network says so where it is written, in words of `NEEDS`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.documents.pages import Command

SERVERS = ("kedro viz", "kedro viz run", "kedro mlflow ui", "mlflow ui", "mlflow server", "mkdocs serve")
CHECKERS = ("ruff", "lint-imports", "mypy", "pydoclint", "pre-commit")
SHELL = (
    *("mkdir", "cd", "export", "ls", "cat", "cp", "mv", "rm", "ln", "echo", "head", "tail", "du", "test", "unzip"),
    *("open", "xdg-open"),
)
FIVE_GENERATORS = ("table1", "tables")


@dataclass(frozen=True)
class Rule:
    """A way to treat commands: which they are, and what is done with them."""

    name: str
    says: str
    matches: Callable[[Command], bool]


def _begins(*programs: str) -> Callable[[Command], bool]:
    return lambda command: command.words[0] in programs


def _is_server(command: Command) -> bool:
    words = " ".join(command.words)
    return any(f"{words} ".startswith(f"{server} ") for server in SERVERS) and not words.startswith("kedro viz build")


def _runs(command: Command) -> bool:
    return command.words[:2] == ["kedro", "run"]


def _is_ours(command: Command) -> bool:
    return command.words[1:2] in (["run"], ["plan"], ["package"])


def _is_whole(command: Command) -> bool:
    return _runs(command) and command.words[2:] in ([], ["--env", "test"])


def _is_paper(command: Command) -> bool:
    return _runs(command) and command.option("--env", "-e") == "paper"


def _is_long(command: Command) -> bool:
    return _runs(command) and not _is_paper(command) and command.option("--pipeline", "-p") in FIVE_GENERATORS


def _is_module(command: Command) -> bool:
    return command.words[:2] == ["python", "-m"]


RULES = (
    Rule("install", "`.ci/run` does it, or a stand-in is named in `stand_ins.PACKAGES`",
         lambda command: command.words[:2] in (["pip", "install"], ["uv", "sync"], ["uv", "pip"])
         and not command.words[-1].endswith(".whl")),
    Rule("clone", "this repository: not run", lambda command: command.words[:2] == ["git", "clone"]),
    Rule("make", "the target is there, and each of its commands is treated by one of these rules", _begins("make")),
    Rule("check", "`.ci/run` runs the program", _begins(*CHECKERS)),
    Rule("ci", "it is what runs this", lambda command: command.words == ["bash", ".ci/run"]),
    Rule("tests", "pytest collects tests by these options; `make test` and `make slow` run them", _begins("pytest")),
    Rule("whole run", "run for every test of a finished project (`finished_once` in tests/conftest.py)", _is_whole),
    Rule("paper", "run by a slow test with archives, hub and weights at toy size (tests/test_paper.py)", _is_paper),
    Rule("five generators", "run by a slow test (`-m slow tests/documents`)", _is_long),
    Rule("run", "run in a finished project of toy size, numbers turned down to `stand_ins.DIALS`",
         lambda command: _runs(command) and not (_is_whole(command) or _is_paper(command) or _is_long(command))),
    Rule("plan", "run in a finished project: it computes nothing",
         lambda command: command.words[:2] == ["kedro", "plan"]),
    Rule("options", "checked: options of `kedro run`, and parameters by name, type and combination",
         lambda command: command.words[0].startswith("--")),
    Rule("batch script", "run by bash, with stand-ins for Slurm; `kedro plan` reads the options of its `kedro run`",
         lambda command: command.text.startswith("#!")),
    Rule("package", "run by tests/test_package.py",
         lambda command: command.words[:2] == ["kedro", "package"] or command.words[0] == "dermdit-kedro"
         or command.words[-1].endswith(".whl")),
    Rule("lock", "not run: it asks the registry for what is new; the file it writes is there and tested",
         lambda command: command.words[:2] == ["uv", "export"]),
    Rule("server", "started in a finished project until it answers", _is_server),
    Rule("kedro", "run in a finished project",
         lambda command: command.words[0] == "kedro" and not (_is_ours(command) or _is_server(command))),
    Rule("site", "built by tests/test_docs.py", lambda command: command.words[:2] == ["mkdocs", "build"]),
    Rule("notebook", "run from top to bottom by tests/test_smoke.py", _begins("jupyter")),
    Rule("joining", "started until it waits for jobs, then ended",
         lambda command: _is_module(command) and command.words[2] == "dermdit_kedro.joining"),
    Rule("script", "run in a finished project, or its options are checked (`stand_ins.SCRIPTS`)",
         lambda command: command.words[0] == "python" and command.words[1].endswith(".py")),
    Rule("archive client", "a stand-in writes what its export looks like, and the layout reads it", _begins("isic")),
    Rule("shell", "run by bash in a finished project; `open` has to find its file", _begins(*SHELL)),
)  # fmt: skip

LANGUAGES = {
    **dict.fromkeys(("bash", "sh", "shell", "console"), "bash: command by command, by the rules below"),
    "python": "run as it is in a finished project",
    "yaml": "loaded from the file that the text names, checked, and its sources read",
    "toml": "parsed, and Kedro's table in it is this project's",
    "text": "shown, not run",
}

NEEDS = (
    (r"kedro run .*--env paper", r"needs? .*\bGPU\b.*\bhub\b.*\barchives?\b"),
    (r"^isic |^pip install isic-cli", r"needs a network"),
    (r"localhost:11434", r"model|server"),
)
"""Commands, and what has to be said beside them: in their comment, or in the paragraph above or around them."""


def rules_of(command: Command) -> list[Rule]:
    """Every rule that a command falls under; one, if all is well."""
    return [rule for rule in RULES if command.words and rule.matches(command)]


def complaint(command: Command) -> str:
    """What to tell whoever wrote a command that not exactly one rule treats, or that lacks its warning; else ''."""
    found = rules_of(command)
    if len(found) > 1:
        return f"{command.place}: `{command.text}` is treated by several rules: {', '.join(r.name for r in found)}"
    if not found:
        ways = "\n".join(f"  {rule.name}: {rule.says}" for rule in RULES)
        return (
            f"{command.place}: no rule runs `{command.text}`. Write a command of the project's, or add to "
            f"tests/documents/rules.py a rule and to test_commands.py its test. Rules there are:\n{ways}"
        )
    for pattern, words in NEEDS:
        if re.search(pattern, command.text) and not re.search(words, command.remark) and not _is_makefile(command):
            return (
                f"{command.place}: `{command.text}` must say what it needs, in a comment or in its paragraph; "
                f"expected to find /{words}/"
            )
    return ""


def _is_makefile(command: Command) -> bool:
    return command.place.startswith("Makefile")
