"""Markdown to safe HTML, block by block, so that a page can replace only the blocks that changed.

Text comes from models, tools and people: no raw HTML, no remote images (they become links), only safe
schemes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

PLAIN = "text"
LONGEST_HIGHLIGHTED = 50_000  # characters; beyond it colours cost more than they help
ALLOWED_TAGS = frozenset(
    [
        "a",
        "blockquote",
        "br",
        "code",
        "div",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "span",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
ALLOWED_ATTRIBUTES = {
    "a": {"href", "title", "class"},
    "div": {"class"},
    "span": {"class"},
    "ol": {"start"},
    "td": {"class"},
    "th": {"class"},
}


def render_blocks(text: str) -> list[str]:
    """One safe HTML element for each top-level block."""
    env: dict[str, Any] = {}
    blocks = _top_level(_parser.parse(text, env))
    return [_clean(_parser.renderer.render(block, _parser.options, env)) for block in blocks]


def render(text: str) -> SafeString:
    """The whole text as safe HTML."""
    return mark_safe("".join(render_blocks(text)))  # noqa: S308 - every block went through nh3


def _top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _clean(html: str) -> str:
    return nh3.clean(
        html.strip(),
        tags=set(ALLOWED_TAGS),
        attributes={tag: set(names) for tag, names in ALLOWED_ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _image(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A link in the image's place: nothing is fetched from elsewhere until somebody clicks."""
    token = tokens[index]
    source = str(token.attrGet("src") or "")
    return format_html('<a class="image-link" href="{}">{}</a>', source, token.content or source)


def _fence(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.strip().split(" ", 1)[0] if token.info.strip() else PLAIN
    return (
        f'<div class="code-block"><div class="code-head"><span>{escape(language)}</span></div>'
        f'<div class="highlight"><pre>{_coloured(token.content, language)}</pre></div></div>'
    )


def _coloured(code: str, language: str) -> str:
    if language == PLAIN or len(code) > LONGEST_HIGHLIGHTED:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _table(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Wide tables scroll in a box of their own."""
    tag = renderer.renderToken(tokens, index, options, env)
    return f'<div class="table-scroll">{tag}' if tokens[index].nesting == 1 else f"{tag}</div>"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": False, "maxNesting": 30})
    parser.enable(["table", "strikethrough"])
    for name, rule in {
        "image": _image,
        "fence": _fence,
        "code_block": _fence,
        "table_open": _table,
        "table_close": _table,
    }.items():
        parser.add_render_rule(name, rule)
    return parser


_parser = _make_parser()
