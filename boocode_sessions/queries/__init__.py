"""Queries over your transcripts.

Each function takes a `bind` (an Engine, sessionmaker, Connection or Session) and returns a list of typed
rows. IPython and Jupyter show it as a table, and `to_pandas()` and `to_polars()` turn it into a data frame.
Queries change no transcript, and rows of every writer count. Times are aware and in UTC; `since` is inclusive
and `until` is exclusive. `schema` names the schema of the tables, if the connection's search path does not
lead to it. Over an AsyncEngine or an AsyncSession, use `boocode_sessions.run_sync`:
`await run_sync(queries.sessions, engine)`.
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
    """Import a query's module when the query is first used: the listing needs neither pages nor plots.

    No module may have a function's name: importing the module would replace the function here.
    """
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
