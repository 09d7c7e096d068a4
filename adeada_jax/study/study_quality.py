"""The quality of what the runs of a study bought: measured once a run, put together by setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adeada_jax.errors import InputError
from adeada_jax.run.region_file import load_regions
from adeada_jax.study.collect import Result
from adeada_jax.study.merging import merged
from adeada_jax.study.past_run import open_run
from adeada_jax.study.run_analysis import analysed
from adeada_jax.study.study_tables import OURS
from adeada_jax.study.truth import read_truth
from adeada_jax.telemetry import say
from adeada_jax.types import Json


def qualities(config: Mapping[str, Any], results: Sequence[Result], directory: Path) -> dict[str, Json]:
    """By setting what `merging.merged` makes of its runs; what other rankings would buy of OURS alone.

    Args:
      config: of the study.
      results: of `collect`, some of which bought something; a run whose tables are gone is left out.
      directory: of the study, which keeps the ground truth.

    Raises:
      InputError: the ground truth cannot be read.
    """
    active = [result for result in results if result.purchases]
    truth = read_truth(config, load_regions(active[0].workdir.pool), directory / "truth.safetensors")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in active:
        try:
            run = open_run(result.workdir.root)
        except InputError as error:
            say(f"{result.setting}, seed {result.seed}: the quality of purchases is left out. {error}")
            continue
        path = result.workdir.root / "analysis.json"
        content = analysed(run, truth, path, others=result.setting == OURS)
        last = result.rounds[-1]["round"]  # a setting may be the beginning of another's run
        rounds = [entry for entry in content["rounds"] if entry["round"] <= last]
        found.setdefault(result.setting, []).append({**content, "rounds": rounds})
    return {setting: merged(contents) for setting, contents in found.items()}
