"""What people see of a study while it runs: a table that fills, or a line for each thing that happened."""

from types import TracebackType

from rich.live import Live
from rich.table import Table
from rich.text import Text

from adeada_jax.evaluation.summaries import Round
from adeada_jax.evaluation.tables import number, table
from adeada_jax.study.spread import spread
from adeada_jax.study.study_plan import Plan, Run
from adeada_jax.telemetry import console

_SIGNS = {"waiting": "·", "failed": "failed", "finished": "done"}


class Board:
    """Shows where every run of a plan is; on a terminal the table stays in place and fills.

    Args:
      plan: of the study.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._last = {run.key: run.last_round for run in plan.runs}
        self._status: dict[tuple[str, int], str] = {}
        self._rounds: dict[tuple[str, int], list[Round]] = {}
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")

    def __enter__(self) -> "Board":
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if console.is_terminal:
            self._live.stop()
        else:
            console.print(self.table())

    def report(self, run: Run, status: str, rounds: list[Round]) -> None:
        """Notes what a run has come to (see `runner.Report`)."""
        before, known = self._status.get(run.key), self._rounds.get(run.key, [])
        if status == before and len(rounds) == len(known):
            return
        self._status[run.key], self._rounds[run.key] = status, rounds
        if console.is_terminal:
            self._live.update(self.table(), refresh=True)
            return
        if before is not None:
            for entry in rounds[len(known) :]:
                self._print(run, f"round {entry['round']}, mIoU {number(entry['miou'])}%")
        if status != before and status != "waiting":
            self._print(run, status)

    def table(self) -> Table:
        """MIoU by round, mean and spread over the seeds so far, and the round each seed is at."""
        plan = self._plan
        last = max((run.last_round for run in plan.runs), default=0)
        columns = [
            "run",
            "warm-up",
            *(str(k) for k in range(1, last + 1)),
            *(f"seed {seed}" for seed in plan.seeds),
        ]
        rows = [self._row(name, last) for name in dict.fromkeys(run.name for run in plan.runs)]
        return table(Text("mIoU (%) by round, mean ± standard deviation over seeds"), columns, rows)

    def _row(self, name: str, last: int) -> list[str]:
        found = [self._rounds.get((name, seed), []) for seed in self._plan.seeds]
        cells = [spread([rounds[k]["miou"] for rounds in found if len(rounds) > k]) for k in range(last + 1)]
        return [name, *cells, *(self._sign((name, seed)) for seed in self._plan.seeds)]

    def _sign(self, key: tuple[str, int]) -> str:
        status = self._status.get(key, "waiting")
        if status in _SIGNS:
            return _SIGNS[status]
        number = len(self._rounds[key])
        return f"round {number}" if number <= self._last[key] else "report"

    def _print(self, run: Run, what: str) -> None:
        console.print(f"{run.name}, seed {run.seed}: {what}", markup=False, highlight=False, soft_wrap=True)
