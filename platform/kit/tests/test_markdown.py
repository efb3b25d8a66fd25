"""Markdown from models becomes safe HTML: one element a block, nothing loaded from elsewhere."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.markdown import render, render_blocks


def test_each_top_level_block_is_one_element() -> None:
    blocks = render_blocks("# Title\n\nText *and* more\n\n- a\n- b\n\n> said\n\n---\n\n|a|b|\n|-|-|\n|1|2|\n")
    assert [block.split(">")[0].split(" ")[0] for block in blocks] == [
        "<h1", "<p", "<ul", "<blockquote", "<hr", "<div",
    ]  # fmt: skip


def test_code_is_highlighted_and_named() -> None:
    (block,) = render_blocks("```python\nprint('<b>')\n```")
    assert '<div class="code-head"><span>python</span></div>' in block
    assert '<span class="nb">print</span>' in block
    assert "<b>" not in block


def test_an_unknown_language_is_shown_plainly() -> None:
    assert "&lt;x&gt;" in render_blocks("```klingon\n<x>\n```")[0]


def test_an_unfinished_fence_is_drawn_as_it_grows() -> None:
    assert render_blocks("Text\n\n```py\nx = 1")[1].startswith('<div class="code-block">')


def test_an_image_becomes_a_link() -> None:
    html = render("![a cat](https://example.com/cat.png)")
    assert "<img" not in html
    assert 'href="https://example.com/cat.png"' in html
    assert ">a cat</a>" in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](javascript:alert(1))",
        "[x](data:text/html,<script>)",
        '[x](https://a "onmouseover=alert(1)")',
        '```"><script>alert(1)</script>\ncode\n```',
        "<iframe src=//evil></iframe>",
        "<style>*{display:none}</style>",
    ],
)
def test_nothing_hostile_survives(hostile: str) -> None:
    seen = Elements()
    seen.feed(render(hostile))
    assert seen.tags <= {"p", "a", "div", "span", "pre", "code"}
    assert all(name in {"href", "rel", "class", "title"} for name, _ in seen.attributes)
    assert all((value or "").startswith("https:") for name, value in seen.attributes if name == "href")


class Elements(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


@given(st.text(alphabet="#*_`[]()!<>|-~ \n\tabc\"'&é", max_size=80))
def test_any_text_gives_elements_only(text: str) -> None:
    for block in render_blocks(text):
        assert block.startswith("<")
        assert "<script" not in block
