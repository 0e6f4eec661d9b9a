"""One append call, with its entries already encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from boocode_sessions._core.codec import EncodedEntry, encode_batch
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.statements.append import Condition
from boocode_sessions.errors import SessionStoreError


class Fence(NamedTuple):
    """A condition on who may append, which the statement itself checks."""

    condition: Condition
    parameters: Mapping[str, Any]
    refusal: SessionStoreError
    """The error to raise when the condition doesn't hold."""


def append_label(entries: int, transcript: Transcript) -> str:
    """Operation label for error messages."""
    return f"append {entries} {'entry' if entries == 1 else 'entries'} to {transcript}"


class AppendRequest:
    """One append call.

    The constructor encodes the entries, and nothing reads them again. So the stored entries and the folded
    summary agree, even if the caller changes the entries in the meantime.
    """

    def __init__(
        self,
        transcript: Transcript,
        given: Sequence[Mapping[str, Any]],
        nonce: bytes,
        fence: Fence | None = None,
    ) -> None:
        """Raises InvalidEntryError."""
        self.transcript = transcript
        self.session: Session = transcript.session
        self.given = given
        """The caller's own list object, which identifies a retry."""
        self.nonce = nonce
        self.fence = fence
        self.encoded: Sequence[EncodedEntry] = encode_batch(transcript, given, nonce)
        self.size = sum(item.size for item in self.encoded)
        """Bytes of JSON."""

    @property
    def label(self) -> str:
        return append_label(len(self.encoded), self.transcript)

    @cached_property
    def fingerprint(self) -> bytes:
        """Hash of what the call writes: equal if a list that is sent again still holds the same entries."""
        digest = hashlib.sha256()
        for item in self.encoded:
            digest.update(item.exact)
            digest.update(b"\n")
        return digest.digest()
