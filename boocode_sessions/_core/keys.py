"""The terms of the Claude Agent SDK's `SessionStore` contract, and what a valid key is.

The types are structurally those of `claude_agent_sdk.types`, so that values pass between the two
without a conversion, and without the SDK being installed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, NotRequired, Required, TypeAlias

from typing_extensions import TypedDict  # pydantic reads typing's from Python 3.12 on

from boocode_sessions.errors import InvalidKeyError

MAX_KEY_BYTES = 2000
"""Longest key, all parts together, in UTF-8 bytes: PostgreSQL's B-tree refuses rows over 2,704."""


class SessionKey(TypedDict):
    """Names one transcript: the main one of a session, or with `subpath` a subagent's."""

    project_key: str
    session_id: str
    subpath: NotRequired[str]
    """Absent for the main transcript; never an empty string."""


class SessionListSubkeysKey(TypedDict):
    """Names one session."""

    project_key: str
    session_id: str


KeyLike: TypeAlias = SessionKey | SessionListSubkeysKey | Mapping[str, str | None]
"""What a method takes as a key: a plain dict passes type checkers too, and a `subpath` of None is none."""


class SessionStoreEntry(TypedDict, total=False):
    """One line of a transcript: a JSON object, opaque but for these."""

    type: Required[str]
    uuid: str
    timestamp: str


class SessionStoreListEntry(TypedDict):
    """One session of a listing."""

    session_id: str
    mtime: int
    """Storage time of the last append to the main transcript, Unix epoch milliseconds."""


class SessionSummaryEntry(TypedDict):
    """The folded summary of one session."""

    session_id: str
    mtime: int
    """Storage time of the last append folded in: the clock and the value of `list_sessions`."""
    data: dict[str, Any]
    """The output of the SDK's `fold_session_summary`, verbatim. Opaque."""


MAIN = ""
"""How the main transcript's `subpath` is stored."""


class Session(NamedTuple):
    """A valid session's key: what writers lock."""

    project_key: str
    session_id: str

    def __str__(self) -> str:
        return f"session {self.session_id!r} of project {self.project_key!r}"


class Transcript(NamedTuple):
    """A valid transcript's key, as it is stored."""

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
    """The transcript that `key` names.

    A `subpath` of None is the main transcript; an empty one is refused, because reading it as "main"
    would turn the deletion of one subagent's transcript into that of the whole session.

    Raises InvalidKeyError.
    """
    project_key, session_id = _session_parts(key)
    given = key.get("subpath")
    if given is None:
        _bounded((project_key, session_id))
        return Transcript(project_key, session_id, MAIN)
    subpath = text_part("subpath", given)
    _bounded((project_key, session_id, subpath))
    return Transcript(project_key, session_id, subpath)


def session_of(key: KeyLike) -> Session:
    """The session that `key` names. Raises InvalidKeyError."""
    parts = _session_parts(key)
    _bounded(parts)
    return Session(*parts)


def project_of(project_key: str) -> str:
    """`project_key`, when it is a valid one. Raises InvalidKeyError."""
    _bounded((text_part("project_key", project_key),))
    return project_key


def _session_parts(key: KeyLike) -> tuple[str, str]:
    if not isinstance(key, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InvalidKeyError(f"a key is a dict, not {type(key).__name__}")
    return text_part("project_key", key.get("project_key")), text_part("session_id", key.get("session_id"))


def text_part(part: str, value: object) -> str:
    """A part of a key, when it can be one. Raises InvalidKeyError."""
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
    """Raises InvalidKeyError for what can be no part of a key, by its name. None is none."""
    for part, value in parts.items():
        if value is not None:
            text_part(part, value)


_EMPTY_HINT = {"subpath": ": leave it out to name the main transcript"}


def _bounded(parts: tuple[str, ...]) -> None:
    size = sum(map(len, parts))
    if size * 4 > MAX_KEY_BYTES and (size := sum(len(part.encode()) for part in parts)) > MAX_KEY_BYTES:
        raise InvalidKeyError(f"the key's parts have {size} bytes together, {MAX_KEY_BYTES} is the most")
