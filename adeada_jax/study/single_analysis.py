"""The quality of one run's purchases, on the terminal, as JSON and as a page: scripts/study.py --analyse."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from adeada_jax.data import prepared
from adeada_jax.errors import InputError
from adeada_jax.evaluation.tables import table
from adeada_jax.files import write_text_atomic
from adeada_jax.method.densities import create_density
from adeada_jax.report.drawing import hex_color
from adeada_jax.report.page import environment
from adeada_jax.report.sections import flat, subtitle, title
from adeada_jax.run.region_file import load_regions
from adeada_jax.study.density_sheets import company_sheet
from adeada_jax.study.merging import merged
from adeada_jax.study.past_run import PastRun, check_target, check_truth, open_run, table_before
from adeada_jax.study.quality_sheets import definitions, run_sheets
from adeada_jax.study.rankings import named_strategies
from adeada_jax.study.run_analysis import analysed, density_options
from adeada_jax.study.sheets import Sheet
from adeada_jax.study.truth import read_truth
from adeada_jax.telemetry import console, say


def analyse_directory(
    root: str | Path,
    output: str | Path | None = None,
    *,
    density: str = "",
    strategies: Sequence[str] = (),
) -> Path:
    """Measures a run's purchases; leaves analysis.json and analysis.html, and prints the tables in short.

    Args:
      root: the run's directory.
      output: where the files go; unless given, the run's directory.
      density: another density to look at, too, as of `run_analysis.density_options`.
      strategies: names of those to ask besides the project's own.

    Returns:
      The page.

    Raises:
      InputError: as `open_run`, `check_target` and `check_truth`; the density is none, or the run has no
        tables of the source to fit it to; a strategy is none, or its tables have not all that it looks at.
    """
    run = open_run(root)
    check_density(run, density)
    for number in run.rounds if strategies else ():
        named_strategies(strategies, run.config, table_before(run, number)[0].columns)
    check_target(run)
    directory = Path(output) if output else run.workdir.root
    truth = read_truth(run.config, load_regions(run.workdir.pool), directory / "truth.safetensors")
    check_truth(run, truth)
    content = analysed(run, truth, directory / "analysis.json", density=density, strategies=strategies)
    strategy, measured = content["strategy"], merged([content])
    sheets = run_sheets(measured, strategy)
    kinds = dict.fromkeys(kind for entry in content["rounds"] for kind in entry["densities"])
    for sheet in [*sheets[:2], *(company_sheet(measured, kind) for kind in kinds)]:
        print_sheet(sheet)
    console.print(Text(definitions(measured)))
    for number, why in content["left_out"].items():
        say(f"round {number} is left out: it {why}")
    for name, why in content["rounds"][-1]["missing"].items():
        say(f"'{name}' is left out: the run's tables have no column {why}")
    page = directory / "analysis.html"
    write_page(page, run, sheets)
    say(f"analysis: {page}")
    return page


def check_density(run: PastRun, density: str) -> None:
    """Whether a density can be made and fitted, before long work starts.

    Raises:
      InputError: it cannot.
    """
    if not density:
        return
    try:
        create_density(density_options(run, density))
    except InputError as error:
        raise InputError(f"--density={density}: {error}") from error
    if not any(run.workdir.region_table(number, "source").exists() for number in run.rounds):
        raise InputError(
            f"--density={density}: '{run.workdir.root}' has no tables of the source's regions, as a run of "
            f"strategy '{run.config['acquisition']['strategy']}' compares no domains; give one of 'adeada'"
        )


def write_page(path: Path, run: PastRun, sheets: Sequence[Sheet]) -> None:
    """analysis.html: all tables in one file that asks nothing of the network."""
    target = run.config["target"]
    _, palette = prepared.classes(target["dataset"], target["dir"])
    colors = zip(run.class_names, map(hex_color, palette), strict=False)
    page = (
        environment(Path(__file__).parent)
        .get_template("analysis.html")
        .render(
            title=title(run.config),
            subtitle=subtitle(run.config),
            sheets=sheets,
            colors=dict(colors),
            left_out=run.left_out,
            config=flat(run.config),
        )
    )
    write_text_atomic(path, page)


def print_sheet(sheet: Sheet) -> None:
    """Prints a sheet's table."""
    rows = [(name, *(one.text for one in cells)) for name, cells in sheet.matrix.rows]
    console.print(table(Text(sheet.title), (sheet.head, *sheet.matrix.columns), rows))
