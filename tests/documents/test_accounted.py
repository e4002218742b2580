"""No block and no command of the documents goes unaccounted: one rule treats each (`-s` prints a table)."""

from collections import Counter
from pathlib import Path

from tests.documents.pages import PAGES, Command, blocks, commands, everything
from tests.documents.rules import LANGUAGES, complaint, rules_of


def test_every_block_is_of_a_language_that_is_treated() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    odd = [f"{block.place}: a block of {block.language or 'no language'}" for block in found]
    odd = [said for said, block in zip(odd, found, strict=True) if block.language not in LANGUAGES]
    assert odd == [], f"name one of {', '.join(LANGUAGES)} behind its backticks; `text` is shown and not run"
    counts = Counter(block.language for block in found)
    for language, count in sorted(counts.items()):
        print(f"{count:4} blocks of {language}: {LANGUAGES[language]}")  # noqa: T201


def test_every_command_is_treated_by_one_rule() -> None:
    found = everything()
    assert len(found) > 80
    assert [said for said in map(complaint, found) if said] == []
    counts = Counter(rules_of(command)[0] for command in found)
    for rule, count in counts.most_common():
        print(f"{count:4} {rule.name}: {rule.says}")  # noqa: T201
    print(f"{sum(counts.values()):4} commands, {len({command.key for command in found})} different")  # noqa: T201


def test_a_command_that_no_rule_runs_is_told_its_writer() -> None:
    said = complaint(Command("docker compose up", "docs/new.md:7"))
    assert said.startswith("docs/new.md:7: no rule runs `docker compose up`. ")
    assert "tests/documents/rules.py" in said


def test_what_needs_a_gpu_says_so() -> None:
    paper = "uv run kedro run --env paper --pipeline table1"
    assert "must say what it needs" in complaint(Command(paper, "docs/new.md:7", "the real thing"))
    assert complaint(Command(paper, "docs/new.md:7", "needs a GPU, a hub and the archives")) == ""


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    page.write_text(
        "# A\n\nSay `uv run kedro\nrun --env test`, not `it`.\n\n```bash\n# the first\nmake lint && A=1 uv run "
        "--with x mkdocs serve  # and then\ncd data\n"
        "kedro run \\\n  --params 'a=1,b=[2]'\n```\n\n```text\nmake tea\n```\n"
    )
    found = commands(page)
    assert [command.key for command in found] == [
        "make lint",
        "mkdocs serve",
        "cd data",
        "kedro run --params 'a=1,b=[2]'",
        "kedro run --env test",
    ]
    assert [command.place for command in found] == ["new.md:8"] * 2 + ["new.md:9", "new.md:10", "new.md:3"]
    assert "the first" in found[0].remark
    assert "and then" in found[1].remark
    assert found[3].setting == ("cd data",)
    assert [block.language for block in blocks(page)] == ["bash", "text"]
