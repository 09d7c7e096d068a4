"""What is read and written is UTF-8, whatever the locale: no call leaves the encoding to it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_READ_AND_WRITE = ("read_text", "write_text")
_PROCESSES = ("run", "Popen", "check_output")


def calls_that_ask_the_locale(tree: ast.AST) -> Iterator[int]:
    """Lines of calls that turn text into bytes, or bytes into text, and do not say how."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "encoding" in given:
            continue
        if name in _READ_AND_WRITE or (name == "open" and _opens_text(node, given)):
            yield node.lineno
        if name in _PROCESSES and {"text", "universal_newlines"} & given.keys():
            yield node.lineno


def _opens_text(call: ast.Call, given: dict[str, ast.expr]) -> bool:
    """Whether this is `open(...)` or `path.open(...)`, and of text; `os.open`, `Image.open` are others."""
    owner = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
    if owner == "os" or owner[:1].isupper():
        return False
    position = 1 if isinstance(call.func, ast.Name) else 0
    mode = given.get("mode", call.args[position] if len(call.args) > position else None)
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ("open(path)", True), ("open(path, 'rb')", False), ("open(path, mode='ab')", False),
        ("path.open('w')", True), ("path.open('wb')", False), ("open(path, encoding='utf-8')", False),
        ("Image.open(path)", False), ("os.open(path, os.O_RDWR)", False),
        ("(a / 'b').read_text()", True), ("path.write_text('x', encoding='utf-8')", False),
        ("subprocess.run(command, text=True)", True), ("subprocess.run(command, encoding='utf-8')", False),
    ],
)  # fmt: skip
def test_such_calls_are_seen(code, asks):
    assert bool(list(calls_that_ask_the_locale(ast.parse(code)))) == asks


def test_no_call_leaves_the_encoding_to_the_locale():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("adeada_jax", "scripts", "configs", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in calls_that_ask_the_locale(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "these calls say no encoding: " + ", ".join(found)
