"""Contracts for error messages, which must not repeat content."""

import traceback
from typing import Any

from boocode_sessions.testing.suite import Capability, Trial, entries, entry, error_of, expect

PRIVACY = Capability("privacy", "An error says what is wrong and where, and repeats nothing of a transcript.")

_CANARY = "canary-7f3a"


def _tells(error: BaseException | None) -> bool:
    printed = "".join(traceback.format_exception(error))
    lines = [line for line in printed.splitlines() if not line.startswith("    ")]  # source lines don't count
    return _CANARY in "\n".join([*lines, str(error), repr(error)])


@PRIVACY.contract()
async def a_refused_entry_is_not_repeated(trial: Trial) -> None:
    """The SDK logs `str(error)` of a failed append and shows it to the user, with any secret in it."""
    values: list[Any] = [{_CANARY}, {_CANARY: float("nan")}, {_CANARY: {(_CANARY,): 1}}, [_CANARY, b"bytes"]]
    for value in values:
        batch = [*entries(1), entry(2, text=_CANARY, **{_CANARY: value})]
        error = await error_of(trial.store.append(trial.key(), batch))
        expect(not _tells(error), f"the {type(error).__name__} repeats the entry that it refuses")


@PRIVACY.contract()
async def an_append_with_a_bad_key_repeats_no_entry(trial: Trial) -> None:
    """A key can be wrong for a long time before somebody reads the log."""
    batch = [entry(1, **{_CANARY: _CANARY})]
    bad: list[Any] = [trial.key(subpath=""), trial.key("x" * 1_000_000), trial.key("\ud800"), {}]
    for key in bad:
        error = await error_of(trial.store.append(key, batch))
        expect(not _tells(error), f"the {type(error).__name__} for a bad key repeats the entries")
