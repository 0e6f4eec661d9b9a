"""Refuses an append with another key than the one that its session is encrypted with."""

from boocode_sessions._core.codec import StoredAt, open_entry
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements.parameters import in_transcript
from boocode_sessions._core.statements.read import select_page


def check_key(connection: StoreConnection, transcript: Transcript) -> None:
    """Open a transcript's first entry. Raises MissingKeyError, PlainEntryError, DamagedEntryError."""
    first = {**in_transcript(transcript), "after_position": 0, "after_id": 0, "most": 1}
    for position, _, stored, key in connection.select(select_page(), first):
        open_entry(connection.cipher, StoredAt(transcript, position, key or b""), stored)
