"""What the documents tell a reader to type: every fenced block, every command in a line of text, one by one."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md", *sorted(ROOT.glob("docs/**/*.md")))
"""The changelog is left out: it names commands of its day."""

FENCE = re.compile(r"^( *)```([^\s`]*)([^\n`]*)\n(.*?)^\1```[ ]*$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`((?:[^`\n]|\n(?!\s*\n))+)`(?!`)")
TYPED = re.compile(
    r"(?:[A-Z_]+=\S+ )*"
    r"(?:(?:uv|make|bash|pip|python -m) \S|kedro (?:run|plan|viz|catalog|registry|mlflow)\b|--params[ =]\S)"
)
"""How a code span begins that is a command, or options of one, and not a word."""

SHELL = ("bash", "sh", "shell", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, first line, language, contents, and the paragraph and heading above it."""

    page: str
    line: int
    language: str
    info: str
    text: str
    before: str
    heading: str

    @property
    def place(self) -> str:
        """Where it stands, as an editor opens it."""
        return f"{self.page}:{self.line}"

    @property
    def section(self) -> str:
        """Page and heading."""
        return f"{self.page}, {self.heading}"


@dataclass(frozen=True)
class Command:
    """One command: what is typed, where it stands, and what the reader is told beside it."""

    text: str
    place: str
    remark: str = ""
    is_inline: bool = False
    setting: tuple[str, ...] = ()
    """`cd` and `export` of the same block, before it."""
    section: str = ""
    """Page and heading of its block."""

    @cached_property
    def words(self) -> list[str]:
        """Its words as a shell reads them; `uv run` with its options and settings of variables left out."""
        if self.text.startswith("#!"):
            return ["bash", "-c", self.text]
        words = [word for word in shlex.split(self.text.replace("\n", " ; ")) if word != "..."]
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words[:2] != ["uv", "run"]:
            return words
        words = words[2:]
        while words and words[0].startswith("-"):
            words = words[2 if words[0] in ("--with", "--env-file", "--group", "--extra") else 1 :]
        return words

    @property
    def key(self) -> str:
        """The same for the same command, however it is quoted and wherever it stands."""
        return shlex.join(self.words)

    def option(self, *names: str) -> str:
        """The value of an option, or nothing."""
        for place, word in enumerate(self.words):
            name, given, value = word.partition("=")
            if name in names and given:
                return value
            if word in names and place + 1 < len(self.words):
                return self.words[place + 1]
        return ""


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        above = FENCE.sub("", text[: match.start()]).rstrip()
        headings = re.findall(r"^#+ (.+)$", above, re.MULTILINE)
        paragraph = re.split(r"\n\s*\n", above)[-1]
        inner = re.sub(rf"^{match[1]}", "", match[4], flags=re.MULTILINE)
        line = text[: match.start()].count("\n") + 1
        found.append(Block(_name(page), line, match[2], match[3].strip(), inner, paragraph, (headings or [""])[-1]))
    fences = len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE))
    assert fences == 2 * len(found), f"{_name(page)}: a block is not closed, or not fenced by three backticks"
    return found


def commands(page: Path) -> list[Command]:
    """Every command of a page, of its blocks and of its text."""
    found = [command for block in blocks(page) if block.language in SHELL for command in _of_block(block)]
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"))
    for match in SPAN.finditer(text):
        words = " ".join(match[1].split())
        if TYPED.match(words):
            line = text[: match.start()].count("\n") + 1
            sentence = text[: match.start()].split("\n\n")[-1] + text[match.start() :].split("\n\n")[0]
            told = " ".join(sentence.split())
            found += [Command(part, f"{_name(page)}:{line}", told, is_inline=True) for part in words.split(" && ")]
    return found


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


def everything() -> list[Command]:
    """Every command of every page, and those of the targets of the Makefile that pages name."""
    found = [command for page in PAGES for command in commands(page)]
    targets = dict.fromkeys(word for c in found if c.words[:1] == ["make"] for word in c.words[1:])
    return [*found, *(Command(line, f"Makefile, {target}") for target in targets for line in recipe(target))]


def distinct(wanted: list[Command]) -> list[Command]:
    """The commands without repetitions; those in blocks before those in text."""
    ordered = sorted(wanted, key=lambda command: command.is_inline)
    return list({command.key: command for command in reversed(ordered)}.values())[::-1]


def _of_block(block: Block) -> Iterator[Command]:
    """Yield the commands of a block: a line each, or several with `&&` or `;` between; a here-document is one."""
    if "<<" in block.text or block.text.startswith("#!"):
        yield Command(block.text.strip(), block.place, block.before, section=block.section)
        return
    line, remark, setting = block.line, "", ()
    lines = block.text.replace("\\\n", " \x00").splitlines()
    for text in lines:
        line += 1
        here, line = line, line + text.count("\x00")
        words = text.replace("\x00", "").strip().removeprefix("$ ").strip()
        if not words or words.startswith("#"):
            remark = f"{remark} {words}".strip()
            continue
        lexer = shlex.shlex(words, posix=True, punctuation_chars="&;")
        lexer.whitespace_split, lexer.commenters = True, "#"
        comment = words.rpartition(" #")[2] if " #" in words else ""
        for part in _split(list(lexer)):
            said = f"{remark} {comment} {block.before}"
            command = Command(shlex.join(part), f"{block.page}:{here}", said, setting=setting, section=block.section)
            if part[0] in ("cd", "export"):
                setting = (*setting, command.text)
            yield command
        remark = ""


def _split(words: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in ("&&", ";"):
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
