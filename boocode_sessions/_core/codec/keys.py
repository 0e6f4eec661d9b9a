"""Idempotency keys, which tell whether two entries are the same. See docs/decisions/idempotency-keys.md.

A key is a few bytes. Keys of different kinds are never equal: they differ in length or in the first byte.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from boocode_sessions._core.codec.json_text import encode_sorted, with_fresh_stack

UUID_KEY_LENGTHS = (16, 17)
"""Lengths of keys made from a uuid: its 16 bytes if it is in the agent's format, else a hash of its text."""
LINE_KEY_LENGTH = 21
"""Length of keys made from a line's content."""

_NONCE_BYTES = 13
_FINGERPRINT_BYTES = 16


def new_nonce() -> bytes:
    """Return 104 random bits that set one append call's entries without uuids apart from all others."""
    return secrets.token_bytes(_NONCE_BYTES)


def call_key(nonce: bytes, place: int) -> bytes:
    """Return the key of an entry without a uuid: the call's nonce and the entry's index. 18 bytes."""
    return b"c" + nonce + place.to_bytes(4)


def uuid_key(entry: Mapping[str, object]) -> bytes | None:
    """Return the key made from an entry's uuid; None without one.

    An empty uuid counts as none: otherwise all entries with an empty uuid would be the same entry.
    """
    uuid = entry.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        return None
    if _AGENT_UUID.fullmatch(uuid):
        return bytes.fromhex(uuid.replace("-", ""))
    # UTF-16, because a surrogate pair given as two code points comes back as one character.
    return b"u" + hashlib.sha256(uuid.encode("utf-16-le", "surrogatepass")).digest()[:16]


def row_key(row_id: int) -> bytes:
    """Return the key of another program's row that has no uuid. 9 bytes."""
    return b"r" + row_id.to_bytes(8)


def copied_key(number: int) -> bytes:
    """Return the key of a row that `adopt` copied and that has no uuid. 9 bytes."""
    return b"s" + number.to_bytes(8)


def line_key(fingerprint: bytes, occurrence: int) -> bytes:
    """Return the key made from a line's content: its fingerprint, and its number among equal lines, from 1.

    For lines of a transcript file that have no uuid, or share theirs with another line of the transcript.
    """
    return b"l" + fingerprint + occurrence.to_bytes(4)


def fingerprint_in(dedup_key: bytes) -> bytes | None:
    """Return the fingerprint in a key made by `line_key`; None for other keys."""
    return dedup_key[1:-4] if len(dedup_key) == LINE_KEY_LENGTH else None


def fingerprint(entry: Mapping[str, Any]) -> bytes:
    """Return the same bytes for equal entries. Types count; the order of keys doesn't."""
    canonical = with_fresh_stack(encode_sorted, entry)
    return hashlib.sha256(canonical.encode()).digest()[:_FINGERPRINT_BYTES]


_AGENT_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
