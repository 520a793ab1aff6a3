"""`pyconv explain`: a layer or a network, step by step, in the terminal and as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..checks import Array
from ..files import need_folder
from ..sentences import in_sentences
from . import inputs
from .words import Words

if TYPE_CHECKING:
    from .convolution import ConvolutionTrace
    from .pooling import PoolingTrace

app = typer.Typer(
    help="See the shapes change: what becomes of an array on its way through a layer.",
    no_args_is_help=True,
)

Language = Literal["en", "ko"]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="N,C,H,W", help="Shape of the images.", show_default="1,3,3,3, or the images' own"
    ),
]
Stride = Annotated[
    str | None,
    typer.Option(metavar="N|H,W", help="From one window to the next.", show_default="1"),
]
Pad = Annotated[
    str | None,
    typer.Option(
        metavar="N|H,W|T,B,L,R|same|valid", help="Zeros around an image.", show_default="0"
    ),
]
Dilation = Annotated[
    str | None,
    typer.Option(metavar="N|H,W", help="From one tap of a window to the next.", show_default="1"),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Images, instead of the N of --input.", show_default="")
]
Image = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A picture, whose pixels are the numbers.")
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Images of digits (comes with pyconv), mnist, fashion, or a folder of IDX files."
    ),
]
Backward = Annotated[bool, typer.Option("--backward", help="The way of the gradients, too.")]
Lang = Annotated[Language, typer.Option(help="English or Korean.")]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a page to play with there, too.")
]
Picture = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the way there, too: .svg or .png."),
]


@app.command()
@in_sentences
def conv(
    input: Input = None,
    filter: Annotated[
        str | None,
        typer.Option(metavar="FN,C,FH,FW", help="Shape of the filters.", show_default="2,C,2,2"),
    ] = None,
    stride: Stride = None,
    pad: Pad = None,
    dilation: Dilation = None,
    batch: Batch = None,
    image: Image = None,
    data: Data = None,
    backward: Backward = False,
    html: Html = None,
    picture: Picture = None,
    lang: Lang = "en",
) -> None:
    """Take a convolution apart: im2col, one matrix product, and the shape put right again.

    Without options: the example of the lecture, of one image.
    """
    from .convolution import convolution

    x = _images(input, batch, image, data)
    shape = inputs.sizes("--filter", filter or f"2,{x.shape[1]},2,2", "FN,C,FH,FW")
    W = inputs.small_numbers(shape, -1, 2, seed=1)
    W.reshape(len(W), -1)[~W.any(axis=(1, 2, 3)), :1] = 1  # a filter of zeros would show nothing
    trace = convolution(x, W, lang=lang, **inputs.moves(stride, pad, dilation))
    _show(trace, backward, bool(image or data), html, picture)


@app.command()
@in_sentences
def pool(
    input: Input = None,
    pool: Annotated[str, typer.Option(metavar="PH,PW", help="Size of the window.")] = "2,2",
    stride: Stride = None,
    pad: Pad = None,
    dilation: Dilation = None,
    batch: Batch = None,
    image: Image = None,
    data: Data = None,
    backward: Backward = False,
    html: Html = None,
    picture: Picture = None,
    lang: Lang = "en",
) -> None:
    """Take a max-pooling apart: im2col, a row for each window, and the largest number of each.

    Without options: the example of the lecture, of one image.
    """
    from .pooling import pooling

    x = _images(input, batch, image, data)
    height, width = inputs.sizes("--pool", pool, "PH,PW")
    trace = pooling(x, height, width, lang=lang, **inputs.moves(stride, pad, dilation))
    _show(trace, backward, bool(image or data), html, picture)


@app.command()
@in_sentences
def network(
    weights: Annotated[
        Path | None,
        typer.Argument(
            metavar="[WEIGHTS]",
            help="File of pyconv train; without it, a network is trained for a few seconds.",
        ),
    ] = None,
    stride: Stride = None,
    pad: Pad = None,
    dilation: Dilation = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A picture, or an .npy file, to send through it."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Test images of digits, mnist, fashion, or a folder of IDX files.",
            show_default="digits",
        ),
    ] = None,
    index: Annotated[int, typer.Option(min=0, help="Which of the images comes first.")] = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many of them.", show_default="1; of data on a page, 4 to choose from"
        ),
    ] = None,
    picture: Picture = None,
    html: Html = None,
    lang: Lang = "en",
) -> None:
    """Take a network apart: every layer's shape, its maps, and the probabilities.

    WEIGHTS is an .npz file that pyconv train or a network's save_params wrote.
    Without it the MNIST network of the lecture is trained here and not kept,
    which takes seconds, on the digits that come with pyconv. --stride, --pad
    and --dilation are its convolution's then.
    """
    from .network_command import Options, explain

    moves = inputs.moves(stride, pad, dilation)
    for note in explain(Options(weights, moves, image, data, index, batch, picture, html, lang)):
        typer.echo(f"{image}: {note}", err=True)


def _images(shape: str | None, batch: int | None, image: Path | None, data: str | None) -> Array:
    x, notes = inputs.images(shape, batch, image, data)
    for note in notes:
        typer.echo(f"{image}: {note}", err=True)
    return x


def _show(
    trace: "ConvolutionTrace | PoolingTrace",
    backward: bool,
    values: bool,
    html: Path | None,
    picture: Path | None,
) -> None:
    from rich.console import Console

    from .terminal import print_trace

    need_folder(html, picture)
    if html is not None:
        from .figure import write_figure

        write_figure(trace, html)
    if picture is not None:
        from .picture import save_picture

        save_picture(trace, picture)
    console = Console(highlight=False, markup=False)
    print_trace(trace, console, values)
    if backward:
        console.print()
        print_trace(trace.backward(), console, values)
    if html is not None:
        console.print()
        console.print(Words(trace.lang)("page", file=html), soft_wrap=True)
