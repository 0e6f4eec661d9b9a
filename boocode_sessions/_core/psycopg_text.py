"""Text that is encoded already, for psycopg: a large append is not decoded only to be encoded again.

It takes a third off the client's work for 500 entries (benchmarks: `append`).
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from psycopg import BaseConnection, adapters
from psycopg.abc import Buffer
from psycopg.adapt import Dumper


class Utf8:
    """A text in UTF-8."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class _Utf8Dumper(Dumper):
    oid = adapters.types["text"].oid

    def dump(self, obj: Utf8) -> Buffer:
        return obj.text


_known_to: WeakSet[BaseConnection[Any]] = WeakSet()


def utf8_for(connection: BaseConnection[Any]) -> type[Utf8]:
    """What makes a text in UTF-8 a parameter of a statement on this connection."""
    if connection not in _known_to:
        connection.adapters.register_dumper(Utf8, _Utf8Dumper)
        _known_to.add(connection)
    return Utf8
