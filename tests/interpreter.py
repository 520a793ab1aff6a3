"""A fresh Python, for what a process does at its beginning or can do but once."""

import ast
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def python(code, *arguments, timeout=60, **environment):
    """Run `code` in a fresh interpreter, with none of our variables set but those given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYCONV_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],  # -P: the installed pyconv, not a folder's
        env=inherited | environment, cwd=TESTS.parent, capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip


def printed(code, *arguments, **environment):
    """What `code` prints, as a Python value."""
    run = python(code, *arguments, **environment)
    assert run.returncode == 0, run.stderr
    return ast.literal_eval(run.stdout)
