"""The types of the Claude Agent SDK's `SessionStore` contract, and the rules for valid keys.

The types are structurally those of `claude_agent_sdk.types`, so values pass between the two without
conversion, and without the SDK being installed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, NotRequired, Required, TypeAlias

from typing_extensions import TypedDict  # pydantic accepts typing's only from Python 3.12 on

from boocode_sessions.errors import InvalidKeyError

MAX_KEY_BYTES = 2000
"""Maximum UTF-8 bytes of a key, all parts together: PostgreSQL's B-tree refuses rows over 2,704 bytes."""


class SessionKey(TypedDict):
    """Names one transcript: a session's main one, or with `subpath` a subagent's."""

    project_key: str
    session_id: str
    subpath: NotRequired[str]
    """Absent for the main transcript; never an empty string."""


class SessionListSubkeysKey(TypedDict):
    """Names one session."""

    project_key: str
    session_id: str


KeyLike: TypeAlias = SessionKey | SessionListSubkeysKey | Mapping[str, str | None]
"""What methods take as a key. Type checkers accept a plain dict too. A `subpath` of None counts as absent."""


class SessionStoreEntry(TypedDict, total=False):
    """One line of a transcript: a JSON object, opaque except for these members."""

    type: Required[str]
    uuid: str
    timestamp: str


class SessionStoreListEntry(TypedDict):
    """One session in a listing."""

    session_id: str
    mtime: int
    """Storage time of the last append to the main transcript, Unix epoch milliseconds."""


class SessionSummaryEntry(TypedDict):
    """The folded summary of one session."""

    session_id: str
    mtime: int
    """Storage time of the last append folded in, with the same clock and value as in `list_sessions`."""
    data: dict[str, Any]
    """The output of the SDK's `fold_session_summary`, verbatim. Opaque."""


MAIN = ""
"""The stored `subpath` of the main transcript."""


class Session(NamedTuple):
    """A session's valid key. Writers lock the session by it."""

    project_key: str
    session_id: str

    def __str__(self) -> str:
        return f"session {self.session_id!r} of project {self.project_key!r}"


class Transcript(NamedTuple):
    """A transcript's valid key, as it is stored."""

    project_key: str
    session_id: str
    subpath: str

    @property
    def session(self) -> Session:
        return Session(self.project_key, self.session_id)

    @property
    def is_main(self) -> bool:
        return self.subpath == MAIN

    @property
    def key(self) -> SessionKey:
        """The contract's form of this key."""
        if self.is_main:
            return {"project_key": self.project_key, "session_id": self.session_id}
        return {"project_key": self.project_key, "session_id": self.session_id, "subpath": self.subpath}

    def __str__(self) -> str:
        return f"{self.session}" if self.is_main else f"{self.subpath!r} in {self.session}"


def transcript_of(key: KeyLike) -> Transcript:
    """Return the transcript that `key` names.

    A `subpath` of None names the main transcript. An empty one is refused: if it counted as "main", the
    deletion of one subagent's transcript could become that of the whole session.

    Raises InvalidKeyError.
    """
    session = _session_parts(key)
    given = key.get("subpath")
    transcript = Transcript(*session, MAIN if given is None else text_part("subpath", given))
    _bounded(transcript)
    return transcript


def session_of(key: KeyLike) -> Session:
    """Return the session that `key` names. Raises InvalidKeyError."""
    parts = _session_parts(key)
    _bounded(parts)
    return Session(*parts)


def project_of(project_key: str) -> str:
    """Return `project_key` if it is valid. Raises InvalidKeyError."""
    _bounded((text_part("project_key", project_key),))
    return project_key


def _session_parts(key: KeyLike) -> tuple[str, str]:
    if not isinstance(key, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InvalidKeyError(f"a key is a dict, not {type(key).__name__}")
    return text_part("project_key", key.get("project_key")), text_part("session_id", key.get("session_id"))


def text_part(part: str, value: object) -> str:
    """Return a key's part if it is valid. Raises InvalidKeyError."""
    if value is None:
        raise InvalidKeyError(f"{part} is missing")
    if not isinstance(value, str):
        raise InvalidKeyError(f"{part} is text, not {type(value).__name__}")
    if not value:
        raise InvalidKeyError(f"{part} is empty" + _EMPTY_HINT.get(part, ""))
    if "\0" in value:
        raise InvalidKeyError(f"{part} holds a NUL character, which no database stores in text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidKeyError(f"{part} holds a lone surrogate, which is not text") from None
    return value


def check_parts(**parts: str | None) -> None:
    """Raise InvalidKeyError for an invalid part of a key, given by its name. None counts as absent."""
    for part, value in parts.items():
        if value is not None:
            text_part(part, value)


_EMPTY_HINT = {"subpath": ": leave it out to name the main transcript"}


def _bounded(parts: tuple[str, ...]) -> None:
    size = sum(map(len, parts))
    if size * 4 > MAX_KEY_BYTES and (size := sum(len(part.encode()) for part in parts)) > MAX_KEY_BYTES:
        raise InvalidKeyError(f"the key's parts have {size} bytes together, {MAX_KEY_BYTES} is the most")
