"""Finds the conversation in the lines of a transcript, by the rules of the SDK's own reader.

A transcript is a tree: a line names the line that it follows in `parentUuid`. An edited prompt, a rewind or a
retry starts a new branch, and the branch that was written last counts. The rules come from
`get_session_messages` of claude_agent_sdk 0.2.187; a test compares the two.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from boocode_sessions._core.attributes import blocks_of, is_queued_prompt, string_at

Line: TypeAlias = Mapping[str, Any]

_LINKED = frozenset({"user", "assistant", "progress", "system", "attachment"})
_SPOKEN = frozenset({"user", "assistant"})


def main_conversation(lines: Iterable[Line], *, queued: bool = False) -> list[Line]:
    """Return the messages of a main transcript, oldest first.

    `queued` adds the prompts that were sent while the agent was at work. The agent stores those as
    attachments, which the SDK's reader leaves out.
    """
    lines = list(lines)
    linked = _linked(lines)
    by_uuid = {line["uuid"]: line for line in linked}
    leaf = _leaf(linked, by_uuid)
    if leaf is None:
        return []
    chain = _with_parallel_tools(by_uuid, _path_to(leaf, by_uuid))
    if queued:
        chain = _with_nameless_prompts(lines, chain)
    return [
        line
        for line in chain
        if (line["type"] in _SPOKEN or (queued and is_queued_prompt(line)))
        and not (line.get("isMeta") or line.get("isSidechain") or line.get("teamName"))
    ]


def _with_nameless_prompts(lines: Iterable[Line], chain: Sequence[Line]) -> list[Line]:
    """Insert queued prompts without a uuid into the chain, each after the chain's line that it came after."""
    places = {line["uuid"]: place for place, line in enumerate(chain)}
    behind: dict[int, list[Line]] = {}
    last = -1
    for line in lines:
        uuid = line.get("uuid")
        if isinstance(uuid, str):
            last = places.get(uuid, last)
        elif is_queued_prompt(line):
            behind.setdefault(last, []).append(line)
    made = list(behind.get(-1, ()))
    for place, line in enumerate(chain):
        made += [line, *behind.get(place, ())]
    return made


def subagent_conversation(lines: Iterable[Line]) -> list[Line]:
    """Return the messages of a subagent's transcript, oldest first: the branch of its last message."""
    linked = _linked(lines)
    by_uuid = {line["uuid"]: line for line in linked}
    last = next((line for line in reversed(linked) if line["type"] in _SPOKEN), None)
    path = [] if last is None else _path_to(last, by_uuid)
    return [line for line in path if line["type"] in _SPOKEN]


def _linked(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that can be part of a chain. A uuid may come twice: the later line counts."""
    return [
        line for line in lines if string_at(line, "type") in _LINKED and string_at(line, "uuid") is not None
    ]


def _upwards(line: Line, by_uuid: Mapping[str, Line]) -> Iterator[Line]:
    """Yield a line, its parent, and so on to the root. A cycle ends where it closes."""
    seen: set[str] = set()
    above: Line | None = line
    while above is not None and above["uuid"] not in seen:
        seen.add(above["uuid"])
        yield above
        parent = string_at(above, "parentUuid")
        above = by_uuid.get(parent) if parent else None


def _path_to(leaf: Line, by_uuid: Mapping[str, Line]) -> list[Line]:
    """Return the lines from the root to `leaf`."""
    return list(_upwards(leaf, by_uuid))[::-1]


def _leaf(linked: Sequence[Line], by_uuid: Mapping[str, Line]) -> Line | None:
    """Return the last message of the conversation: the main agent's latest end of a branch, if it has one."""
    order = {line["uuid"]: place for place, line in enumerate(linked)}
    parents = {parent for line in linked if (parent := string_at(line, "parentUuid"))}
    ends: list[Line] = []
    for line in linked:
        if line["uuid"] not in parents:
            spoken = (above for above in _upwards(line, by_uuid) if above["type"] in _SPOKEN)
            ends += itertools.islice(spoken, 1)
    main = [end for end in ends if not (end.get("isSidechain") or end.get("teamName") or end.get("isMeta"))]
    return max(main or ends, key=lambda end: order[end["uuid"]], default=None)


def _with_parallel_tools(by_uuid: Mapping[str, Line], chain: list[Line]) -> list[Line]:
    """Add to the chain the tool calls that it bypasses when one response called several tools.

    Such a response has several lines with one message id, each the parent of its own result. The chain
    follows only one of them. The other calls and their results go after the response's last line on the
    chain.
    """
    responses = _Responses(by_uuid)
    on_chain = {line["uuid"] for line in chain}
    on_it: dict[str, list[Line]] = {}
    for line in chain:
        if message_id := _message_id(line):
            on_it.setdefault(message_id, []).append(line)
    answered = {call for line in chain for call in _ids(line, "tool_result", "tool_use_id")}
    passed_by: dict[str, list[Line]] = {}
    for message_id, lines in on_it.items():
        found = responses.off_chain(responses.lines.get(message_id, lines[:1]), on_chain, answered)
        on_chain.update(line["uuid"] for line in found)
        passed_by[lines[-1]["uuid"]] = found
    return [out for line in chain for out in (line, *passed_by.get(line["uuid"], ()))]


class _Responses:
    """The API responses of a transcript: their lines, their tool calls and the calls' results."""

    def __init__(self, by_uuid: Mapping[str, Line]) -> None:
        self.place = {uuid: place for place, uuid in enumerate(by_uuid)}
        self.lines: dict[str, list[Line]] = {}
        self.caller: dict[str, Line | None] = {}
        """The line that made each call; None if two responses claim the call."""
        results: list[Line] = []
        for line in by_uuid.values():
            if message_id := _message_id(line):
                self.lines.setdefault(message_id, []).append(line)
                for call in _ids(line, "tool_use", "id"):
                    other: Line | None = self.caller.get(call, line)
                    same = other is not None and _message_id(other) == message_id
                    self.caller[call] = line if same else None
            elif _is_result(line):
                results.append(line)
        self.results: dict[str, list[Line]] = {}
        """Results by the uuids of the lines that they may belong to: their parent, and their call's line."""
        for result in results:
            self.results.setdefault(result["parentUuid"], []).append(result)
            source = by_uuid.get(string_at(result, "sourceToolAssistantUUID") or "")
            callers = [self.caller.get(call) for call in _ids(result, "tool_result", "tool_use_id")]
            for caller in [source, *callers]:
                if caller is not None and _same_writer(result, caller):
                    self.results.setdefault(caller["uuid"], []).append(result)

    def off_chain(self, response: Sequence[Line], on_chain: set[str], answered: set[str]) -> list[Line]:
        """Return a response's calls and then results that are not on the chain, each sorted by time."""
        members = {line["uuid"] for line in response}
        calls = [line for line in response if line["uuid"] not in on_chain]
        found = {
            result["uuid"]: result
            for line in response
            for result in self.results.get(line["uuid"], ())
            if result["uuid"] not in on_chain
        }
        results = [result for result in found.values() if result["parentUuid"] in members]
        answered = answered.union(*(_ids(result, "tool_result", "tool_use_id") for result in results))
        strays = [result for result in found.values() if result["parentUuid"] not in members]
        for stray in sorted(strays, key=lambda line: self.place[line["uuid"]]):
            answered_here = _ids(stray, "tool_result", "tool_use_id")
            # A result with another parent belongs here only if its call has no other answer.
            callers = [self.caller.get(call) for call in answered_here if call not in answered]
            if any(line is not None and line["uuid"] in members for line in callers):
                answered |= set(answered_here)
                results.append(stray)
        return sorted(calls, key=_time) + sorted(results, key=_time)


def _message_id(line: Line) -> str | None:
    return (string_at(line, "message", "id") or None) if line["type"] == "assistant" else None


def _ids(line: Line, kind: str, member: str) -> list[str]:
    return [found for block in blocks_of(line, kind) if (found := string_at(block, member)) is not None]


def _is_result(line: Line) -> bool:
    is_answer = line["type"] == "user" and bool(string_at(line, "parentUuid"))
    return is_answer and any(blocks_of(line, "tool_result"))


def _same_writer(one: Line, other: Line) -> bool:
    same_side = bool(one.get("isSidechain")) == bool(other.get("isSidechain"))
    return same_side and one.get("agentId") == other.get("agentId")


def _time(line: Line) -> str:
    return string_at(line, "timestamp") or ""
