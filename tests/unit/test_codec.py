"""What is stored of an entry, and what is refused."""

import json
import sys
import threading
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boocode_sessions._core.codec import (
    MAX_DEPTH,
    UUID_KEY_LENGTHS,
    EncodedEntry,
    decode,
    encode_batch,
    same_entry,
    uuid_key,
)
from boocode_sessions._core.keys import Transcript
from boocode_sessions.errors import DamagedEntryError, InvalidEntryError
from tests.fixtures.json_values import HARD_NUMBERS, HARD_TEXTS, exactly, nested, told_apart

HERE = Transcript("p", "s", "")


def encoded(entry: dict[Any, Any]) -> EncodedEntry:
    (only,) = encode_batch(HERE, [entry], b"nonce")
    return only


def refusal(entry: Any) -> str:
    with pytest.raises(InvalidEntryError) as refused:
        encode_batch(HERE, [{"type": "x"}, entry], b"nonce")
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    return str(refused.value)


@pytest.mark.parametrize("value", [*HARD_TEXTS, *HARD_NUMBERS])
def test_the_stored_text_reads_back_exactly(value: Any) -> None:
    entry = {"type": "x", "value": value, str(value)[:9]: [value]}
    assert told_apart(decode(encoded(entry).exact)) == exactly(entry)


@pytest.mark.parametrize(
    "text", ["plain", "ünïcödé \U0001f600", "\\u0000", "\\\\u0000", "a\\", "1e23 \\ud800", '"\\"']
)
def test_text_that_jsonb_takes_is_stored_once(text: str) -> None:
    assert encoded({"type": "x", text: text}).verbatim is None


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("a\0b", "a\ufffdb"),
        ("\0\0", "\ufffd\ufffd"),
        ("\\\0", "\\\ufffd"),
        ("\\u0000\0", "\\u0000\ufffd"),
        ("\\\\\0\\", "\\\\\ufffd\\"),
        ("\n\0", "\n\ufffd"),
        ("\ud800", "\ufffd"),
        ("\ud800x", "\ufffdx"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
def test_the_queryable_form_is_the_nearest_one(text: str, nearest: str) -> None:
    item = encoded({"type": "x", text: text})
    assert json.loads(item.json) == {"type": "x", nearest: nearest}
    assert item.verbatim is not None
    assert item.verbatim.isascii()


@given(parts=st.lists(st.sampled_from(["\\", "\0", "\\u0000", "u0000", "0", '"', "\n", "\ud800"])))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_nul_is_told_from_its_spelling_behind_any_backslashes(parts: list[str]) -> None:
    text = "".join(parts)
    item = encoded({"type": "x", text: [text]})
    nearest = text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert json.loads(item.json) == {"type": "x", nearest: [nearest]}
    assert (item.verbatim is not None) == (nearest != text)
    assert decode(item.exact) == {"type": "x", text: [text]}


@pytest.mark.parametrize("innermost", [1, "\0", 1e23, "\ud800"])
def test_entries_may_nest_900_levels_wherever_they_are_appended_from(innermost: Any) -> None:
    deepest = {"deep": nested(MAX_DEPTH - 1, innermost)}
    too_deep = {"deep": nested(MAX_DEPTH, innermost)}

    def check(frames: int) -> None:
        if frames:
            check(frames - 1)
            return
        item = encoded(deepest)
        assert decode(item.exact)["deep"]  # type: ignore[typeddict-item]
        assert same_entry(b'{"deep": 1}', item) is False
        assert "is nested more than 900 levels deep" in refusal(too_deep)

    for frames in (0, 300, 600):
        thread = threading.Thread(target=check, args=(frames,))
        thread.start()
        thread.join()
    check(sys.getrecursionlimit() // 2)


SELF: dict[str, Any] = {}
SELF["inside"] = [SELF]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("secret", "entries[1] is not a dict but str"),
        (None, "entries[1] is not a dict but NoneType"),
        ([("secret", 1)], "entries[1] is not a dict but list"),
        ({"secret": float("nan")}, "entries[1] > member 0 is NaN or infinite"),
        ({"a": 1, "secret": [0, float("-inf")]}, "entries[1] > member 1 > item 1 is NaN or infinite"),
        ({"secret": {"secret"}}, "entries[1] > member 0 is of type set"),
        ({"secret": b"secret"}, "entries[1] > member 0 is of type bytes"),
        ({"secret": {"secret": object()}}, "entries[1] > member 0 > member 0 is of type object"),
        ({3: "secret"}, "entries[1] > member 0 has a key of type int"),
        ({"secret": [{None: 1}]}, "entries[1] > member 0 > item 0 > member 0 has a key of type NoneType"),
        ({("secret",): 1}, "entries[1] > member 0 has a key of type tuple"),
        ({"secret": 10**4300}, "entries[1] > member 0 is an integer of more than 4,300 digits"),
        ({"secret": [-(10**5000)]}, "entries[1] > member 0 > item 0 is an integer of more than 4,300 digits"),
        (SELF, "entries[1] > member 0 > item 0 holds itself"),
    ],
)
def test_what_json_does_not_have_is_refused_by_position_and_kind(entry: Any, words: str) -> None:
    message = refusal(entry)
    assert message.startswith("session 's' of project 'p': ")
    assert words in message
    assert "secret" not in message


def test_an_entry_that_holds_itself_many_times_is_refused_at_once() -> None:
    """Whoever followed every way through it would never end."""
    entry: dict[str, Any] = {}
    entry |= {f"member {number}": [entry] * 40 for number in range(40)}
    assert refusal(entry).endswith("holds itself")


def test_what_is_encoded_is_a_copy_as_load_gives_it_back() -> None:
    inner = {"n": [1]}
    item = encoded({"a": inner, "b": (inner, "\ud83d\ude00")})
    inner["n"].append(2)
    assert item.entry == {"a": {"n": [1]}, "b": [{"n": [1]}, "\N{GRINNING FACE}"]} == decode(item.exact)


@dataclass
class Holder:
    secret: int = 1


class Colour(Enum):
    HIDDEN = "secret"


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 20, tzinfo=UTC),
        date(2026, 11, 20),
        timedelta(1),
        UUID(int=1),
        Decimal(1),
        bytearray(b"secret"),
        frozenset({"secret"}),
        Holder(),
        Colour.HIDDEN,
        msgspec.defstruct("Struct", [("secret", int, 1)])(),
        msgspec.Raw(b"1"),
        msgspec.UNSET,
    ],
)
def test_what_only_msgspec_writes_is_refused(value: Any) -> None:
    for at, entry in (
        (" > member 0", {"secret": value}),
        (" > member 1 > item 0", {"a": 1, "secret": [value]}),
    ):
        assert f"entries[1]{at} is of type {type(value).__name__}, which JSON does not have" in refusal(entry)


@pytest.mark.parametrize(
    "key", [1.5, UUID(int=1), Decimal(1), Colour.HIDDEN, date(2026, 11, 20), b"x", 2**70]
)
def test_a_key_that_msgspec_would_make_text_of_is_refused(key: Any) -> None:
    assert "entries[1] > member 0 has a key of type" in refusal({key: "secret"})


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Pair(NamedTuple):
    one: int
    other: float


class Misnamed(StrEnum):
    """Whose value is not what its text is; Python's json writes the text."""

    MEMBER = "text"

    def __new__(cls, text: str) -> "Misnamed":
        member = str.__new__(cls, text)
        member._value_ = "value"
        return member


@pytest.mark.parametrize(
    "value",
    [
        Text("x"),
        Misnamed.MEMBER,
        IntEnum("Number", ["ONE"]).ONE,  # type: ignore[attr-defined]
        OrderedDict(a=[1]),
        defaultdict(list, a=[Text("x")]),
        Pair(1, 1e23),
        type("Float", (float,), {})(-0.0),
        type("Int", (int,), {})(10**40),
        type("List", (list,), {})([1.0]),
        {Text("x"): 1},
        {Misnamed.MEMBER: "\0\ud800"},
        Counter("a"),
    ],
)
def test_subclasses_are_stored_as_pythons_json_writes_them(value: Any) -> None:
    entry = {"type": "x", "value": value, "more": [value]}
    item = encoded(entry)
    assert told_apart(decode(item.exact)) == exactly(entry)
    assert item.verbatim == encoded(json.loads(json.dumps(entry))).verbatim


@pytest.mark.parametrize("entries", ["secret", None, {"secret": 1}, 7, iter(())])
def test_a_batch_is_a_list(entries: Any) -> None:
    with pytest.raises(
        InvalidEntryError, match=f"entries are a list, not {type(entries).__name__}"
    ) as refused:
        encode_batch(HERE, entries, b"nonce")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{secret", "[1, 2]", '"secret"', "7", "null", '{"secret": ' + "9" * 5000 + "}"]
)
def test_what_can_not_be_read_back_as_an_entry_is_damage(text: str) -> None:
    with pytest.raises(DamagedEntryError) as damage:
        decode(text)
    assert "secret" not in repr(damage.value)
    assert damage.value.__cause__ is None
    assert damage.value.__context__ is None


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), ([], {}), (None, 0)]
)
def test_entries_that_differ_in_a_type_only_are_not_the_same(one: Any, other: Any) -> None:
    assert not same_entry(encoded({"value": one}).exact, encoded({"value": other}))


def test_entries_that_differ_in_the_order_of_keys_are_the_same() -> None:
    assert same_entry(b'{"b": 1, "a": {"d": 1, "c": "\\u00e9"}}', encoded({"a": {"c": "é", "d": 1}, "b": 1}))


@pytest.mark.parametrize("uuid", [None, "", 7, ["u"], {"u": 1}, True])
def test_only_text_makes_an_idempotency_key(uuid: Any) -> None:
    assert uuid_key({"uuid": uuid}) is None


def test_distinct_uuids_have_distinct_keys_that_an_index_takes() -> None:
    uuids = [
        "u",
        "U",
        "u ",
        "u\0",
        "sha256:0",
        "~n.0",
        "~row.1",
        "x" * 65,
        "é",
        "e\u0301",
        "\ud800",
        "x" * 10**6,
    ]
    keys = [uuid_key({"uuid": uuid}) or b"" for uuid in uuids]
    assert len(set(keys)) == len(uuids)
    assert {len(key) for key in keys} <= set(UUID_KEY_LENGTHS)
