"""One append call: what it was given, encoded when it was made."""

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
    """Who may append: a condition that the statement itself checks."""

    condition: Condition
    parameters: Mapping[str, Any]
    refusal: SessionStoreError
    """What is raised where it does not hold."""


def append_label(entries: int, transcript: Transcript) -> str:
    """Operation label for error messages."""
    return f"append {entries} {'entry' if entries == 1 else 'entries'} to {transcript}"


class AppendRequest:
    """One append call on its way.

    Its entries are encoded at once, and read no second time: whatever the caller does to them meanwhile, what
    is stored and what the summary is folded from are the same.
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
        """The caller's own list, by which a retry is known."""
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
        """Tells apart what two calls with the same list write."""
        digest = hashlib.sha256()
        for item in self.encoded:
            digest.update(item.exact)
            digest.update(b"\n")
        return digest.digest()
