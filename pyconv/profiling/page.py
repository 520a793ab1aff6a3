"""A profile as one page of HTML, which needs nothing but itself."""

import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files import replacing

FORMAT = 2  # of the profile that the page draws


def write_page(result: dict[str, Any], target: Path) -> None:
    """Write a profile as a page of HTML, all of it or nothing.

    The page holds the numbers and the scripts that draw them: a roofline plot, bars of speed-up,
    the scaling with threads and the instruction sets side by side where there are several, and the
    table.

    Parameters
    ----------
    result : dict
        What `pyconv profile --json` writes.
    target : Path
        The file to write, in a folder that exists.

    Raises
    ------
    ValueError
        When the result is of another format, has no rows or holds a number that is not finite.
    OSError
        When the file cannot be written.
    """
    if result.get("format") != FORMAT:
        raise ValueError(
            f"a page is drawn from a profile of format {FORMAT}, not of {result.get('format')!r}; "
            "measure it again with this version of pyconv"
        )
    if not result["rows"]:
        raise ValueError("a page needs a row at least, and this profile has none")
    drawn = [{key: row[key] for key in row if key != "rounds"} for row in result["rows"]]
    folder = files(__package__)

    def text(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    parts = {
        "title": html.escape(f"pyconv profile: {result['machine']['cpu']}"),
        "style": text("page.css"),
        "roofline": text("roofline.js"),
        "script": text("page.js"),
        "result": as_script({**result, "rows": drawn}),
    }
    # All the marks <!--name--> in one go: what looks like a mark in a part stays as it is.
    page = re.sub("<!--([a-z]+)-->", lambda mark: parts[mark[1]], text("page.html"))
    with replacing(target) as part:
        part.write_text(page, encoding="utf-8")


def as_script(data: dict[str, Any]) -> str:
    """JSON that is safe inside a `<script>`: whatever its strings say, they cannot end it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
