"""Says which entries of a transcript `show` does not show, and why."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_REASONS = {
    "branch": ("is on another branch", "are on other branches"),
    "cut_off": ("is cut off by a line that is missing", "are cut off by a line that is missing"),
    "compacted": ("was replaced by a compaction", "were replaced by a compaction"),
    "subagent": ("is a subagent's", "are subagents'"),
    "team": ("is an agent team's", "are an agent team's"),
    "nameless": ("has no uuid, and so no place in it", "have no uuid, and so no place in it"),
}
"""Reasons for messages of a conversation other than the one shown."""
_QUIET = {
    "meta": ("is the agent's own note", "are the agent's own notes"),
    "other": ("is no message", "are no messages"),
    "shown": ("holds only thinking", "hold only thinking"),
}
"""Reasons for entries that are always left out. They are named only if nothing was shown."""


def left_out(
    entries: Iterable[Mapping[str, Any]], conversation: Collection[str], *, of_subagent: bool, is_empty: bool
) -> str | None:
    """Return a sentence about the entries that are not in a conversation, or None if there are none.

    `conversation` has the uuids of its messages. `is_empty` says that none of them was shown.
    """
    counts: Counter[str] = Counter()
    uuids: set[str] = set()
    cut_off_by: dict[str, int] = {}
    """By a parent that had not come yet: how many branch messages stand before the line that names it."""
    for entry in entries:
        if entry.get("subtype") == "compact_boundary":
            counts["compacted"] += counts.pop("branch", 0)
        uuid, parent = entry.get("uuid"), entry.get("parentUuid")
        if isinstance(uuid, str):
            if uuid in conversation and isinstance(parent, str) and parent not in uuids:
                cut_off_by[parent] = counts["branch"]
            uuids.add(uuid)
        counts[_reason(entry, conversation, of_subagent=of_subagent)] += 1
    cut_off = max((number for parent, number in cut_off_by.items() if parent not in uuids), default=0)
    counts["cut_off"] = min(cut_off, counts["branch"])
    counts["branch"] -= counts["cut_off"]
    if not counts.total():
        return "It holds no entries."
    reasons = _REASONS | (_QUIET if is_empty else {})
    told = [
        f"{counts[reason]:,} {'entry' if counts[reason] == 1 else 'entries'} {words[counts[reason] != 1]}"
        for reason, words in reasons.items()
        if counts[reason]
    ]
    return f"{'; '.join(told)}: --all shows all." if told else None


def _reason(entry: Mapping[str, Any], conversation: Collection[str], *, of_subagent: bool) -> str:
    # A tuple, not a set: the type may be an object, which has no hash.
    if entry.get("type") not in ("user", "assistant"):
        return "other"
    uuid = entry.get("uuid")
    if not isinstance(uuid, str):
        return "nameless"
    if uuid in conversation:
        return "shown"
    if entry.get("isSidechain") and not of_subagent:
        return "subagent"
    if entry.get("teamName") and not of_subagent:
        return "team"
    return "meta" if entry.get("isMeta") else "branch"
