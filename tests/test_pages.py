"""What pages of HTML share: a template, its parts and its words."""

import json
import sys

import pytest

from pyconv import pages


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a page of its own."""
    folder = tmp_path / "own_page"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html").write_text("<p><!--text--></p><!--page.css--><!--head.html--><!-- A -->")
    (folder / "page.css").write_text("<!--text-->")
    (folder / "words.json").write_text('{"en": {"row": "row"}, "ko": {"row": "행"}}', "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_page"
    sys.modules.pop("own_page", None)


def test_marks_stand_for_parts_and_files(package, tmp_path):
    pages.write(tmp_path / "page.html", package, {"text": "행 <!--page.css-->"})
    page = (tmp_path / "page.html").read_text("utf-8")
    # What looks like a mark in a part or a file stays, as does a comment.
    assert page.startswith("<p>행 <!--page.css--></p><!--text--><meta charset")
    assert page.endswith("<!-- A -->")


def test_a_part_that_is_missing_leaves_the_old_page(package, tmp_path):
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(KeyError):
        pages.write(tmp_path / "page.html", package, {})
    assert (tmp_path / "page.html").read_text() == "before"


def test_words_are_of_one_language(package):
    assert pages.words(package, "ko") == {"row": "행"}
    with pytest.raises(ValueError, match=r"lang must be 'en' or 'ko', not 'de'"):
        pages.words(package, "de")


def test_data_and_texts_cannot_break_out():
    hostile = {"text": "</script><!--&\u2028"}
    held = pages.as_script(hostile)
    assert json.loads(held) == hostile
    assert not set("<>&\u2028") & set(held)
    assert pages.escaped({"a": "<'\">"}) == {"a": "&lt;&#x27;&quot;&gt;"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        pages.as_script(float("inf"))
