"""Markdown from models becomes safe HTML: one element per block, no remote content."""

import random
import socket
import time
from contextlib import ExitStack, closing
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from kit import highlighter
from kit.highlighter import ALIASES, LANGUAGES, Budget, coloured
from kit.markdown import LONGEST_GROWING, GrowingText, render, render_blocks
from kit.tests.cpu_time import cpu_at_most, cpu_with_children


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


def test_code_in_an_unknown_language_is_not_highlighted() -> None:
    assert "&lt;x&gt;" in render_blocks("```klingon\n<x>\n```")[0]


def test_an_unfinished_fence_is_rendered_as_it_grows() -> None:
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
def test_hostile_markup_is_removed(hostile: str) -> None:
    seen = Elements()
    seen.feed(render(hostile))
    assert seen.tags <= {"p", "a", "div", "span", "pre", "code"}
    assert all(name in {"href", "rel", "class", "title"} for name, _ in seen.attributes)
    assert all((value or "").startswith("https:") for name, value in seen.attributes if name == "href")


class Elements(HTMLParser):
    """Parses the HTML as a browser would."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


@given(st.text(alphabet="#*_`[]()!<>|-~ \n\tabc\"'&é", max_size=80))
def test_any_text_renders_as_elements_only(text: str) -> None:
    for block in render_blocks(text):
        assert block.startswith("<")
        assert "<script" not in block


def test_a_growing_reply_ends_up_as_rendered_in_one_go() -> None:
    text = "# Title\n\nSome *text*\n\n```python\nprint(1)\n```\n\n- a\n- b\n\n> said\n\n"
    text += "|a|b|\n|-|-|\n|1|2|\n\nend"
    for step in (1, 7, 50):
        growing = GrowingText()
        for at in range(0, len(text), step):
            growing.add(text[at : at + step])
            shown = growing.blocks()
        assert shown == render_blocks(text)
        assert growing.text == text


def test_long_code_is_highlighted_once_its_block_has_ended() -> None:
    growing = GrowingText()
    growing.add("```python\nprint(1)\n")
    assert '<span class="nb">print</span>' in growing.blocks()[-1]
    growing.add("\n" * LONGEST_GROWING + "```\n")
    assert "<span" not in growing.blocks()[-1].partition("<pre>")[2]
    growing.add("\nand more")
    assert '<span class="nb">print</span>' in growing.blocks()[0]


def test_a_long_text_is_rendered_completely() -> None:
    text = "".join(f"## Part {n}\n\nSome *text* with `code`.\n\n" for n in range(400))
    blocks = render_blocks(text, Budget(60))
    assert len(blocks) == 800
    assert blocks[-1] == "<p>Some <em>text</em> with <code>code</code>.</p>"
    assert len(render_blocks("- item\n" * 5_000, Budget(60))) == 1


SHAPES = {
    "brackets": "[" * 400_000,
    "images": "![" * 100_000,
    "stars": "*a_" * 60_000,
    "quotes": ">\n" * 100_000,
    "items": "1. a\n" * 40_000,
    "lines": "a\n" * 100_000,
    "headings": "# a\n" * 50_000,
    "fences": "```\n" * 50_000,
    "ampersands": "&" * 300_000,
    "wide table": "|" + "a|" * 5_000 + "\n|" + "-|" * 5_000 + "\n" + "|\n" * 20_000,
    "many tables": ("|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n" + "|\n" * 600 + "\n") * 60,
    "blank lines of java": "```java\n" + "\n" * 19_000 + "x\n```",
    "many blocks of java": "".join(f"```java\n{n}" + "\n" * 19_000 + "x\n```\n\n" for n in range(30)),
    "one block of 700 kB": "```c\n" + "\n" * 700_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_rendering_is_bounded_in_time_and_cached_for_the_second_view(shape: str) -> None:
    with cpu_at_most(4, cpu):  # usually one second, including children
        html = render(SHAPES[shape])
    assert html.startswith("<")
    with cpu_at_most(0.3, time.thread_time):
        assert render(SHAPES[shape]) == html


@pytest.mark.slow
def test_a_growing_block_of_hostile_code_is_cheap_to_render_again() -> None:
    growing = GrowingText()
    growing.add("```java\n")
    with cpu_at_most(4, cpu):
        for _ in range(40):  # 11 seconds of CPU each, when it was coloured at every redraw
            growing.add("\n" * 480)
            growing.blocks()


@pytest.mark.slow
def test_a_page_has_one_budget_for_all_its_replies() -> None:
    page = Budget(0.3)
    with cpu_at_most(4, cpu):
        for number in range(30):
            render(f"{number}\n\n" + SHAPES["items"], page)


def test_no_text_is_lost_when_time_runs_out() -> None:
    text = f"<first> {SHAPES['items']} & last"
    html = render(text)
    assert "&lt;first&gt;" in html
    assert html.rstrip("</p>\n").endswith("&amp; last")


def cpu() -> float:
    """CPU time of this process and of the ended highlighter child."""
    highlighter._child.end()
    return cpu_with_children()


def test_every_highlighted_language_has_a_lexer() -> None:
    for name in LANGUAGES:
        get_lexer_by_name(ALIASES.get(name, name))


def test_code_is_highlighted_in_a_process_with_many_connections() -> None:
    """Like a busy web server, with descriptor numbers above 1,024."""
    highlighter._child.end()
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(closing(socket.socket()))
        assert "<span" in coloured(f"print({random.random()})", "python", Budget(1.0))
