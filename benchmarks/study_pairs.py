r"""By how many points one setting of a study is ahead of another, seed by seed; from a study's CSV.

    python benchmarks/study_pairs.py docs/toy_study.csv ripu:redal adeada:source_only
    python benchmarks/study_pairs.py docs/photographs_study.csv adeada:random --column=sky

For each pair and round: the mean of the differences with the same seed, its 95% interval (Student's t), and
in how many of the seeds the first is ahead. A reference has one round, compared with each of the other's.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import app, flags

from adeada_jax.command_line import run_app
from adeada_jax.errors import InputError
from adeada_jax.evaluation.tables import markdown
from adeada_jax.study.study_tables import points

_COLUMN = flags.DEFINE_string("column", "miou", "Column of the CSV to compare by: miou, or a class.")

# A setting's values: by seed, of all rounds.
Values = Mapping[int, Sequence[float]]


def read(path: Path, column: str) -> dict[str, dict[int, list[float]]]:
    """Values by setting, seed and round.

    Raises:
      InputError: the file or the column is missing, a value is, or rows are not in the order of the rounds.
    """
    if not path.exists():
        raise InputError(f"'{path}' does not exist; give study.csv of a study's directory")
    found: dict[str, dict[int, list[float]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if column not in (rows.fieldnames or ()):
            raise InputError(f"--column: '{path}' has no column '{column}'; it has {rows.fieldnames}")
        for row in rows:
            values = found.setdefault(row["setting"], {}).setdefault(int(row["seed"]), [])
            if int(row["round"]) != len(values):
                raise InputError(f"'{path}': the rounds of '{row['setting']}' are not in order")
            if not row[column]:
                raise InputError(f"--column: '{column}' is empty in '{path}'; the class does not occur")
            values.append(float(row[column]))
    return found


def differences(one: Values, other: Values) -> list[list[float]]:
    """A list of rounds, each of the seeds that both have; a single value stands for all rounds."""
    seeds = sorted(set(one) & set(other))
    lengths = {len(values[seed]) for values in (one, other) for seed in seeds}
    rounds = min(lengths - {1}, default=1)
    at = [
        [values[seed] if len(values[seed]) > 1 else [values[seed][0]] * rounds for values in (one, other)]
        for seed in seeds
    ]
    return [[a[k] - b[k] for a, b in at] for k in range(rounds)]


def main(argv: list[str]) -> None:
    if len(argv) < 3 or not all(pair.count(":") == 1 for pair in argv[2:]):
        raise app.UsageError("give study.csv and pairs as SETTING:OTHER")
    found = read(Path(argv[1]), _COLUMN.value)
    rows = []
    for pair in argv[2:]:
        one, other = pair.split(":")
        for name in (one, other):
            if name not in found:
                raise InputError(f"'{name}' is no setting of '{argv[1]}'; it has {', '.join(found)}")
        of_pair = differences(found[one], found[other])
        if not of_pair or not of_pair[0]:
            raise InputError(f"'{one}' and '{other}' have no seed in common")
        shown = of_pair[1:] or of_pair
        rows.append([f"{one} less {other}", *(points(values).text for values in shown)])
    width = max(map(len, rows))
    print(
        markdown(
            ["", *(f"round {k}" for k in range(1, width))], [row + ["-"] * (width - len(row)) for row in rows]
        )
    )


if __name__ == "__main__":
    run_app(main)
