"""An entry and what is stored of it: the only `json.dumps` and `json.loads` of entries.

What comes back equals `json.loads(json.dumps(entry))`, types included. JSONB alone does not give that: it
refuses NUL characters and lone surrogates, and turns `1e23` into an integer and `-0.0` into `0.0`. Such
an entry, and only such a one, is stored a second time as text (`verbatim`).
"""

from boocode_sessions._core.codec.entries import (
    EncodedEntry,
    check_batch,
    decode,
    decode_all,
    decode_summary,
    encode_batch,
    encode_each,
    encode_rows,
    encode_summary,
    key_and_facts,
    same_entry,
)
from boocode_sessions._core.codec.facts import FACTS, TOKENS, facts_of
from boocode_sessions._core.codec.json_text import MAX_DEPTH
from boocode_sessions._core.codec.keys import (
    LINE_KEYS,
    OTHER_KEYS,
    fingerprint,
    fingerprint_in,
    line_key,
    new_nonce,
    row_key,
    uuid_key,
)
from boocode_sessions._core.codec.lines import AGENT_METADATA, Line, LineReader, write_line, write_metadata

__all__ = [
    "AGENT_METADATA",
    "FACTS",
    "LINE_KEYS",
    "MAX_DEPTH",
    "OTHER_KEYS",
    "TOKENS",
    "EncodedEntry",
    "Line",
    "LineReader",
    "check_batch",
    "decode",
    "decode_all",
    "decode_summary",
    "encode_batch",
    "encode_each",
    "encode_rows",
    "encode_summary",
    "facts_of",
    "fingerprint",
    "fingerprint_in",
    "key_and_facts",
    "line_key",
    "new_nonce",
    "row_key",
    "same_entry",
    "uuid_key",
    "write_line",
    "write_metadata",
]
