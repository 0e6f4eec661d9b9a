"""Encryption keys: their ids, their text form, and how to make one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import TypeAlias

from boocode_sessions._core.arguments import checked
from boocode_sessions.errors import EncryptionError

KEY_BYTES = 32

GivenKey: TypeAlias = "EncryptionKey | str | bytes"
"""An EncryptionKey, or the key's 32 bytes, raw or in base64, or `id:base64`."""


class EncryptionKey:
    """A key, and the id that is stored with everything it encrypts. Its repr never shows the key."""

    __slots__ = ("id", "secret")

    @checked
    def __init__(self, secret: bytes, key_id: str | None = None) -> None:
        """Check the key's length and its id. The default id is a hash, which reveals nothing about the key.

        Raises EncryptionError.
        """
        if len(secret) != KEY_BYTES:
            raise EncryptionError(f"an encryption key has {KEY_BYTES} bytes, not {len(secret)}")
        if key_id is not None and not is_key_id(key_id):
            raise EncryptionError("a key's id has 1 to 64 letters, digits, dots, hyphens and underscores")
        self.secret = secret
        self.id = key_id or hashlib.sha256(b"boocode-sessions key id" + secret).hexdigest()[:12]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an encryption key is not pickled")


def is_key_id(text: str) -> bool:
    """Return True if a key may have this id."""
    return _KEY_ID.fullmatch(text) is not None


def key_of(given: GivenKey) -> EncryptionKey:
    """Read a key from any of its forms. Raises EncryptionError, which never repeats the key."""
    if isinstance(given, EncryptionKey):
        return given
    if isinstance(given, bytes) and len(given) == KEY_BYTES:
        return EncryptionKey(given)
    text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
    key_id, _, encoded = text.strip().rpartition(":")
    try:
        secret = base64.b64decode(encoded.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError):
        secret = None
    if secret is None:  # raised outside the handler, since the chained error would hold the key
        raise EncryptionError("an encryption key is 32 bytes in base64, with or without `id:` before them")
    return EncryptionKey(secret, key_id or None)


def keys_of(given: Iterable[GivenKey]) -> list[EncryptionKey]:
    """Read several keys. Raises EncryptionError, also if two of them have the same id."""
    if isinstance(given, str | bytes):
        raise EncryptionError("keys come as a list: the first encrypts, all of them decrypt")
    keys = [key_of(key) for key in given]
    if len({key.id for key in keys}) < len(keys):
        raise EncryptionError("two keys have one id")
    return keys


@checked
def read_keys(text: str) -> list[EncryptionKey]:
    """Read the keys in the text of a file or an environment variable, the newest first.

    Each key is on a line of its own, or keys are separated by commas. A # begins a comment.

    Raises EncryptionError.
    """
    lines = (line.partition("#")[0] for line in text.replace(",", "\n").splitlines())
    keys = keys_of([line for line in lines if line.strip()])
    if not keys:
        raise EncryptionError("there is no encryption key in what should hold one")
    return keys


@checked
def generate_key(key_id: str | None = None) -> str:
    """Make a new key as base64 text, or as `id:base64`. `Encryption` and `read_keys` take both."""
    secret = secrets.token_bytes(KEY_BYTES)
    EncryptionKey(secret, key_id)  # refuses an invalid id
    encoded = base64.urlsafe_b64encode(secret).decode()
    return encoded if key_id is None else f"{key_id}:{encoded}"


_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_URL_SAFE = str.maketrans("-_", "+/")
