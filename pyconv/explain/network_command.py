"""`pyconv explain network`, from its options to the walk, the pictures and the page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..checks import Array
from ..files import need_folder
from ..images import read_images
from ..networks import Sequential
from ..recipes import data_set_of
from .flow import write_flow
from .network import network as trace_of
from .network_text import print_pictures, print_walk
from .trained import trained
from .words import Words

ON_A_PAGE = 4  # images to choose from


@dataclass(frozen=True)
class Options:
    """The options of the command; `moves` are those of the convolution that were given."""

    weights: Path | None
    moves: dict[str, Any]
    image: Path | None
    data: str | None
    index: int
    batch: int | None
    picture: Path | None
    html: Path | None
    lang: str


def explain(options: Options) -> list[str]:
    """Print a network's walk with pictures, and write its page where one is wanted.

    Returns
    -------
    list of str
        What was done to a picture on the way.

    Raises
    ------
    FileNotFoundError, ImportError, TypeError, ValueError
        When there are no such weights, images or folder, or they do not fit together.
    """
    if options.image is not None and options.data is not None:
        raise ValueError("give --image or --data, and not both")
    need_folder(options.picture, options.html)
    if options.weights is not None and options.moves:
        names = ", ".join(f"--{name}" for name in options.moves)
        raise ValueError(f"{options.weights} says how its network convolves; leave out {names}")
    word = Words(options.lang)
    given = None if options.weights is None else Sequential.load(options.weights)
    x, labels, notes = _images(options, (1, 28, 28) if given is None else given.input_dim)
    network: Sequential
    if given is None:
        network, accuracy = trained(options.moves)
        about = word("network trained", accuracy=f"{100 * accuracy:.1f} %")
        more = f" {word('network yours')}"
    else:
        network, about, more = given, str(options.weights), ""
    trace = trace_of(network, x.astype(network.dtype), options.lang)

    if options.picture is not None:
        from .network_picture import save_network_picture

        save_network_picture(trace, options.picture)
    console = Console(highlight=False, markup=False)
    console.print(about + more, style="dim", soft_wrap=given is not None)  # a path stays whole
    print_walk(trace, console)
    console.print()
    print_pictures(trace, console, None if labels is None else labels[0])
    if options.html is not None:
        write_flow(trace, options.html, labels, about)
        console.print()
        console.print(word("page", file=options.html), soft_wrap=True)
    return notes


def _images(
    options: Options, input_dim: tuple[int, ...] | None
) -> tuple[Array, list[int] | None, list[str]]:
    """The images, what they show where that is known, and what was done to them."""
    notes: list[str] = []
    labels = None
    if options.image is not None:
        if input_dim is None or len(input_dim) != 3:
            raise ValueError(
                f"{options.weights} does not say what images (C, H, W) its network takes"
            )
        C, H, W = input_dim
        x, notes = read_images(options.image, (C, H, W))
        source, most = str(options.image), len(x)
    else:
        source = options.data or "digits"
        _, (x, t) = data_set_of(source).load()
        labels, most = t.tolist(), ON_A_PAGE if options.html is not None else 1
    first = options.index
    if first >= len(x):
        raise ValueError(f"--index is {first}, but {source} has {len(x):,} images, counted from 0")
    count = options.batch or min(most, len(x) - first)
    if first + count > len(x):
        raise ValueError(
            f"{source} has {len(x):,} images, and {count:,} from {first} on are asked for"
        )
    chosen = slice(first, first + count)
    return x[chosen], labels and labels[chosen], notes
