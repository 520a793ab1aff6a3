"""A profile as one page of HTML, which needs nothing but itself."""

import html
from pathlib import Path
from typing import Any

from .. import pages

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
    parts = {
        "title": html.escape(f"pyconv profile: {result['machine']['cpu']}"),
        "result": pages.as_script({**result, "rows": drawn}),
    }
    pages.write(target, __package__, parts)
