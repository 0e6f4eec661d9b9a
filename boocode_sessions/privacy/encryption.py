"""AES-256-GCM encryption of sessions, under keys derived for each session."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import importlib
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from cachetools import LRUCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from msgspec import DecodeError
from msgspec.json import Decoder

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.keys import Session
from boocode_sessions.errors import SEALED, DamagedEntryError, EncryptionError, MissingKeyError
from boocode_sessions.privacy.keys import EncryptionKey, GivenKey, is_key_id, keys_of

_lz4: Any = importlib.import_module("lz4.block")  # it has no types
_compress: Callable[[bytes], bytes] = _lz4.compress
_decompress: Callable[[memoryview], bytes] = _lz4.decompress
_CompressionError: type[Exception] = _lz4.LZ4BlockError
_read_base64 = Decoder(bytes).decode
"""Decodes base64 in a JSON string, in half of binascii's time: python -m benchmarks.encrypting."""

KeyProvider: TypeAlias = Callable[[str], Iterable[GivenKey]]
"""Takes a stored project key and returns its keys, the newest first, for example from a key management
service, or one set per tenant."""

CACHED_SESSIONS = 4096
COMPRESSED_FROM = 512
"""The shortest text that is compressed, in bytes. A shorter one gains less than it costs."""


class Encryption:
    """Encrypts everything that transcripts say. Pass it to every store, repository and function alike.

    Args:
        keys: Keys (`generate_key()` makes one), or a function that takes a stored project key and returns its
            keys. The first key encrypts, and all of them decrypt. If you lose the keys, you lose the
            transcripts.
        reads_plain: Read unencrypted text too, while a store is being encrypted. By default it is an error.
        compress: Compress with LZ4 before encrypting, which is faster than not compressing. The stored size
            then depends on the content: docs/encryption.md.
        cache_seconds: How long to use a provider's answer. The provider is called again earlier for a key
            that its answer lacks.

    Raises:
        EncryptionError: A key is malformed, or there is none.
    """

    @checked
    def __init__(
        self,
        keys: Iterable[GivenKey] | KeyProvider,
        *,
        reads_plain: bool = False,
        compress: bool = True,
        cache_seconds: float = 300,
    ) -> None:
        self.reads_plain = reads_plain
        self._compress = compress
        self._seconds = cache_seconds
        self._provider: KeyProvider | None = keys if callable(keys) else None
        self._keys = [] if callable(keys) else keys_of(keys)
        if not callable(keys) and not self._keys:
            raise EncryptionError("there is no key: `boocode_sessions.privacy.generate_key()` makes one")
        self._provided: LRUCache[str, _Provided] = LRUCache(CACHED_SESSIONS)
        self._ciphers: LRUCache[Session, _SessionCipher] = LRUCache(CACHED_SESSIONS)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'with a key provider' if self._provider else self._keys}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("encryption keys are not pickled")

    @property
    def keys(self) -> Sequence[EncryptionKey] | KeyProvider:
        """The keys, or the key provider."""
        return self._provider or self._keys

    def of(self, session: Session) -> _SessionCipher:
        """Return the cipher of a session. Raises MissingKeyError."""
        keys = self._keys_of(session.project_key)
        with self._lock:
            cipher = self._ciphers.get(session)
        if cipher is None or cipher.keys is not keys:
            cipher = _SessionCipher(self, session, keys)
            with self._lock:
                self._ciphers[session] = cipher
        return cipher

    def forget(self, project_key: str | None = None) -> None:
        """Drop a provider's cached keys, for one project key or for all. The next call asks it again."""
        with self._lock:
            if project_key is None:
                self._provided.clear()
            else:
                self._provided.pop(project_key, None)
            self._ciphers.clear()

    def key_of(self, session: Session, key_id: str) -> EncryptionKey:
        """Return a key by its id. A provider is asked again for an unknown id. Raises MissingKeyError."""
        for again in (False, True):
            for key in self._keys_of(session.project_key, again=again):
                if key.id == key_id:
                    return key
        raise MissingKeyError(f"{session} is encrypted with the key {key_id!r}, which is not at hand")

    def compressed(self, content: bytes) -> bytes:
        """Return the content, compressed or not, behind a byte that says which."""
        if self._compress and len(content) >= COMPRESSED_FROM:
            return b"\1" + _compress(content)
        return b"\0" + content

    def _keys_of(self, project_key: str, *, again: bool = False) -> Sequence[EncryptionKey]:
        if self._provider is None:
            return self._keys
        now = time.monotonic()
        with self._lock:
            provided = self._provided.get(project_key)
        if provided is not None and now - provided.at < (_ASK_AGAIN_SECONDS if again else self._seconds):
            return provided.keys
        problem = "gave none"
        keys: Sequence[EncryptionKey] = ()
        try:
            keys = keys_of(self._provider(project_key))
        except Exception as error:  # noqa: BLE001 - the host's code may raise anything, with any message
            problem = f"raised {type(error).__name__}"
        if not keys:
            self.forget(project_key)
            raise MissingKeyError(f"the key provider {problem} for project {project_key!r}")
        if provided is not None and [key.secret for key in keys] == [key.secret for key in provided.keys]:
            keys = provided.keys  # the same object, so that cached ciphers stay valid
        with self._lock:
            self._provided[project_key] = _Provided(keys, now)
        return keys


class _Provided(NamedTuple):
    keys: Sequence[EncryptionKey]
    at: float


class _SessionCipher:
    """Encrypts and decrypts for one session, from any thread."""

    def __init__(self, encryption: Encryption, session: Session, keys: Sequence[EncryptionKey]) -> None:
        self.keys = keys
        self._encryption = encryption
        self._session = session
        self._of_key: dict[str, AESGCM] = {}
        self._header = f"{SEALED}{keys[0].id}:".encode()

    @property
    def key_id(self) -> str:
        return self.keys[0].id

    def seal(self, text: bytes, bound_to: bytes) -> bytes:
        """Encrypt a text. The result is SEALED, the key's id, and base64 of the nonce and the ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        content = self._encryption.compressed(text)
        sealed = self._aes(self.key_id).encrypt(nonce, content, bound_to)
        return self._header + binascii.b2a_base64(nonce + sealed, newline=False)

    def open(self, sealed: str, bound_to: bytes) -> bytes:
        """Decrypt a text. Raises MissingKeyError or DamagedEntryError."""
        begins = sealed.find(":", len(SEALED)) % (len(sealed) + 1)  # the end if there is no colon
        key_id = sealed[len(SEALED) : begins]
        aes = self._of_key.get(key_id)
        if aes is None and is_key_id(key_id):  # anything else may be content, which no error may repeat
            aes = self._aes(key_id)
        try:
            if aes is not None:
                stored = memoryview(_read_base64(f'"{sealed[begins + 1 :]}"'))
                content = memoryview(aes.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], bound_to))
                return _decompress(content[1:]) if content[0] else bytes(content[1:])
        except (InvalidTag, ValueError, IndexError, DecodeError, _CompressionError):
            pass
        raise DamagedEntryError(
            f"what is stored of {self._session} was changed or moved, or has another key of the same id: "
            "restore it, or give the right key"
        )

    def fingerprints(self, fingerprint: bytes) -> Sequence[bytes]:
        """Return a content's fingerprint under each key, and the plain one if rows may still be plain."""
        keyed = [
            hmac.digest(_derived(key, b"fingerprint", self._session), fingerprint, hashlib.sha256)[
                : len(fingerprint)
            ]
            for key in self.keys
        ]
        return [*keyed, fingerprint] if self._encryption.reads_plain else keyed

    def _aes(self, key_id: str) -> AESGCM:
        aes = self._of_key.get(key_id)
        if aes is None:
            key = self._encryption.key_of(self._session, key_id)
            aes = self._of_key[key_id] = AESGCM(_derived(key, b"content", self._session))
        return aes


def _derived(key: EncryptionKey, purpose: bytes, session: Session) -> bytes:
    """Derive a key for one purpose and one session, so that a text can't be decrypted in another session, and
    the texts per key stay far below the number for which random nonces are safe."""
    info = b"boocode-sessions"
    for part in (purpose, session.project_key.encode(), session.session_id.encode()):
        info += struct.pack(">I", len(part)) + part
    return HKDFExpand(SHA256(), 32, info).derive(key.secret)


_NONCE_BYTES = 12
_ASK_AGAIN_SECONDS = 5
"""How old a provider's answer must be before an unknown key id makes us ask again."""
