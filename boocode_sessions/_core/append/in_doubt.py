"""Calls in doubt: the answer to their COMMIT was lost, so nobody knows whether they landed.

The SDK sends such a call's list again. The retry reuses the call's nonce, so its entries get the same
idempotency keys, and the unique index shows which of them have landed.
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

MAX_BYTES = 64 << 20
"""Maximum bytes of JSON of the remembered calls. One lost connection may leave a whole batch in doubt."""
_CALL_BYTES = 1000
"""What a call takes in addition to its JSON."""


class _Call(NamedTuple):
    given: Sequence[Mapping[str, Any]]
    """Kept alive, so that no other list can get the same id()."""
    nonce: bytes
    fingerprint: bytes
    size: int


class CallsInDoubt:
    """Remembers calls in doubt by the caller's list object. Safe to call from any thread."""

    def __init__(self) -> None:
        self._calls: LRUCache[tuple[int, Transcript], _Call] = LRUCache(MAX_BYTES, lambda call: call.size)
        self._abandoned: WeakSet[AppendRequest] = WeakSet()
        self._lock = threading.Lock()

    def request(
        self, transcript: Transcript, given: Sequence[Mapping[str, Any]], fence: Fence | None = None
    ) -> AppendRequest:
        """Return the request of a call. If it repeats a call in doubt, it gets that call's nonce.

        Raises InvalidEntryError.
        """
        with self._lock:
            doubt = self._calls.get((id(given), transcript))
        if doubt is not None:
            again = AppendRequest(transcript, given, doubt.nonce, fence)
            if again.fingerprint == doubt.fingerprint:
                return again  # otherwise the list holds other entries by now, and this is a new call
        return AppendRequest(transcript, given, new_nonce(), fence)

    def remember(self, request: AppendRequest) -> None:
        """Note that a call may have landed."""
        with self._lock:
            # Ignore how an abandoned call ended: its retry may have settled it by now.
            if request not in self._abandoned:
                self._remember(request)

    def abandon(self, request: AppendRequest) -> None:
        """Note that a call was given up before its end: it may have landed, or may land later."""
        with self._lock:
            if request not in self._abandoned:
                self._remember(request)
                self._abandoned.add(request)

    def forget(self, request: AppendRequest) -> None:
        """Note that a call has landed and that its caller will be told."""
        with self._lock:
            if request not in self._abandoned:
                self._calls.pop((id(request.given), request.transcript), None)

    def _remember(self, request: AppendRequest) -> None:
        if (watching := observing.observer()) is not None:
            watching.in_doubt()
        size = min(request.size + _CALL_BYTES, MAX_BYTES)
        call = _Call(request.given, request.nonce, request.fingerprint, size)
        self._calls[id(request.given), request.transcript] = call
