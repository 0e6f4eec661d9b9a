"""Refuses an append with another key than the one that its session is encrypted with."""

from boocode_sessions._core.codec import StoredAt, open_entry
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import MAIN, Transcript
from boocode_sessions._core.statements.parameters import in_transcript
from boocode_sessions._core.statements.read import select_page


def check_key(connection: StoreConnection, transcript: Transcript) -> None:
    """Open the first entry of the session's main transcript, or if there is none, of this transcript.

    Raises MissingKeyError, PlainEntryError, DamagedEntryError.
    """
    for one in (Transcript(*transcript.session, MAIN), transcript):
        first = {**in_transcript(one), "after_position": 0, "after_id": 0, "most": 1}
        if (row := connection.select(select_page(), first).first()) is not None:
            position, _, stored, key = row
            open_entry(connection.cipher, StoredAt(one, position, key or b""), stored)
            return
