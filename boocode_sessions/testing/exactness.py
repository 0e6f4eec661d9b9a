"""Contracts for values: every JSON value comes back as it was."""

from typing import Any

from boocode_sessions.testing.suite import Capability, Entry, Trial, entry

EXACTNESS = Capability("exactness", "Every JSON value comes back as it was: value and type.")

_LONE = ["\ud800", "\udfff", "a\ud800b", "\ude00\ud83d", "\ud800\ud800"]


async def _comes_back(trial: Trial, values: list[Any], what: str) -> None:
    """Check the values in a first append and, nested, in a later one."""
    first = [entry(n, uuid=f"u{n}", value=value) for n, value in enumerate(values)]
    await trial.store.append(trial.key(), first)
    await trial.expect(trial.key(), first, what)
    later = [entry(n, nested=[{"inside": [value]}]) for n, value in enumerate(values)]
    await trial.store.append(trial.key(), later)
    await trial.expect(trial.key(), [*first, *later], f"a later append of {what}")


@EXACTNESS.contract()
async def nul_characters(trial: Trial) -> None:
    """Tools print NUL characters. JSONB refuses them, so the append, and all that follow it, fail for
    good."""
    await _comes_back(trial, ["\0", "a\0b", "\0\0", "\\\0", "\\u0000", "\\\\u0000\0"], "texts with NUL")


@EXACTNESS.contract()
async def lone_surrogates(trial: Trial) -> None:
    """JavaScript can cut a string inside a surrogate pair. UTF-8 has no lone surrogates, so the append fails
    for good."""
    await _comes_back(trial, _LONE, "lone surrogates")


@EXACTNESS.contract()
async def surrogate_pairs(trial: Trial) -> None:
    """A pair is one character, however it was given, and differs from two lone surrogates."""
    await _comes_back(trial, ["\U0001f600", "\ud83d\ude00", "\ud83d \ude00"], "surrogate pairs")


@EXACTNESS.contract()
async def hostile_keys_of_objects(trial: Trial) -> None:
    """Member names can hold the same texts as values: empty, NUL, surrogates, `__proto__`."""
    names = ["", "\0", *_LONE, "\U0001f600", "a.b", "$ref", "__proto__", "0", " ", "entry"]
    values = [{name: name for name in names}, *({name: [name]} for name in names)]
    await _comes_back(trial, values, "hostile names of members")


@EXACTNESS.contract()
async def hostile_texts(trial: Trial) -> None:
    """A hand-built statement or a format string takes placeholders, quotes and escapes for its own."""
    values = [
        "",
        "'; DROP TABLE claude_session_entries; --",
        "%s %(x)s {} {0} :name $1 ?",
        '\\ \\\\ \\" " \\n \\u0041',
        "\n\r\t\b\f\v\x7f\x80\x9f",
        "\u2028\u2029\ufeff\ufffd\uffff",
        "e\u0301 \u00e9 \u202e",
    ]
    await _comes_back(trial, values, "hostile texts")


@EXACTNESS.contract()
async def floats(trial: Trial) -> None:
    """JSONB turns 1e23 into an integer, and rounding to 15 digits changes a cost or a time."""
    values = [
        0.1,
        1e23,
        -1e23,
        1e16,
        1e-5,
        5e-324,
        1.7976931348623157e308,
        2.2250738585072014e-308,
        123456789.01234567,
    ]
    await _comes_back(trial, values, "floats with and without an exponent")


@EXACTNESS.contract()
async def negative_zero(trial: Trial) -> None:
    """JSON and Python distinguish -0.0 from 0.0. Numeric columns do not."""
    await _comes_back(trial, [-0.0, 0.0, [-0.0, 0.0]], "-0.0")


@EXACTNESS.contract()
async def large_integers(trial: Trial) -> None:
    """A double rounds above 2**53, a column overflows above 2**63, and fast JSON libraries switch to
    floats."""
    values = [2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40 + 7, -(10**40) - 7, 10**4299 + 3]
    await _comes_back(trial, values, "integers of up to 4,300 digits")


@EXACTNESS.contract()
async def types_that_compare_equal(trial: Trial) -> None:
    """1, 1.0 and true are three values, and null is not a missing member."""
    await _comes_back(
        trial, [1, 1.0, True, 0, 0.0, False, None, "1", "true", "null", [1, 1.0, True]], "1, 1.0 and true"
    )


@EXACTNESS.contract()
async def empty_containers(trial: Trial) -> None:
    """An empty object is not an empty list, nor null, nor absent."""
    await _comes_back(trial, [{}, [], [[]], [{}], {"": {}}, [[], {}, None, ""]], "empty containers")


@EXACTNESS.contract()
async def deep_nesting(trial: Trial) -> None:
    """A codec that recurses in Python fails on nesting that the SDK's own parser accepts."""
    deep: Any = -0.0
    for level in range(200):
        deep = [deep] if level % 2 else {"k": deep}
    await _comes_back(trial, [deep], "a value of 200 levels")


@EXACTNESS.contract()
async def an_entry_of_nothing(trial: Trial) -> None:
    """Entries are opaque. A store that requires a type, a uuid or a timestamp refuses valid entries."""
    batch: list[Entry] = [{}, {"type": "x"}, {"": ""}, {"type": None, "timestamp": 7, "message": "text"}]
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "entries with no known member, or of another type")


@EXACTNESS.contract()
async def the_new_body_of_a_known_uuid(trial: Trial) -> None:
    """A store may write a new body by another path than the first. It must be as exact, and keep nothing of
    the old body."""
    values: list[Any] = ["\0", "plain", "\ud800", 1e23, 1, -0.0, 0.0, [{"\0": {}}]]
    for value in values:
        newer = entry(1, uuid="u", value=value)
        await trial.store.append(trial.key(), [newer])
        await trial.expect_newest(trial.key(), newer, [], f"a new body with {value!a}")
