"""The judge of every "0 lost": it passes what is right, and finds each thing that can go wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.reliability.verdicts import Batch, Verdict, examine, marked

SENT: list[Batch] = [("a", 0, 3), ("b", 0, 2), ("a", 1, 1), ("b", 1, 4), ("a", 2, 40)]


def history() -> list[Any]:
    """Batches of two writers, one after the other."""
    return [entry for batch in SENT for entry in marked(*batch)]


def wrongs(verdict: Verdict) -> dict[str, int]:
    """What a verdict found, without what it did not."""
    names = ("lost", "doubled", "out_of_order", "half_written", "changed")
    return {name: count for name in names if (count := getattr(verdict, name))}


def test_a_right_history_passes_and_is_counted() -> None:
    verdict = examine(history(), SENT)
    assert wrongs(verdict) == {}
    assert verdict.wrong == 0
    assert (verdict.writers, verdict.appends, verdict.entries) == (2, 5, 50)


def test_a_batch_that_nobody_was_told_of_may_be_there_whole() -> None:
    assert examine([*history(), *marked("c", 7)], SENT).wrong == 0


def test_a_retry_gives_one_acknowledgement_more_and_no_entry() -> None:
    assert examine(history(), [*SENT, SENT[0]]).wrong == 0


def _without(*places: int) -> Callable[[list[Any]], list[Any]]:
    return lambda stored: [entry for place, entry in enumerate(stored) if place not in places]


def _swapped(one: int, other: int) -> Callable[[list[Any]], list[Any]]:
    def swap(stored: list[Any]) -> list[Any]:
        stored[one], stored[other] = stored[other], stored[one]
        return stored

    return swap


def _with(place: int, **members: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda stored: [*stored[:place], {**stored[place], **members}, *stored[place + 1 :]]


def _without_uuid(stored: list[Any]) -> list[Any]:
    del stored[0]["uuid"]
    return stored


SPOILED: list[tuple[str, Callable[[list[Any]], list[Any]], dict[str, int]]] = [
    ("everything is gone", lambda _: [], {"lost": 50}),
    ("a whole batch is gone", _without(0, 1, 2), {"lost": 3}),
    ("the last batch is gone", lambda stored: stored[:10], {"lost": 40}),
    ("a batch of one is gone", _without(5), {"lost": 1}),
    ("a batch without its end", _without(2), {"lost": 1, "half_written": 1}),
    (
        "a batch without its beginning",
        _without(0),
        {"lost": 1, "half_written": 1, "out_of_order": 1},
    ),
    (
        "a batch without its middle",
        _without(1),
        {"lost": 1, "half_written": 1, "out_of_order": 1},
    ),
    (
        "an entry is there twice",
        lambda stored: [*stored[:3], stored[2], *stored[3:]],
        {"doubled": 1, "out_of_order": 1},
    ),
    ("a batch is there twice", lambda stored: [*stored, *stored[:3]], {"doubled": 3, "out_of_order": 1}),
    (
        "the last batch is there twice",
        lambda stored: [*stored, *stored[10:]],
        {"doubled": 40, "out_of_order": 1},
    ),
    (
        "a retry has stored it with uuids of its own",
        lambda stored: [*stored[:3], *marked("a", 0), *stored[3:]],
        {"doubled": 3, "out_of_order": 1},
    ),
    ("two entries of a batch are swapped", _swapped(7, 8), {"out_of_order": 3}),
    (
        "a writer's two batches are swapped",
        lambda stored: [*stored[5:6], *stored[:5], *stored[6:]],
        {"out_of_order": 1},
    ),
    ("two writers' batches are mixed", _swapped(2, 3), {"out_of_order": 2}),
    ("a text is changed", _with(4, customTitle="another"), {"changed": 1}),
    (
        "a member is gone",
        lambda stored: [{"mark": e["mark"], "uuid": "u"} for e in stored[:1]] + stored[1:],
        {"changed": 1},
    ),
    ("a member is added", _with(49, more=None), {"changed": 1}),
    ("a number is another type's", _with(0, mark=["a", 0, 0, 3.0]), {"changed": 1}),
    ("a uuid is gone", _without_uuid, {"changed": 1}),
]


@pytest.mark.parametrize(("spoil", "found"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_it_finds(spoil: Callable[[list[Any]], list[Any]], found: dict[str, int]) -> None:
    verdict = examine(spoil(history()), SENT)
    assert wrongs(verdict) == found
    assert verdict.wrong == sum(found.values())


def test_a_half_batch_that_nobody_was_told_of_is_found() -> None:
    verdict = examine([*history(), *marked("c", 0)[:2]], SENT)
    assert wrongs(verdict) == {"half_written": 1}


def test_verdicts_add_up() -> None:
    lost, doubled = examine([], SENT), examine(history() + history()[:3], SENT)
    both = lost + doubled
    assert (both.runs, both.appends, both.wrong) == (2, 10, lost.wrong + doubled.wrong)
