"""Takes ahead what questions are answered from."""

from __future__ import annotations

from collections.abc import Callable

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.derived.catching_up import no_progress
from boocode_sessions._core.derived.indexing import take_everything
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork


@checked
def prepare(
    bind: Bind, *, schema: str | None = None, progress: Callable[[int, int], None] | None = None
) -> None:
    """Take what `usage`, `tools` and `search` are answered from out of the entries that are new.

    Whoever asks does the same first, so that nobody has to call it: it is for a time when nobody waits, as
    after an import. It takes lines in short transactions beside live writers, and goes on where it was
    stopped. Over a Connection or a Session, whose transaction is not ours to write in, it does nothing. Of an
    encrypted store it takes no words, since search is off.

    Args:
        bind: As for the questions.
        schema: Where the tables are, when the connection's search path does not lead there.
        progress: Called with how many sessions are done, and of how many: first for `usage` and `tools`, then
            for `search`.

    Raises:
        SessionStoreError: Nothing may be written, or another who takes lines has the lock for too long.
    """
    unit_of_work = UnitOfWork(bind, schema)
    if unit_of_work.own:
        take_everything(unit_of_work, progress or no_progress)
