"""The examples of docs/mixtures.md."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "mixtures.md"


def test_the_examples_give_what_the_page_says():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 20
