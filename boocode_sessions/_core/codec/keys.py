"""Idempotency keys: what makes an entry the same entry. See docs/decisions/idempotency-keys.md."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from boocode_sessions._core.codec.json_text import encode_sorted, with_a_whole_stack


def new_nonce() -> str:
    """What tells the uuid-less entries of one append call from all others: 96 random bits."""
    return secrets.token_urlsafe(12)


def call_key(nonce: str, position: int) -> str:
    """The idempotency key of an entry without a uuid: the append call's nonce, and the place in its list."""
    return f"~{nonce}.{position}"


def uuid_key(entry: Mapping[str, object]) -> str | None:
    """The idempotency key that an entry's uuid makes; None without one.

    A plain uuid is its own key; any other text is hashed, as an index takes neither NUL nor 10 MB. An empty
    uuid is none: it would make one entry of all that carry it.
    """
    uuid = entry.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        return None
    if _PLAIN_UUID.fullmatch(uuid):
        return uuid
    # UTF-16, since a surrogate pair given as two code points comes back as one character.
    return "sha256:" + hashlib.sha256(uuid.encode("utf-16-le", "surrogatepass")).hexdigest()


def row_key(row_id: int) -> str:
    """The idempotency key of another writer's row that has no uuid, or one that an earlier row has too."""
    return f"~row.{row_id}"


OTHER_KEYS = "~"
"""What every idempotency key begins with that is not made of a uuid."""
LINE_KEYS = "~line."
"""What those begin with that are made of a line's content."""


def line_key(fingerprint: str, occurrence: int) -> str:
    """The idempotency key of a transcript file's line that has no uuid: it is its content and which one of
    the lines with that content it is, counted from 1."""
    return f"{LINE_KEYS}{fingerprint}.{occurrence}"


def fingerprint_in(dedup_key: str) -> str | None:
    """The fingerprint that `line_key` made a key of; None for another kind of key."""
    if not dedup_key.startswith(LINE_KEYS):
        return None
    return dedup_key[len(LINE_KEYS) :].partition(".")[0]


def fingerprint(entry: Mapping[str, Any]) -> str:
    """The same text for equal entries, types included, whatever the order of their keys."""
    canonical = with_a_whole_stack(encode_sorted, entry)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


_PLAIN_UUID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
