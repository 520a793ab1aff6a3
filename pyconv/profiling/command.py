"""`pyconv profile`, from its options to the report."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..files import need_folder
from . import compare
from .race import Result, race
from .report import as_dict, print_result, write_json
from .rivals import RIVALS
from .settings import Setting, settings_of, split
from .suite import Task, chosen_names, tasks


@dataclass(frozen=True)
class Options:
    """The options of the command; lists are texts with commas, as on the command line."""

    suite: str
    shapes: list[str]
    op: str
    passes: str
    batch: int | None
    dtype: str
    threads: str | None
    isa: str | None
    against: str
    repeat: int
    compare: Path | None
    json: Path | None
    html: Path | None


def profile(options: Options) -> bool:
    """Measure, print the table, and write and compare what is wanted.

    Returns
    -------
    bool
        Whether something got slower than in the profile compared with.

    Raises
    ------
    ValueError
        When a name is unknown, a rival cannot be imported, a result is wrong, or the profile to
        compare with is none or has nothing of what would be measured.
    FileNotFoundError
        When there is no folder for a file, or no profile to compare with.
    """
    rivals = split(options.against)
    for rival in rivals:
        if rival not in RIVALS:
            raise ValueError(f"there is no rival {rival!r}; --against takes {', '.join(RIVALS)}")
    names = chosen_names(split(options.suite), options.shapes)
    chosen = tasks(
        names, split(options.passes), options.batch, split(options.dtype), split(options.op)
    )
    settings = settings_of(options.threads, options.isa)
    need_folder(options.json, options.html)
    old = None if options.compare is None else _old_rows(options.compare, chosen, settings)

    measured = _race_with_a_bar(chosen, rivals, settings, options.repeat)
    result = as_dict(measured)
    if options.json is not None:
        write_json(result, options.json)
    if options.html is not None:
        from .page import write_page

        write_page(result, options.html)
    console = Console(highlight=False, markup=False)
    print_result(measured, console)
    if options.compare is None or old is None:
        return False
    changes = compare.changes(old, compare.rows_of(result))
    return compare.print_changes(changes, options.compare, console)


def _old_rows(file: Path, chosen: list[Task], settings: list[Setting]) -> compare.Rows:
    """The rows to compare with; refused before minutes of measuring where there is none."""
    old = compare.read_rows(file)
    if not any(compare.key_of(task, setting) in old for task in chosen for setting in settings):
        raise ValueError(
            f"{file} has no row of what these options measure (on {'; '.join(map(str, settings))});"
            " use the options that it was measured with"
        )
    return old


def _race_with_a_bar(
    chosen: list[Task], rivals: list[str], settings: list[Setting], rounds: int
) -> Result:
    errors = Console(stderr=True)
    with Progress(
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}"),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        shown = bar.add_task("starting", total=len(chosen), completed=-1)
        return race(
            chosen,
            rivals,
            settings,
            rounds,
            lambda what: bar.update(shown, advance=1, description=what),
        )
