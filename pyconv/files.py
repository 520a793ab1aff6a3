"""Files that appear complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `target` when the block ends without an error.

    After an error, an interrupt included, what was at `target` is still there and the new file is
    gone. It lies in the target's own folder, so that renaming it is one atomic step.
    """
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def need_folder(*targets: Path | None) -> None:
    """Find out before the work that a file could not be written after it.

    Raises
    ------
    FileNotFoundError
        When there is no folder for one of them.
    IsADirectoryError
        When one of them is a folder.
    ValueError
        When two of them are the same file.
    """
    named = [target for target in targets if target is not None]
    paths = [target.resolve() for target in named]
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise ValueError(
                f"two things cannot both be written to {path.name}: name another file for one"
            )
    for target in named:
        if target.is_dir():
            raise IsADirectoryError(f"{str(target)!r} is a folder: name a file in it")
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(target.parent)!r} to write {target.name} to"
            )
