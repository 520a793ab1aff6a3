"""Hypothesis profiles and fixtures that several test files share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import browser as browser
from browser import opened as opened
from figures import figure as figure
from flows import flow_pages as flow_pages
from flows import shown as shown
from hypothesis import HealthCheck, settings

import pyconv

# test_kernels.py multiplies these by ten: 2,000 random cases for every kernel with a geometry
settings.register_profile("full", deadline=None, max_examples=200, print_blob=True)
# for a second run of the same tests: under a sanitizer, or a glance at another instruction set
for name, examples in (("short", 15), ("glance", 5)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=examples,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("full")


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Folder with MNIST's four files; skips the test where it is not there."""
    root = os.environ.get("PYCONV_DATA")
    if not root or not (Path(root) / "mnist").is_dir():
        pytest.skip("MNIST is not here: set PYCONV_DATA to a folder that holds mnist/ to run this")
    return Path(root) / "mnist"


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """`pyconv.set_num_threads`, for one test: kernels compute on as many as before after it."""
    before = pyconv.get_num_threads()
    yield pyconv.set_num_threads
    pyconv.set_num_threads(before)


@pytest.fixture
def away_from_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or fills the real cache, or goes through a proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("PYCONV_DATA", raising=False)


@pytest.fixture
def short_measurements(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pyconv profile` measures peaks for a moment, and calls a few times."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(
        "from pyconv.profiling import machine, worker\n"
        "machine.SECONDS, worker.MOST_SAMPLES = 0.001, 3\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
