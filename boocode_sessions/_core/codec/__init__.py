"""Encodes entries for storage: the only code that reads and writes an entry as JSON.

What comes back equals `json.loads(json.dumps(entry))`, types included. JSONB alone can't guarantee that: it
refuses NUL characters and lone surrogates, and turns `1e23` into an integer and `-0.0` into `0.0`. Entries
with such values, and only those, are also stored as text (`verbatim`).
"""

from boocode_sessions._core.codec.entries import (
    EncodedEntry,
    content_of,
    decode,
    encode_batch,
    encode_rows,
    encode_stored,
    encode_summary,
    same_entry,
)
from boocode_sessions._core.codec.extracted import FAST, Extracted, extract, said_at
from boocode_sessions._core.codec.json_text import Line, replace_lone_surrogates, with_fresh_stack
from boocode_sessions._core.codec.keys import (
    LINE_KEY_LENGTH,
    UUID_KEY_LENGTHS,
    copied_key,
    fingerprint,
    fingerprint_in,
    line_key,
    new_nonce,
    row_key,
    uuid_key,
)
from boocode_sessions._core.codec.lines import AGENT_METADATA, LineReader, write_line, write_metadata
from boocode_sessions._core.codec.problems import MAX_DEPTH
from boocode_sessions._core.codec.sealing import (
    Cipher,
    Opener,
    SessionCipher,
    StoredAt,
    content_keys_of,
    decode_summary,
    open_entry,
    seal_entries,
    seal_entry,
    seal_summary,
)

__all__ = [
    "AGENT_METADATA",
    "FAST",
    "LINE_KEY_LENGTH",
    "MAX_DEPTH",
    "UUID_KEY_LENGTHS",
    "Cipher",
    "EncodedEntry",
    "Extracted",
    "Line",
    "LineReader",
    "Opener",
    "SessionCipher",
    "StoredAt",
    "content_keys_of",
    "content_of",
    "copied_key",
    "decode",
    "decode_summary",
    "encode_batch",
    "encode_rows",
    "encode_stored",
    "encode_summary",
    "extract",
    "fingerprint",
    "fingerprint_in",
    "line_key",
    "new_nonce",
    "open_entry",
    "replace_lone_surrogates",
    "row_key",
    "said_at",
    "same_entry",
    "seal_entries",
    "seal_entry",
    "seal_summary",
    "uuid_key",
    "with_fresh_stack",
    "write_line",
    "write_metadata",
]
