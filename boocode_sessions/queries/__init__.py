"""Questions to your transcripts.

Each function takes a `bind` (an Engine, sessionmaker, Connection or Session) and returns a list of typed
rows, which IPython and Jupyter show as a table, and which `to_pandas()` and `to_polars()` turn into a frame.
It only reads, and rows of every writer count. Times are aware, in UTC; `since` is included and `until` is
not. `schema` is where the tables are, when the connection's search path does not lead there. Over an
AsyncEngine or an AsyncSession: `await boocode_sessions.run_sync(queries.sessions, engine, ...)`.
"""

from boocode_sessions.queries.conversation import Conversation, Message, conversation
from boocode_sessions.queries.finding import SessionRef, find_session, projects
from boocode_sessions.queries.listing import SessionRow, sessions
from boocode_sessions.queries.page import as_html
from boocode_sessions.queries.prices import PriceList, list_prices, read_prices
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.searching import Match, search
from boocode_sessions.queries.tool_calls import ToolCall, tool_calls
from boocode_sessions.queries.tools import ToolRow, tools
from boocode_sessions.queries.usage import Price, Usage, UsageRow, usage

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
    "projects",
    "read_prices",
    "search",
    "sessions",
    "tool_calls",
    "tools",
    "usage",
]
