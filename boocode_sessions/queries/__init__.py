"""Questions to your transcripts.

Each function takes a `bind` (an Engine, sessionmaker, Connection or Session) and returns a list of typed
rows, which IPython and Jupyter show as a table, and which `to_pandas()` and `to_polars()` turn into a frame.
It only reads, and rows of every writer count. Times are aware, in UTC; `since` is included and `until` is
not. `schema` is where the tables are, when the connection's search path does not lead there. Over an
AsyncEngine or an AsyncSession: `await boocode_sessions.run_sync(queries.sessions, engine, ...)`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boocode_sessions.queries.finding import SessionRef, find_session, projects
    from boocode_sessions.queries.listing import SessionRow, sessions
    from boocode_sessions.queries.messages import Conversation, Message, conversation
    from boocode_sessions.queries.page import as_html
    from boocode_sessions.queries.preparing import prepare
    from boocode_sessions.queries.prices import PriceList, list_prices, read_prices
    from boocode_sessions.queries.rows import Rows
    from boocode_sessions.queries.searching import Match, search
    from boocode_sessions.queries.single_calls import ToolCall, tool_calls
    from boocode_sessions.queries.token_usage import Price, Usage, UsageRow, usage
    from boocode_sessions.queries.tool_statistics import ToolRow, tools

__all__ = [
    "Conversation",
    "Match",
    "Message",
    "Price",
    "PriceList",
    "Rows",
    "SessionRef",
    "SessionRow",
    "ToolCall",
    "ToolRow",
    "Usage",
    "UsageRow",
    "as_html",
    "conversation",
    "find_session",
    "list_prices",
    "prepare",
    "projects",
    "read_prices",
    "search",
    "sessions",
    "tool_calls",
    "tools",
    "usage",
]

_MODULES = {
    "finding": {"SessionRef", "find_session", "projects"},
    "listing": {"SessionRow", "sessions"},
    "messages": {"Conversation", "Message", "conversation"},
    "page": {"as_html"},
    "preparing": {"prepare"},
    "prices": {"PriceList", "list_prices", "read_prices"},
    "rows": {"Rows"},
    "searching": {"Match", "search"},
    "single_calls": {"ToolCall", "tool_calls"},
    "token_usage": {"Price", "Usage", "UsageRow", "usage"},
    "tool_statistics": {"ToolRow", "tools"},
}


def __getattr__(name: str) -> object:
    """Import a question's module when the question is first asked: the listing needs neither pages nor plots.

    No module has the name of a function, which the import of it would replace here.
    """
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
