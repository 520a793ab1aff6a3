"""`pyconv explain`: a layer or a network, step by step, in the terminal and as a page."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..checks import Array
from ..files import need_folder
from ..sentences import in_sentences
from . import inputs
from .convolution import ConvolutionTrace, convolution
from .pooling import PoolingTrace, pooling

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
Stride = Annotated[str, typer.Option(metavar="N|H,W", help="From one window to the next.")]
Pad = Annotated[
    str,
    typer.Option(
        metavar="N|H,W|T,B,L,R|same|valid", help="Zeros around an image, or how many there are."
    ),
]
Dilation = Annotated[
    str, typer.Option(metavar="N|H,W", help="From one tap of a window to the next.")
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
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page to point at and to play with, instead of printing.",
    ),
]
Lang = Annotated[Language, typer.Option(help="English or Korean.")]


@app.command()
@in_sentences
def conv(
    input: Input = None,
    filter: Annotated[
        str | None,
        typer.Option(metavar="FN,C,FH,FW", help="Shape of the filters.", show_default="2,C,2,2"),
    ] = None,
    stride: Stride = "1",
    pad: Pad = "0",
    dilation: Dilation = "1",
    batch: Batch = None,
    image: Image = None,
    data: Data = None,
    backward: Backward = False,
    html: Html = None,
    lang: Lang = "en",
) -> None:
    """Take a convolution apart: im2col, one matrix product, and the shape put right again.

    Without options: the example of the lecture, of one image.
    """
    x = _images(input, batch, image, data)
    shape = inputs.sizes("--filter", filter or f"2,{x.shape[1]},2,2", "FN,C,FH,FW")
    W = inputs.small_numbers(shape, -1, 2, seed=1)
    trace = convolution(
        x, W, None, inputs.per_axis("--stride", stride), inputs.padding(pad),
        inputs.per_axis("--dilation", dilation), lang,
    )  # fmt: skip
    _show(trace, backward, html, bool(image or data))


@app.command()
@in_sentences
def pool(
    input: Input = None,
    pool: Annotated[str, typer.Option(metavar="PH,PW", help="Size of the window.")] = "2,2",
    stride: Stride = "1",
    pad: Pad = "0",
    dilation: Dilation = "1",
    batch: Batch = None,
    image: Image = None,
    data: Data = None,
    backward: Backward = False,
    html: Html = None,
    lang: Lang = "en",
) -> None:
    """Take a max-pooling apart: im2col, a row for each window, and the largest number of each.

    Without options: the example of the lecture, of one image.
    """
    x = _images(input, batch, image, data)
    height, width = inputs.sizes("--pool", pool, "PH,PW")
    trace = pooling(
        x, height, width, inputs.per_axis("--stride", stride), inputs.padding(pad),
        inputs.per_axis("--dilation", dilation), lang,
    )  # fmt: skip
    _show(trace, backward, html, bool(image or data))


def _images(shape: str | None, batch: int | None, image: Path | None, data: str | None) -> Array:
    x, notes = inputs.images(shape, batch, image, data)
    for note in notes:
        typer.echo(f"{image}: {note}", err=True)
    return x


def _show(
    trace: ConvolutionTrace | PoolingTrace, backward: bool, html: Path | None, values: bool
) -> None:
    if html is not None:
        if backward:
            raise ValueError("the page of --html has no gradients; give --backward without it")
        from .figure import write_figure

        need_folder(html)
        write_figure(trace, html, trace.lang)
        return typer.echo(f"{html}: a page to open in a browser")
    from rich.console import Console

    from .terminal import print_trace

    console = Console(highlight=False, markup=False)
    print_trace(trace, console, values)
    if backward:
        console.print()
        print_trace(trace.backward(), console, values)
