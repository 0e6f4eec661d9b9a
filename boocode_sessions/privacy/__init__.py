"""Encryption at rest: transcripts are encrypted before they reach the database.

Needs the `encryption` extra. Within boocode_sessions, only the command line imports this package.
"""

from boocode_sessions.errors import MissingExtraError

try:
    from boocode_sessions.privacy.encryption import Encryption, KeyProvider
    from boocode_sessions.privacy.keys import EncryptionKey, generate_key, read_keys
    from boocode_sessions.privacy.reencrypting import Reencrypted, reencrypt
except ModuleNotFoundError as error:
    raise MissingExtraError("encryption", "boocode-sessions[encryption]", error.name) from None

__all__ = [
    "Encryption",
    "EncryptionKey",
    "KeyProvider",
    "Reencrypted",
    "generate_key",
    "read_keys",
    "reencrypt",
]
