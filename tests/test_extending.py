"""The examples of docs/extending.md, run as they stand there."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(name="examples")
def write_examples(tmp_path, monkeypatch):
    """The page's modules, each a block of Python that begins with its file's name, ready to be imported."""
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path
