"""The `pyconv` command: train, predict, summary, explain, profile."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from . import weights
from .checks import Array
from .explain.command import app as explain
from .files import need_folder
from .images import read_images
from .layers.loss import log_softmax
from .networks import DeepConvNet, Sequential, SimpleConvNet
from .recipes import DATA_SETS, data_set_of
from .sentences import in_sentences
from .trainer import Trainer

app = typer.Typer(
    help="Convolution in readable C++: train the MNIST network and look at what it does.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(explain, name="explain")

NetworkName = Literal["simple", "deep"]
OptimizerName = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]

NETWORKS = {"simple": SimpleConvNet, "deep": DeepConvNet}


@dataclass(frozen=True)
class Recipe:
    """The options of a training that stay the same when it is resumed; kept in its checkpoint."""

    data: str
    batch_size: int
    optimizer: str
    lr: float | None
    network: str
    shift: int
    seed: int


@app.command()
@in_sentences
def train(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Option(help="digits (comes with pyconv), mnist, fashion, or a folder of IDX files."),
    ] = "digits",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Times through the data.", show_default="25 for digits, else 3"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images per step.", show_default="100 for mnist, else 50"),
    ] = None,
    optimizer: Annotated[
        OptimizerName, typer.Option(help="How weights follow gradients.")
    ] = "adam",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate at the start; it falls to 0 along half a cosine.",
            show_default="for Adam 0.003, on digits and mnist 0.005; else the optimizer's own",
        ),
    ] = None,
    network: Annotated[NetworkName, typer.Option(help="Which network.")] = "simple",
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Seed of the random numbers for weights, dropout, order and shifts."
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Weight file, written after every epoch.", show_default="weights.npz"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this weight file's training, up to --epochs in all."),
    ] = None,
) -> None:
    """Train the network of the deck on handwritten digits, and save its weights."""
    data_set = data_set_of(data)
    data = data if data in DATA_SETS else str(Path(data).resolve())
    if lr is None and optimizer == "adam":
        lr = data_set.adam_lr
    batch_size = batch_size or data_set.batch_size
    recipe = Recipe(data, batch_size, optimizer, lr, network, data_set.shift, seed)
    if resume is not None:
        recipe = _recipe_of(resume, recipe, context)
        data_set = data_set_of(recipe.data)
    target = weights.npz_path(out or resume or "weights.npz")
    _refuse_to_overwrite_others(target)

    (x_train, t_train), (x_test, t_test) = data_set.load()
    classes = max(10, 1 + int(max(t_train.max(initial=0), t_test.max(initial=0))))
    model = NETWORKS[recipe.network](x_train.shape[1:], output_size=classes, rng=recipe.seed)
    before = model.params["W1"].copy()
    trainer = Trainer(
        model,
        x_train,
        t_train,
        x_test,
        t_test,
        epochs=epochs or data_set.epochs,
        mini_batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        optimizer_param={} if recipe.lr is None else {"lr": recipe.lr},
        evaluate_sample_num_per_epoch=10_000,
        schedule="cosine",
        shift=recipe.shift,
        rng=recipe.seed,
        checkpoint=target,
    )
    if resume is not None:
        trainer.resume(resume)
        typer.echo(f"going on with {resume} after epoch {trainer.epoch}")
    trainer.notes = asdict(recipe)

    model.summary()
    typer.echo(f"{recipe.data}: {len(x_train):,} images to train on, {len(x_test):,} to test on")
    done = trainer.epoch
    if done >= trainer.epochs:
        typer.echo(f"{resume} has {done} epochs already; use a larger --epochs to go on")
        if trainer.checkpoint_epoch is None:  # --out names another file, which must be there then
            trainer.save(target)
    try:
        trainer.train()
    except KeyboardInterrupt:
        kept = "no epoch was complete yet"
        if trainer.checkpoint_epoch is not None:
            kept = f"{target} holds epoch {trainer.checkpoint_epoch}; go on with --resume {target}"
        typer.echo(f"\ninterrupted: {kept}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"test accuracy {model.accuracy(x_test, t_test):.2%}")
    typer.echo(f"weights       {target}")
    _draw(target, trainer, before, model.params["W1"])


def _recipe_of(resume: Path, given: Recipe, context: typer.Context) -> Recipe:
    """The recipe of the training that a checkpoint comes from; options that differ are refused."""
    training, _ = weights.load_training(resume)
    try:
        recipe = Recipe(**training["notes"])
        known = recipe.network in NETWORKS
    except (KeyError, TypeError):
        known = False
    if not known:
        raise ValueError(f"{resume} was not written by 'pyconv train', which cannot go on with it")
    for name, value in asdict(given).items():
        source = context.get_parameter_source(name)
        kept = getattr(recipe, name)
        if source is not None and source.name == "COMMANDLINE" and value != kept:
            raise ValueError(
                f"--{name.replace('_', '-')} {value} differs from {kept}, with which the training "
                f"in {resume} began; leave it out to go on"
            )
    return recipe


def _refuse_to_overwrite_others(target: Path) -> None:
    """Stop before the training, not after it, where the weights cannot or should not be written."""
    need_folder(target)
    if target.exists():
        try:
            Sequential.load(target)
        except ValueError as error:
            raise ValueError(
                f"will not overwrite {target}, which is no weight file: {error}"
            ) from None


def _draw(target: Path, trainer: Trainer, before: Array, after: Array) -> None:
    try:
        from . import plots

        curves = target.with_name(f"{target.stem}-curves.png")
        plots.save_curves(curves, trainer)
        filters = target.with_name(f"{target.stem}-filters.png")
        plots.save_filters(filters, before, after)
    except ImportError:
        typer.echo("pictures      none: they need matplotlib (pip install matplotlib)")
        return
    typer.echo(f"pictures      {curves}, {filters}")


@app.command()
@in_sentences
def predict(
    weight_file: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="File of pyconv train.")],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="PNG or other pictures (through Pillow), or .npy files."
        ),
    ],
) -> None:
    """Tell which digit images show, and how probable each digit is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    model = Sequential.load(weight_file)
    if model.input_dim is None or len(model.input_dim) != 3:
        raise ValueError(f"{weight_file} does not say what images (C, H, W) its network takes")
    C, H, W = model.input_dim
    read = [(path, *read_images(path, (C, H, W))) for path in images]

    classes = 0
    rows = []
    for path, batch, notes in read:
        probabilities = np.exp(log_softmax(model.predict(batch.astype(model.dtype))))
        classes = probabilities.shape[1]
        for i, row in enumerate(probabilities):
            name = f"{path}[{i}]" if len(batch) > 1 else str(path)
            rows.append((name, int(row.argmax()), row))
        for note in notes:
            typer.echo(f"{path}: {note}", err=True)

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000  # in a pipe a line stays a line
    # Without padding a terminal of 80 columns has room for the names.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("image", overflow="fold")
    table.add_column("digit", justify="center", style="bold", no_wrap=True)
    for digit in range(classes):
        table.add_column(f"{digit} %", justify="right", no_wrap=True)
    for name, digit, row in rows:
        table.add_row(name, str(digit), *(f"{100 * p:.1f}" for p in row))
    console.print(table)


@app.command()
@in_sentences
def summary(
    weight_file: Annotated[
        Path | None, typer.Argument(metavar="[WEIGHTS]", help="File of pyconv train.")
    ] = None,
    network: Annotated[
        NetworkName | None, typer.Option(help="Which network.", show_default="simple")
    ] = None,
) -> None:
    """Show how the shape of the data changes from layer to layer, and what each layer costs."""
    if weight_file is not None and network is not None:
        raise ValueError(
            f"{weight_file} says which network it holds; leave out --network {network}"
        )
    name = network or "simple"
    model = NETWORKS[name]() if weight_file is None else Sequential.load(weight_file)
    model.summary()


@app.command()
@in_sentences
def profile(
    suite: Annotated[
        str,
        typer.Option(
            help="Shapes: mnist, resnet50, vgg, mobilenet, pooling, columns, all; with commas.",
            show_default="mnist, unless there is a --shape",
        ),
    ] = "",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|SIZES",
            help="A shape by name, or a convolution: N,C,H,W*FN,FH,FW and, unless 1/0/1/1, "
            "/stride/pad/dilation/groups; repeat for more.",
        ),
    ] = None,
    op: Annotated[
        str,
        typer.Option(
            help="Of these alone: conv, block, pool, columns, relu, affine, update, step, predict; "
            "with commas.",
            show_default="all",
        ),
    ] = "",
    passes: Annotated[
        str, typer.Option(help="Of forward, dx, dw, backward (all gradients), step; with commas.")
    ] = "forward,dx,dw,backward,step",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images a call.", show_default="the shape's own")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, float64, or both by a comma.")] = "float32",
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N...]", help="Threads of each side, e.g. 1,2.", show_default="all"
        ),
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Of baseline, avx2, avx512: instruction sets of pyconv.",
            show_default="the widest",
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(help="Rivals: reference, torch, torch.compile, onnxruntime; with commas."),
    ] = "reference",
    repeat: Annotated[int, typer.Option(min=1, help="Rounds, each side in turn.")] = 5,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD.json",
            help="Tell what got faster or slower since; exit code 1 where it is slower by more "
            "than noise and 10 %.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every number there, too.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page to look at there, too.")
    ] = None,
) -> None:
    """Measure how fast pyconv is here, beside other libraries, all held to the reference.

    Without options: the kernels of the MNIST network, layer by layer. Nothing wrong is timed.
    """
    from .profiling import command

    options = command.Options(
        suite, shape or [], op, passes, batch, dtype, threads, isa, against, repeat, compare, json,
        html,
    )  # fmt: skip
    if command.profile(options):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without "→" shows "?" and goes on
    app()
