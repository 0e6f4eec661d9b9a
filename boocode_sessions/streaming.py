"""Transcripts of any size, entry by entry, in memory that does not grow with them.

Each page is a query of its own that goes on where the last one ended. Nothing is held between two: no
connection, no cursor and no transaction, however long the reader takes. So it works beside writers and behind
a transaction pooler. Entries that are appended meanwhile are read too.
"""

from collections.abc import AsyncIterator, Iterator

from boocode_sessions._core.codec import decode
from boocode_sessions._core.keys import SessionKey, SessionStoreEntry, transcript_of
from boocode_sessions._core.operations import Tables
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.errors import DamagedEntryError
from boocode_sessions.repository import AsyncBind, core_of, in_greenlet

PAGE_ROWS = 500
"""Most entries of a page. The first has a tenth of them, as nobody knows yet how large they are."""
PAGE_CHARS = 4 << 20
"""JSON that a page should come to, going by the page before it."""


def iterate(bind: Bind, key: SessionKey, *, schema: str | None = None) -> Iterator[SessionStoreEntry]:
    """A transcript's entries, oldest first; none when it was never written.

    Over an Engine or a sessionmaker each page is a transaction of its own; over a Connection or a Session all
    are in the caller's. Raises SessionStoreError where the entries before it were given already.
    """
    pages = _Pages(Transactions(bind, schema), key)
    while page := pages.next():
        yield from page


async def iterate_async(
    bind: AsyncBind, key: SessionKey, *, schema: str | None = None
) -> AsyncIterator[SessionStoreEntry]:
    """As `iterate`, for asyncio."""
    transactions = Transactions(core_of(bind), schema)
    pages = _Pages(transactions, key)
    while page := await in_greenlet(transactions.dialect, pages.next):
        for entry in page:
            yield entry


class _Pages:
    def __init__(self, transactions: Transactions, key: SessionKey) -> None:
        self._transactions = transactions
        self._transcript = transcript_of(key)
        self._after = 0
        self._read = 0
        self._most = PAGE_ROWS // 10

    def next(self) -> list[SessionStoreEntry]:
        """The next page; empty at the end."""
        rows = self._transactions.read(f"read {self._transcript}", self._select)
        if not rows:
            return []
        size = sum(len(text) for _, text in rows)
        self._after = rows[-1][0]
        self._most = max(1, min(PAGE_ROWS, len(rows) * PAGE_CHARS // size))
        return [self._decoded(text) for _, text in rows]

    def _select(self, tables: Tables) -> list[tuple[int, str]]:
        where = statements.in_transcript(self._transcript)
        page = {**where, "after": self._after, "most": self._most}
        return [(row_id, text) for row_id, text in tables.select(statements.select_page(), page)]

    def _decoded(self, text: str) -> SessionStoreEntry:
        try:
            entry = decode(text)
        except DamagedEntryError as error:
            problem = f"read {self._transcript}, entry {self._read}: {error}"
        else:
            self._read += 1
            return entry
        raise DamagedEntryError(problem)
