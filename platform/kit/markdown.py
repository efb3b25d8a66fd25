"""Renders Markdown as safe HTML, block by block, so that a page can replace only the changed blocks.

Text comes from models, tools and people: no raw HTML, no remote images (they become links), only safe URL
schemes. Text that exceeds the reply's time limit is shown unformatted.
"""

import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from kit.bounded_cache import BoundedCache
from kit.highlighter import Budget, coloured

PLAIN = "text"
REPLY_SECONDS = 0.4  # per reply
PAGE_SECONDS = 1.0  # for all replies of a page that are not cached
PIECE = 6_000  # characters parsed at a time
MOST_MARKUP = 2_000  # markup characters in one paragraph; each costs about 50 µs
MOST_CELLS = 10_000  # of all tables of a piece, including empty cells of short rows
MOST_ESCAPES = 10_000  # in one block: nh3 is quadratic in their number
LONGEST_GROWING = 1_500  # characters of code that is highlighted while it is still growing
MARKUP = "[]*_`<!&~\\"
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


def render_blocks(text: str, budget: Budget | None = None) -> list[str]:
    """One safe HTML element per top-level block.

    Reference links work if they are defined earlier in the text, or within the same PIECE.
    """
    return [html for _, html in _rendered(_unix(text), {}, budget or Budget(REPLY_SECONDS))]


def render(text: str, page: Budget | None = None) -> SafeString:
    """The whole text as safe HTML; cached by its hash, unless `page` is short of time."""
    key = sha256(text.encode("utf-8", "replace")).digest()
    html = _cache.get(key)
    if html is None:
        own = Budget(REPLY_SECONDS if page is None else min(REPLY_SECONDS, page.left))
        most = own.left
        html = "".join(render_blocks(text, own))
        if page is not None:
            page.left -= most - own.left
        if not own.was_busy and (most >= REPLY_SECONDS or not own.was_short):
            _cache.put(key, html)
    return mark_safe(html)  # noqa: S308 - nh3 cleaned every block


class GrowingText:
    """A growing reply: blocks before the last two are rendered only once."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._new: list[str] = []  # pieces not yet rendered
        self._rest = ""
        self._blocks: list[str] = []
        self._env: dict[str, Any] = {}
        self.is_blank = True

    def add(self, text: str) -> None:
        self._pieces.append(text)
        self._new.append(text)
        self.is_blank = self.is_blank and not text.strip()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def blocks(self) -> list[str]:
        """As `render_blocks`, but long code in the last block stays plain while it may grow."""
        new, self._new = self._new, []
        self._rest = _unix("".join([self._rest, *new]))
        pairs = _rendered(self._rest, self._env, Budget(REPLY_SECONDS), is_growing=True)
        shown = [*self._blocks, *(html for _, html in pairs)]
        if len(pairs) > 2:
            self._rest = self._rest[pairs[-2][0] :]
            self._blocks += (html for _, html in pairs[:-2])
        return shown


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rendered(
    text: str, env: dict[str, Any], budget: Budget, *, is_growing: bool = False
) -> list[tuple[int, str]]:
    """The start and HTML of each block. Parses the text piece by piece while there is time."""
    done: list[tuple[int, str]] = []
    begin, length = 0, PIECE
    while begin < len(text):
        if budget.is_spent():
            return [*done, (begin, f"<p>{escape(text[begin:])}</p>")]
        end = text.find("\n", begin + length) + 1 or len(text)
        begun = time.thread_time()
        env.update(budget=budget, is_plain=False, cells=0)
        blocks = list(_top_level(_parser.parse(text[begin:end], env)))
        is_last = end == len(text)
        if not is_last and len(blocks) < 2:  # the block is longer than the piece
            length *= 2
        else:
            starts = [begin, *(begin + length for length in accumulate(map(len, _lines(text[begin:end]))))]
            for block in blocks if is_last else blocks[:-1]:
                env["is_plain"] = is_growing and is_last and block is blocks[-1]
                html = _parser.renderer.render(block, _parser.options, env)
                first, last = block[0].map or [0, 0]
                if html.count("&") > MOST_ESCAPES:
                    html = f"<pre>{escape(text[starts[first] : starts[last]])}</pre>"
                else:
                    html = _clean(html)
                done.append((starts[first], html))
            begin, length = end if is_last else starts[(blocks[-1][0].map or [0])[0]], PIECE
        budget.left -= time.thread_time() - begun
    return done


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.split("\n")]


def _inline(state: StateCore) -> None:
    """Parses inline markup, except in paragraphs with too much of it."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = token.children if token.children is not None else []
        markup = sum(map(token.content.count, MARKUP))
        if markup > MOST_MARKUP or (markup and state.env["budget"].is_spent()):
            token.children.append(Token("text", "", 0, content=token.content))
            continue
        state.md.inline.parse(token.content, state.md, state.env, token.children)


def _bounded_table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A table unless it has too many cells: even a one-character row has a cell for every column."""
    if begin + 1 >= end or not set(_line(state, begin + 1)) <= set("|-: \t"):
        return False
    rows = next((n for n in range(begin, end) if state.isEmpty(n)), end) - begin
    state.env["cells"] += _line(state, begin).count("|") * rows
    return state.env["cells"] <= MOST_CELLS and table(state, begin, end, silent)


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


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
    """A link instead of the image: nothing is fetched until someone clicks it."""
    token = tokens[index]
    source = str(token.attrGet("src") or "")
    return format_html('<a class="image-link" href="{}">{}</a>', source, token.content or source)


def _fence(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.strip().split(" ", 1)[0] if token.info.strip() else PLAIN
    is_plain = language == PLAIN or (env["is_plain"] and len(token.content) > LONGEST_GROWING)
    code = escape(token.content) if is_plain else coloured(token.content, language, env["budget"])
    return (
        f'<div class="code-block"><div class="code-head"><span>{escape(language)}</span></div>'
        f'<div class="highlight"><pre>{code}</pre></div></div>'
    )


def _table(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Wraps tables in a box, so that wide ones can scroll."""
    tag = renderer.renderToken(tokens, index, options, env)
    return f'<div class="table-scroll">{tag}' if tokens[index].nesting == 1 else f"{tag}</div>"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": False, "maxNesting": 30})
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.at("inline", _inline)
    parser.block.ruler.at("table", _bounded_table, {"alt": ["paragraph", "reference"]})
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
_cache = BoundedCache(most_characters=20_000_000)
