"""Turns text into HTML that only shows it. No other module makes markup from the text of transcripts."""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename  # pyright: ignore[reportUnknownVariableType]
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from boocode_sessions._core.attributes import visible

if TYPE_CHECKING:
    from pygments.lexer import Lexer

HIGHLIGHTED_CHARS = 20_000
"""Longer code is not highlighted: a lexer may take quadratic time, and its markup is larger than the code."""
MARKDOWN_CHARS = 100_000
"""Longer text is shown as written."""

_LINKS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
"""Links that a message may have. Anything else, such as javascript:, file: or //host/share, stays text."""


def plain(text: str) -> Markup:
    """Render text as written, with its line ends."""
    return Markup('<pre class="plain"><code>{}</code></pre>').format(visible(text))


def code(text: str, language: str | None = None, *, file: str | None = None) -> Markup:
    """Render code, highlighted if the language's name or the file's ending is known."""
    shown = visible(text)
    lexer = None
    if len(shown) <= HIGHLIGHTED_CHARS:
        lexer = _lexer(language, PurePosixPath(file or "").suffix)
    inner = escape(shown) if lexer is None else _marked(lexer, shown)
    return Markup('<pre class="code"><code>{}</code></pre>').format(inner)


def markdown(text: str) -> Markup:
    """Render Markdown. If the HTML shows less than was written, the source is folded below it."""
    shown = visible(text)
    if len(shown) > MARKDOWN_CHARS:
        return plain(text)
    try:
        rendered = Markup(_markdown().render(shown))  # noqa: S704 - it passes no HTML through
    except RecursionError:
        return plain(text)
    if _letters(html.unescape(_TAG.sub("", rendered))) == _letters(shown):
        return rendered
    return rendered + Markup('<details class="source"><summary>as written</summary>{}</details>').format(
        plain(text)
    )


@cache
def code_styles(style: str, prefix: str) -> str:
    """Return the style sheet of highlighted code."""
    formatter: HtmlFormatter[str] = HtmlFormatter(style=style)
    return str(formatter.get_style_defs(prefix))  # type: ignore[no-untyped-call]


_TAG = re.compile(r"<[^>]*>")


def _letters(text: str) -> str:
    return "".join(text.split())


_UNMARKED = frozenset({"", "n", "p", "w", "o"})
"""Pygments' classes that look (nearly) like plain text, which most tokens of a program have."""


def _marked(lexer: Lexer, text: str) -> Markup:
    """Render code with a class only for tokens that get a color: a third of HtmlFormatter's output."""
    parts: list[str] = []
    for kind, tokens in groupby(lexer.get_tokens(text), key=lambda token: STANDARD_TYPES.get(token[0], "")):
        shown = html.escape("".join(part for _, part in tokens))
        parts.append(shown if kind in _UNMARKED else f'<span class="{kind}">{shown}</span>')
    return Markup("".join(parts))  # noqa: S704 - escaped above


@lru_cache(256)
def _lexer(language: str | None, suffix: str) -> Lexer | None:
    """Return the lexer of a language, or else of files with this ending; None if it is not known."""
    try:
        if language:
            return get_lexer_by_name(language, stripnl=False, ensurenl=False)
        return get_lexer_for_filename(f"file{suffix}", stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("js-default", {"html": False, "breaks": True})
    made.validateLink = lambda url: _LINKS.match(url) is not None  # type: ignore[method-assign]
    for name, rule in {
        "link_open": _link_open,
        "image": _image,
        "td_open": _cell,
        "th_open": _cell,
        "code_block": _code_block,
        "fence": _fence,
    }.items():
        made.add_render_rule(name, rule)
    return made


Rendered = Sequence[Token]


def _code_block(_self: RendererHTML, tokens: Rendered, at: int, _options: Any, _env: Any) -> str:
    return str(code(tokens[at].content))


def _fence(_self: RendererHTML, tokens: Rendered, at: int, _options: Any, _env: Any) -> str:
    said = tokens[at].info.strip()
    name = Markup('<span class="language">{}</span>').format(said) if said else Markup()
    return str(name + code(tokens[at].content, said.partition(" ")[0].lower() or None))


def _link_open(
    self: RendererHTML, tokens: Rendered, at: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    tokens[at].attrSet("rel", "noreferrer noopener")
    return self.renderToken(tokens, at, options, env)


def _image(self: RendererHTML, tokens: Rendered, at: int, options: Any, env: MutableMapping[str, Any]) -> str:
    """Render an image on another server as a link to it, because the page makes no requests."""
    token = tokens[at]
    name = self.renderInlineAsText(token.children or [], options, env) or "image"
    return str(Markup('<a href="{}" rel="noreferrer noopener">{}</a>').format(token.attrGet("src"), name))


def _cell(self: RendererHTML, tokens: Rendered, at: int, options: Any, env: MutableMapping[str, Any]) -> str:
    """Render alignment as a class, because the page allows no style attributes."""
    style = str(tokens[at].attrs.pop("style", ""))
    if style:
        tokens[at].attrSet("class", style.removeprefix("text-align:"))
    return self.renderToken(tokens, at, options, env)
