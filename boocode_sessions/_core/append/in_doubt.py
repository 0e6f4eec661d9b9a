"""Calls of which nobody knows whether they have landed, because the answer to a COMMIT was lost.

The SDK sends such a call's list again. Under the same nonce its entries have the same idempotency keys, and
the unique index decides what has landed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

from cachetools import LRUCache

from boocode_sessions._core import observing
from boocode_sessions._core.append.request import AppendRequest, Fence
from boocode_sessions._core.codec import new_nonce
from boocode_sessions._core.keys import Transcript

MOST_BYTES = 64 << 20
"""JSON of the calls in doubt that are remembered. One lost connection may leave a whole batch in doubt."""
_CALL_BYTES = 1000
"""What a call takes beside its JSON."""


class _Call(NamedTuple):
    given: Sequence[Mapping[str, Any]]
    """Held, so that no other list gets its id."""
    nonce: bytes
    fingerprint: bytes
    size: int


class CallsInDoubt:
    """Remembers calls in doubt by the caller's own list object, from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._calls: LRUCache[tuple[int, Transcript], _Call] = LRUCache(most_bytes, lambda call: call.size)
        self._abandoned: WeakSet[AppendRequest] = WeakSet()
        self._lock = threading.Lock()

    def request(
        self, transcript: Transcript, given: Sequence[Mapping[str, Any]], fence: Fence | None = None
    ) -> AppendRequest:
        """The request of a call: under the nonce of the one that it repeats, if it is one in doubt.

        Raises InvalidEntryError.
        """
        with self._lock:
            doubt = self._calls.get((id(given), transcript))
        if doubt is not None:
            again = AppendRequest(transcript, given, doubt.nonce, fence)
            if again.fingerprint == doubt.fingerprint:
                return again  # else the list holds something else by now: another call
        return AppendRequest(transcript, given, new_nonce(), fence)

    def remember(self, request: AppendRequest) -> None:
        """Note that a call may have landed."""
        with self._lock:
            # What becomes of an abandoned one changes nothing: its retry may have settled it by now.
            if request not in self._abandoned:
                self._remember(request)

    def abandon(self, request: AppendRequest) -> None:
        """Note that a call was given up before its end: it may land yet, or may have landed."""
        with self._lock:
            if request not in self._abandoned:
                self._remember(request)
                self._abandoned.add(request)

    def forget(self, request: AppendRequest) -> None:
        """Note that a call has landed, and its caller is told."""
        with self._lock:
            if request not in self._abandoned:
                self._calls.pop((id(request.given), request.transcript), None)

    def _remember(self, request: AppendRequest) -> None:
        if (watching := observing.observer()) is not None:
            watching.in_doubt()
        size = min(request.size + _CALL_BYTES, MOST_BYTES)
        call = _Call(request.given, request.nonce, request.fingerprint, size)
        self._calls[id(request.given), request.transcript] = call
