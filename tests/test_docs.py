"""The docs: their commands have flags and keys that exist, their links lead somewhere."""

import ast
import itertools
import re
import runpy
import shlex
from pathlib import Path

import pytest

from adeada_jax import invocation
from adeada_jax.config import paper_defaults

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Of absl itself, and of Python packages' programs.
ALWAYS = {"help", "helpfull"}
# Configurations that the reader writes.
OWN = {"FILE", "my", "photos"}


def commands(text):
    """The commands, as words, that start a program of ours, in a page's code blocks and spans."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`((?:python (?:scripts|benchmarks)/|adeada )[^`]*)`", text.replace("\n", " "))
    for line in [*"\n".join(blocks).replace("\\\n", " ").splitlines(), *spans]:
        yield from programs_in(re.sub(r"\s#.*", "", line))


def programs_in(line):
    """The commands of a shell's line that start a program of ours, also within a quoted command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    for i, word in enumerate(words):
        if " " in word and re.search(r"python (scripts|benchmarks)/", word):
            yield from programs_in(word)
        ours = re.search(r"(^|/)(scripts|benchmarks)/\w+\.py$", word) and "python" in words[i - 1]
        if ours or (word == "adeada" and i + 1 < len(words)):
            own = itertools.takewhile(lambda word: not set(word) <= set("|&;<>()"), words[i:])
            yield list(own) if word == "adeada" else ["python", *own]


def program(words):
    """The file that has a command's flags, and its arguments."""
    if words[0] == "adeada":
        name, arguments = words[1].replace("_", "-"), words[2:]
        return ROOT / f"adeada_jax/commands/{invocation.SCRIPTS[name]}_command.py", arguments
    path = ROOT / re.sub(r"^(\.\./)*", "", words[1])
    if path.parent.name == "scripts":
        path = ROOT / f"adeada_jax/commands/{path.stem}_command.py"
    return path, words[2:]


def flags_of(path):
    """Names of the flags that a file defines, by absl or argparse."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", "")
            if called.startswith("DEFINE_") or called == "add_argument":
                names.add(str(node.args[0].value).lstrip("-"))
    return names


def keys(tree, prefix=""):
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if hasattr(value, "items"):
            yield from keys(value, f"{prefix}{name}.")


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_have_flags_and_keys_that_exist(page):
    known = set(keys(paper_defaults()))
    for words in commands(page.read_text(encoding="utf-8")):
        path, arguments = program(words)
        assert path.is_file(), words
        flags = flags_of(path)
        for argument in arguments:
            if not argument.startswith("--"):
                continue
            name = argument[2:].split("=")[0]
            if name.startswith("config."):
                assert name[len("config.") :] in known | {"KEY"}, words
            else:
                assert {name, name.removeprefix("no")} & (flags | ALWAYS), words


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_configurations_in_commands_can_be_made(page):
    for words in commands(page.read_text(encoding="utf-8")):
        for argument in words:
            found = re.fullmatch(r"--config=(?:configs/)?(\w+?)(?:\.py)?(?::([\w,]+))?", argument)
            if found and found[1] not in OWN:
                scope = runpy.run_path(str(ROOT / f"configs/{found[1]}.py"))
                scope["get_config"](found[2] or "")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {
                re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
            }
            assert anchor in slugs, target


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                waiting.append((page.parent / target).resolve())
    assert set(PAGES) <= reached
