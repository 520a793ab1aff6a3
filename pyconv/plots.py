"""Pictures of a training, drawn with matplotlib."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import Array
from .files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .trainer import Trainer


def save_curves(path: Path, trainer: "Trainer") -> None:
    """Draw the loss of every step and the accuracies after every epoch.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    losses = np.array(trainer.train_loss_list)
    steps_an_epoch = math.ceil(len(trainer.x_train) / trainer.mini_batch_size)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)

    left.plot(np.arange(1, len(losses) + 1) / steps_an_epoch, losses, color="0.75", linewidth=0.8)
    width = max(len(losses) // 40, 1)
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    at = (np.arange(len(smooth)) + width) / steps_an_epoch
    left.plot(at, smooth, color="C0", label=f"mean of {width} steps")
    left.set(title="Loss", xlabel="epoch", ylabel="cross-entropy", yscale="log")
    left.legend(frameon=False)

    epochs = np.arange(1, len(trainer.test_acc_list) + 1)
    for name, values, color, marker in (
        ("training", trainer.train_acc_list, "C0", "o"),
        ("test", trainer.test_acc_list, "C1", "s"),
    ):
        accuracy = 100 * np.array(values)
        label = f"{name}: {accuracy[-1]:.2f} %"
        right.plot(epochs, accuracy, marker, linestyle="-", color=color, markersize=3, label=label)
    right.set(title="Accuracy", xlabel="epoch", ylabel="%")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    right.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path)


def save_filters(path: Path, before: Array, after: Array) -> None:
    """Draw the filters of a first layer before and after training.

    Parameters
    ----------
    path : Path
    before, after : ndarray (FN, C, FH, FW)
        Of several channels the mean is drawn.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    columns = min(len(before), 10)
    rows = math.ceil(len(before) / columns)
    figure = Figure(figsize=(9, 0.55 * rows + 0.6), layout="constrained")
    halves: Any = figure.subfigures(1, 2, wspace=0.05)
    titles = (f"{len(before)} filters before training", "and after")
    for part, title, filters in zip(halves, titles, (before, after), strict=True):
        part.suptitle(title)
        images = filters.mean(axis=1)
        limit = np.abs(images).max() or 1.0  # zero is the middle grey in every filter
        part.subplots(rows, columns)
        for i, axes in enumerate(part.axes):
            axes.set_axis_off()
            if i < len(images):
                axes.imshow(images[i], cmap="gray", vmin=-limit, vmax=limit)
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)
