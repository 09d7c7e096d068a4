"""benchmarks/study_pairs.py: differences by hand, their interval by scipy, and its errors."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from scipy import stats

from adeada_jax.errors import InputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "study_pairs.py"
CSV = """setting,seed,round,labelled_percent,miou,road,train
a,0,0,0.0,10.0,1.0,
a,0,1,2.0,20.0,2.0,
a,0,2,4.0,31.0,3.0,
a,1,0,0.0,11.0,1.0,
a,1,1,2.0,24.0,2.5,
a,1,2,4.0,30.0,3.5,
b,0,0,0.0,10.0,1.0,
b,0,1,2.0,18.0,5.0,
b,0,2,4.0,32.0,6.0,
b,1,0,0.0,11.0,1.0,
b,1,1,2.0,21.0,5.0,
b,1,2,4.0,28.0,6.0,
full,0,0,100.0,40.0,9.0,
full,1,0,100.0,44.0,9.0,
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("study_pairs_benchmark", SCRIPT)
    module, before = importlib.util.module_from_spec(spec), set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def rows(script, tmp_path, capsys):
    path = tmp_path / "study.csv"
    path.write_text(CSV, encoding="utf-8")

    def rows(*pairs, column="miou"):
        flags.FLAGS(["study_pairs.py", f"--column={column}"])
        script.main(["study_pairs.py", str(path), *pairs])
        lines = capsys.readouterr().out.splitlines()[2:]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]

    return rows


def test_differences_are_paired_by_seed(rows):
    low, high = stats.t.interval(0.95, 1, np.mean([2.0, 3.0]), stats.sem([2.0, 3.0]))
    first = f"+2.5 [{low:+.1f}, {high:+.1f}] (2/2)"
    (found,) = rows("a:b")
    assert found == ["a less b", first, "+0.5 [-18.6, +19.6] (1/2)"]
    (by_class,) = rows("a:b", column="road")
    assert by_class[1:] == ["-2.8 [-5.9, +0.4] (0/2)", "-2.8 [-5.9, +0.4] (0/2)"]


def test_a_reference_is_compared_with_every_round(rows):
    against, alone = rows("a:full", "full:full")
    assert against[1] == "-20.0 [-20.0, -20.0] (0/2)"
    assert against[2].startswith("-11.5")
    assert alone[1:] == ["+0.0 [+0.0, +0.0] (0/2)", "-"]


@pytest.mark.parametrize(
    ("pairs", "column", "words"),
    [
        (["a:c"], "miou", "'c' is no setting"),
        (["a:b"], "sky", "--column: .* has no column 'sky'"),
        (["a:b"], "train", "'train' is empty"),
    ],
)
def test_errors_name_what_is_missing(rows, pairs, column, words):
    with pytest.raises(InputError, match=words):
        rows(*pairs, column=column)
