"""How commands answer what a user can put right."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import typer


def in_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Answer what a user can put right with one sentence and exit code 1, not with a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            # Whoever read our output has stopped reading (pyconv summary | head -1). Python would
            # complain once more when it flushes standard output at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("\ninterrupted", err=True)
            raise typer.Exit(130) from None
        except (
            ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError
        ) as error:  # fmt: skip
            typer.echo(f"pyconv: error: {error}", err=True)
            raise typer.Exit(1) from None

    return wrapped
