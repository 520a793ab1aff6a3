"""What a training shows while it runs: a bar on a terminal, plain lines in a pipe, or nothing."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class TrainingProgress:
    """Shows loss, accuracy and images per second of a training. Use in a `with` block.

    Parameters
    ----------
    epochs : int
        Epochs of the whole training.
    samples : int
        Samples of an epoch.
    verbose : bool
        False shows nothing.
    """

    def __init__(self, epochs: int, samples: int, verbose: bool) -> None:
        self.epochs, self.samples, self.verbose = epochs, samples, verbose
        self._bar: Progress | None = None
        self._start_epoch()

    def __enter__(self) -> "TrainingProgress":
        if self.verbose and sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(compact=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self.samples, numbers="")
            self._bar.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _start_epoch(self) -> None:
        self._started = time.perf_counter()
        self._seen, self._hits, self._loss = 0, 0, 0.0

    def step(self, epoch: int, loss: float, hits: int, samples: int) -> None:
        """Show one mini-batch: its epoch (from 1), its loss, and how many of its samples it hit."""
        self._seen += samples
        self._hits += hits
        self._loss += loss * samples
        if self._bar is not None:
            numbers = (
                f"loss {self._loss / self._seen:.4f}  accuracy {self._hits / self._seen:6.2%}  "
                f"{self.speed():,.0f} images/s"
            )
            self._bar.update(
                self._task,
                completed=self._seen,
                description=f"epoch {epoch}/{self.epochs}",
                numbers=numbers,
            )

    def epoch(self, epoch: int, train_acc: float, test_acc: float, speed: float) -> None:
        """Show what an epoch (from 1) has come to."""
        if self.verbose:
            line = (
                f"epoch {epoch}/{self.epochs}: loss {self._loss / max(self._seen, 1):.4f}, "
                f"accuracy train {train_acc:.2%}, test {test_acc:.2%}, "
                f"{speed:,.0f} images/s"
            )
            if self._bar is not None:
                self._bar.console.print(line, highlight=False, soft_wrap=True)
            else:
                print(line, flush=True)
        self._start_epoch()

    def speed(self) -> float:
        """Images per second of this epoch's training so far."""
        return self._seen / max(time.perf_counter() - self._started, 1e-9)
