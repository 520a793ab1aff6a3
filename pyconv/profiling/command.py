"""`pyconv profile`, from its options to the report."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..system import get_num_threads
from .race import race
from .report import print_result, write_json
from .rivals import RIVALS
from .suite import tasks


def split(text: str) -> list[str]:
    """The words of a list with commas."""
    return [word for word in (part.strip() for part in text.split(",")) if word]


def profile(
    against: str,
    shapes: list[str],
    passes: str,
    threads: int | None,
    batch: int | None,
    repeat: int,
    json_file: Path | None,
) -> None:
    """Measure, print the table, and write the JSON file if one is wanted.

    Raises
    ------
    ValueError
        When a name is unknown, a rival cannot be imported or a result is wrong.
    FileNotFoundError
        When there is no folder for the JSON file.
    """
    rivals = list(dict.fromkeys(split(against)))
    for rival in rivals:
        if rival not in RIVALS:
            raise ValueError(f"there is no rival {rival!r}; --against takes {', '.join(RIVALS)}")
    chosen = tasks(shapes, split(passes), batch)
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(json_file.parent)!r} to write {json_file.name} to"
        )
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
        result = race(
            chosen,
            rivals,
            get_num_threads() if threads is None else threads,
            repeat,
            lambda what: bar.update(shown, advance=1, description=what),
        )
    if json_file is not None:
        write_json(result, json_file)
    print_result(result, Console(highlight=False, markup=False))
