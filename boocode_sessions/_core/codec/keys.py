"""Idempotency keys: what makes an entry the same entry. See docs/decisions/idempotency-keys.md.

A key is a few bytes. Its length tells its kind, so that keys of two kinds are never equal.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from boocode_sessions._core.codec.json_text import encode_sorted, with_a_whole_stack

UUID_KEY_LENGTHS = (16, 17)
"""Lengths of the keys that are made of a uuid: its 16 bytes as the agent writes it, or the hash of any other
text."""
LINE_KEY_LENGTH = 21
"""The length of the keys that are made of a line's content."""

_NONCE_BYTES = 13
_FINGERPRINT_BYTES = 16


def new_nonce() -> bytes:
    """What tells the uuid-less entries of one append call from all others: 104 random bits."""
    return secrets.token_bytes(_NONCE_BYTES)


def call_key(nonce: bytes, place: int) -> bytes:
    """The key of an entry without a uuid: the append call's nonce, and the place in its list. 18 bytes."""
    return b"c" + nonce + place.to_bytes(4)


def uuid_key(entry: Mapping[str, object]) -> bytes | None:
    """The key that an entry's uuid makes; None without one.

    An empty uuid is none: it would make one entry of all that carry it.
    """
    uuid = entry.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        return None
    if _AS_THE_AGENT_WRITES.fullmatch(uuid):
        return bytes.fromhex(uuid.replace("-", ""))
    # UTF-16, since a surrogate pair given as two code points comes back as one character.
    return b"u" + hashlib.sha256(uuid.encode("utf-16-le", "surrogatepass")).digest()[:16]


def row_key(row_id: int) -> bytes:
    """The key of another writer's row that has no uuid. 9 bytes."""
    return b"r" + row_id.to_bytes(8)


def copied_key(number: int) -> bytes:
    """The key of a row that `adopt` copied and that has no uuid. 9 bytes."""
    return b"s" + number.to_bytes(8)


def line_key(fingerprint: bytes, occurrence: int) -> bytes:
    """The key that a line's content makes: the content, and which of the equal lines it is, from 1.

    For the lines of a transcript file that have no uuid, and for those that have one that another line of
    the transcript has too.
    """
    return b"l" + fingerprint + occurrence.to_bytes(4)


def fingerprint_in(dedup_key: bytes) -> bytes | None:
    """The fingerprint that `line_key` made a key of; None for another kind of key."""
    return dedup_key[1:-4] if len(dedup_key) == LINE_KEY_LENGTH else None


def fingerprint(entry: Mapping[str, Any]) -> bytes:
    """The same bytes for equal entries, types included, whatever the order of their keys."""
    canonical = with_a_whole_stack(encode_sorted, entry)
    return hashlib.sha256(canonical.encode()).digest()[:_FINGERPRINT_BYTES]


_AS_THE_AGENT_WRITES = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
