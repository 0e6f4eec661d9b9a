"""Reads transcripts of any size entry by entry. Memory use does not grow with the transcript.

Each page is a query of its own that continues where the last one ended. Between two pages nothing is held: no
connection, no cursor and no transaction, however long the reader takes. So it works beside writers and behind
a transaction pooler. Entries that are appended meanwhile are read too.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher, Opener
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.greenlets import AsyncBind, core_of, in_callers_scope, in_greenlet
from boocode_sessions._core.keys import KeyLike, transcript_of
from boocode_sessions._core.operations import decode_at
from boocode_sessions._core.statements.parameters import in_transcript
from boocode_sessions._core.statements.read import select_page
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork

PAGE_ROWS = 500
"""Maximum entries of a page. The first page has a tenth of them, because their size is not known yet."""
PAGE_CHARS = 4 << 20
"""Characters of JSON that a page should have, estimated from the page before it."""


@checked
def iterate(
    bind: Bind, key: KeyLike, *, schema: str | None = None, encryption: Cipher | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a transcript's entries, oldest first; none if it was never written.

    Args:
        bind: An Engine or sessionmaker, over which each page is a transaction of its own; or a Connection or
            Session, whose transaction all pages join.
        key: The transcript's key.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        SessionStoreError: A page can't be read. The entries before it have been yielded already.
    """
    pages = _Pages(UnitOfWork(bind, schema, encryption), key)
    while page := pages.next():
        yield from page


@checked
async def iterate_async(
    bind: AsyncBind, key: KeyLike, *, schema: str | None = None, encryption: Cipher | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Like `iterate`, for asyncio.

    Args:
        bind: An AsyncEngine, async_sessionmaker, AsyncConnection or AsyncSession.
        key: The transcript's key.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        SessionStoreError: As for `iterate`.
    """
    pages = _Pages(UnitOfWork(in_callers_scope(core_of(bind)), schema, encryption), key)
    while page := await in_greenlet(pages.next):
        for entry in page:
            yield entry


class _Pages:
    def __init__(self, unit_of_work: UnitOfWork, key: KeyLike) -> None:
        self._unit_of_work = unit_of_work
        self._transcript = transcript_of(key)
        cipher = unit_of_work.cipher
        self._opener = None if cipher is None else Opener(cipher, self._transcript)
        self._after = (0, 0)
        self._read = 0
        self._most = PAGE_ROWS // 10

    def next(self) -> list[dict[str, Any]]:
        """Return the next page; an empty one at the end."""
        rows = self._unit_of_work.read(f"read {self._transcript}", self._select)
        if not rows:
            return []
        size = sum(len(text) for _, _, text, _ in rows)
        self._after = rows[-1][:2]
        self._most = max(1, min(PAGE_ROWS, len(rows) * PAGE_CHARS // size))
        entries = [
            decode_at(self._transcript, self._read + place, text, self._opener, (position, key))
            for place, (position, _, text, key) in enumerate(rows)
        ]
        self._read += len(entries)
        return entries

    def _select(self, connection: StoreConnection) -> list[tuple[int, int, str, bytes | None]]:
        position, row_id = self._after
        where = in_transcript(self._transcript)
        page = {**where, "after_position": position, "after_id": row_id, "most": self._most}
        return [(at, row, text, key) for at, row, text, key in connection.select(select_page(), page)]
