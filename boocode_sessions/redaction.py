"""Removes secrets from entries that go to somebody else: keys, passwords, and what your own patterns match.

It changes only texts. The structure of a transcript (uuids, ids, types, times) stays, so that a redacted
session can be resumed.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

from boocode_sessions._core.arguments import checked
from boocode_sessions.errors import MissingExtraError


class Redacted(NamedTuple):
    """How many secrets of one kind were replaced."""

    kind: str
    values: int
    """How many different secrets there were."""
    places: int
    """How many times they were replaced."""


class Redactor:
    """Replaces each secret with the same text wherever it occurs, such as `[redacted:aws-access-key:1]`.

    Any thread may use it. It needs the extra `redaction`.

    Args:
        patterns: Your own regular expressions, by the name that their replacements show. If a pattern has
            exactly one group, only the group's match is replaced.
        known_forms: Look for the known forms of keys, tokens and passwords too.

    Raises:
        re.error: A pattern is no regular expression.
        MissingExtraError: `known_forms` needs the extra `redaction`, which is not installed.
    """

    @checked
    def __init__(
        self, patterns: Mapping[str, str | re.Pattern[str]] | None = None, *, known_forms: bool = True
    ) -> None:
        own = [(kind, re.compile(pattern)) for kind, pattern in (patterns or {}).items()]
        self._patterns = [*own, *(_known_forms() if known_forms else ())]
        self._known_forms = known_forms
        self._names: dict[str, str] = {}
        self._values: Counter[str] = Counter()
        self._places: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def report(self) -> list[Redacted]:
        """What has been replaced so far."""
        with self._lock:
            return [Redacted(kind, self._values[kind], places) for kind, places in self._places.items()]

    @property
    def digest(self) -> str:
        """A digest of the patterns. Two Redactors with the same patterns have the same digest."""
        looked_for = [(kind, pattern.pattern, pattern.flags) for kind, pattern in self._patterns]
        return hashlib.sha256(repr((looked_for, self._known_forms)).encode()).hexdigest()[:16]

    def entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of an entry without secrets."""
        message = entry.get("message")
        if not isinstance(message, dict):
            return self._members(entry, kept=_KEPT_IN_ENTRIES)
        redacted = self._members(entry, kept=_KEPT_IN_ENTRIES | {"message"})
        return redacted | {"message": self._message(cast("dict[str, Any]", message))}

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for kind, pattern in self._patterns:
            # Skip earlier replacements: their words, such as `password`, can look like a secret's name.
            pieces = _REPLACEMENT.split(text)
            pieces[::2] = [pattern.sub(partial(self._replaced, kind), piece) for piece in pieces[::2]]
            text = "".join(pieces)
        return text

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        if not isinstance(content, list):
            return self._members(message, kept=_KEPT_IN_MESSAGES)
        redacted = self._members(message, kept=_KEPT_IN_MESSAGES | {"content"})
        redacted["content"] = [
            self._members(cast("dict[str, Any]", block), kept=_KEPT_IN_BLOCKS)
            if isinstance(block, dict)
            else self._value(block)
            for block in cast("list[Any]", content)
        ]
        return redacted

    def _members(self, members: Mapping[str, Any], kept: frozenset[str]) -> dict[str, Any]:
        return {
            name if name in kept else self.text(name): value if name in kept else self._member(name, value)
            for name, value in members.items()
        }

    def _member(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
        redacted = self._value(value)
        if not self._known_forms or not isinstance(redacted, str) or _REPLACEMENT.search(redacted):
            return redacted
        if _SECRET_MEMBER.fullmatch(name):
            return _ANY_TEXT.sub(partial(self._replaced, "password"), redacted)
        return redacted

    def _value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self._value(item) for item in cast("Iterable[Any]", value)]
        return self._members(cast("dict[str, Any]", value), _NONE) if isinstance(value, dict) else value

    def _replaced(self, kind: str, found: re.Match[str]) -> str:
        group = found.lastindex if found.re.groups == 1 and found.lastindex else 0
        secret = found[group]
        if not secret:
            return found[0]
        with self._lock:
            if secret not in self._names:
                self._values[kind] += 1
                self._names[secret] = f"[redacted:{kind}:{self._values[kind]}]"
            self._places[kind] += 1
            start, end = (at - found.start() for at in found.span(group))
            return found[0][:start] + self._names[secret] + found[0][end:]


def _known_forms() -> Iterable[tuple[str, re.Pattern[str]]]:
    yield (
        "private-key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)"),
    )
    yield "anthropic-key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{16,}")
    yield "url-password", _IN_URL  # before a rule of detect_secrets that takes the user's name too
    for kind, linear in _REPLACED_DETECTORS.items():
        yield kind, linear
    try:
        plugins: Any = importlib.import_module("detect_secrets.core.plugins.util")
        base: Any = importlib.import_module("detect_secrets.plugins.base")
    except ModuleNotFoundError as error:
        raise MissingExtraError("redaction", "boocode-sessions[redaction]", error.name) from None
    for name, plugin in plugins.get_mapping_from_secret_type_to_class().items():
        kind = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if issubclass(plugin, base.RegexBasedDetector) and kind not in _EXCLUDED_DETECTORS:
            for pattern in plugin().denylist:
                # Its groups are made non-capturing, because they hold only part of the secret.
                yield kind, re.compile(re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern.pattern), pattern.flags)
    for pattern in _ASSIGNMENTS:
        yield "password", pattern


# Each pattern takes time linear in the text's length: a part that may be long is bounded, or can begin in one
# place only. test_redaction.py checks that for the patterns of detect_secrets too.
_REPLACED_DETECTORS = {
    # The lookahead runs once for each run of such characters.
    "json-web-token": re.compile(
        r"(?<![A-Za-z0-9_=-])(?=[A-Za-z0-9_=-]++\.[A-Za-z0-9_=-])[A-Za-z0-9_=-]*?"
        r"(eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+[A-Za-z0-9_.+/=-]*)"
    ),
    "npm-tokens": re.compile(r"//[^\n]{1,300}/:_authToken=\s{0,20}(npm_[^\n]+|[A-Fa-f0-9-]{36}[^\n]*)"),
    "openai-token": re.compile(r"sk-[A-Za-z0-9_-]{0,200}[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
}
"""Replacements for patterns of detect_secrets whose time grows with the square of a text's length."""
_EXCLUDED_DETECTORS = {"public-ip-ipv4", "private-key", *_REPLACED_DETECTORS}
_ASSIGNED_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|(?<=_)pwd|secret|token(?!s)|api[_-]?key|access[_-]?key)[a-z0-9_-]{0,99}"
)
_BEFORE_VALUE = r"""\\?["']?\s*(?::=|=>|:|=)\s*"""
_NOT_A_LITERAL = r"(?!(?:none|null|true|false|undefined)\b)"
_ASSIGNMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        # in quotes, with any content
        rf'(?i){_ASSIGNED_NAME}{_BEFORE_VALUE}\\?"([^"\\\n]+)',
        rf"(?i){_ASSIGNED_NAME}{_BEFORE_VALUE}\\?'([^'\\\n]+)",
        # in the syntax of a shell, an env file or a connection string
        (
            r"(?:PASSWORD|PASSWD|PASSPHRASE|(?<![A-Z])PASS|_PWD|SECRET|TOKEN(?!S)|API_?KEY|ACCESS_?KEY)[A-Z0-9_]{0,99}"
            r"""=([^\s"'`\\;&|]+)"""
        ),
        rf"""(?i)pass(?:word|wd|phrase)={_NOT_A_LITERAL}([^\s"'`\\;&|)]+)""",
        (
            r"(?i)--(?:password|passwd|passphrase|pass|token|secret|api-?key)[ =]"
            r"""\\?["']?([^\s"'\\-][^\s"'\\]*)"""
        ),
        r"""\bcurl\b(?:(?!\bcurl\b)[^\n|;])*?\s(?:-u|--user)[ =]?\\?["']?[^\s:"']+:([^\s"'\\]+)""",
        r"""(?i)authorization\\?["']?\s*[:=]\s*\\?["']?(?:bearer|basic|token)\s+([^\s"'\\]+)""",
        # anywhere else, if it looks like a secret; a number is a count of tokens
        rf"""(?i){_ASSIGNED_NAME}{_BEFORE_VALUE}{_NOT_A_LITERAL}(?![\d.]+\b)([^\s"'\\,;&]{{6,}})""",
        rf"""(?i)pass(?:word|wd|phrase|code){_BEFORE_VALUE}([^\s"'\\,;&]{{6,}})""",
    )
)
"""Patterns of values that are assigned to a name that means a secret."""
_IN_URL = re.compile(r"""\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/?#@"'\\]*:([^\s/"'\\]+)@""")
_SECRET_MEMBER = re.compile(
    r"(?:.*[^a-z])?(?:password|passwd|passphrase|passcode|secret|token|api[_-]?key|access[_-]?key)"
    r"|.*(?:Password|Passphrase|Secret|Token|ApiKey|AccessKey)"
    r"|(?:.*[^A-Z])?(?:PASSWORD|PASSWD|PASSPHRASE|PASS|SECRET|TOKEN|API_?KEY|ACCESS_?KEY)|.*_PWD"
)
"""Names of object members whose text is always a secret."""
_ANY_TEXT = re.compile(r"(?s).+")
_REPLACEMENT = re.compile(r"(\[redacted:[^\]]*\])")
_NONE: frozenset[str] = frozenset()
_KEPT_IN_ENTRIES = frozenset(
    {
        "type",
        "uuid",
        "parentUuid",
        "logicalParentUuid",
        "leafUuid",
        "sourceToolAssistantUUID",
        "sessionId",
        "requestId",
        "agentId",
        "timestamp",
        "forkedFrom",
        "version",
    }
)
_KEPT_IN_MESSAGES = frozenset({"id", "type", "role", "model", "stop_reason"})
_KEPT_IN_BLOCKS = frozenset({"type", "id", "tool_use_id", "name", "signature"})
"""Members that stay. A signature is the API's own, over the thinking beside it."""
