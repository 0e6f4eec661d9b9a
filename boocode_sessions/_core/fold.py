"""Folds a session's summary. Outside `agents`, this is the only import of `claude_agent_sdk`.

The SDK defines what a summary holds. If it isn't installed, appends keep no summary, and listings of
summaries leave those sessions out. The next append by a process that has the SDK folds their entries.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from boocode_sessions._core.keys import SessionKey, SessionSummaryEntry, Transcript

_Fold: TypeAlias = Callable[
    [SessionSummaryEntry | None, SessionKey, Sequence[Mapping[str, Any]]], SessionSummaryEntry
]

_log = logging.getLogger(__name__)


def fold(
    data: Mapping[str, Any] | None, transcript: Transcript, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return `data` with the main transcript's next `entries` folded in; None without the SDK.

    `data` is None at the start of a transcript. If the SDK's fold fails, the result is None too. That costs
    the summary, never the entries: a listing then reads the transcript itself.
    """
    fold_session_summary = _sdk_fold()
    if fold_session_summary is None:
        return None
    previous: SessionSummaryEntry | None = None
    if data is not None:
        previous = {"session_id": transcript.session_id, "mtime": 0, "data": dict(data)}
    try:
        return fold_session_summary(previous, transcript.key, entries)["data"]
    except Exception as error:  # noqa: BLE001 - the SDK may raise anything; see the docstring
        _log.warning("no summary of %s: the SDK's fold raised %s", transcript, type(error).__name__)
        return None


def available() -> bool:
    """True if the SDK is installed. This imports it, which takes a second: call it before a transaction."""
    return _sdk_fold() is not None


@cache
def _sdk_fold() -> _Fold | None:
    try:
        from claude_agent_sdk import fold_session_summary  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return None
    return cast("_Fold", fold_session_summary)
