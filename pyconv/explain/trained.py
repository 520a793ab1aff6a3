"""A network to look at where no weights are given: trained here and now."""

from collections.abc import Mapping
from typing import Any

from ..networks import SimpleConvNet
from ..recipes import DATA_SETS
from ..trainer import Trainer


def trained(moves: Mapping[str, Any]) -> tuple[SimpleConvNet, float]:
    """Train the lecture's network on the digits that come with pyconv, with a bar on a terminal.

    Parameters
    ----------
    moves : mapping
        How its convolution moves: "stride", "pad" and "dilation", or some of them.

    Returns
    -------
    network : SimpleConvNet
        With the weights of `pyconv train`; it takes a few seconds.
    accuracy : float
        On the test images.

    Raises
    ------
    TypeError, ValueError
        When the images cannot be convolved like that.
    """
    from rich.console import Console
    from rich.progress import Progress

    recipe = DATA_SETS["digits"]
    (x_train, t_train), (x_test, t_test) = recipe.load()
    network = SimpleConvNet(conv_param=moves, rng=0)
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test, epochs=recipe.epochs,
        mini_batch_size=recipe.batch_size, optimizer="Adam", optimizer_param={"lr": recipe.adam_lr},
        evaluate_sample_num_per_epoch=1, verbose=False, schedule="cosine", shift=recipe.shift,
        rng=0,
    )  # fmt: skip
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        shown = bar.add_task("training on the digits", total=trainer.epochs)
        while trainer.epoch < trainer.epochs:
            trainer.train_step()
            bar.update(shown, completed=trainer.epoch)
    return network, network.accuracy(x_test, t_test)
