"""Contracts, how to check one, and the report."""

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc, isawaitable
from typing import Any, TypeAlias

import anyio

from boocode_sessions._core.keys import SessionKey

Entry: TypeAlias = dict[str, Any]

MakeStore: TypeAlias = Callable[[], object | Awaitable[object]]
Check: TypeAlias = Callable[["Trial"], Awaitable[None]]


class Broken(AssertionError):  # noqa: N818 - a verdict, not a mishap
    """The store breaks a contract. The message says what it did instead."""


class Skipped(Exception):  # noqa: N818 - a verdict, not a mishap
    """A contract can't be checked here. The message says why."""


@dataclass(frozen=True)
class Contract:
    """One requirement on a store."""

    name: str
    """`capability.function`."""
    reason: str
    """The mistake that the contract catches, and what it costs the store's users."""
    needs: tuple[str, ...]
    """The optional methods that the contract calls."""
    check: Check = field(repr=False)

    @property
    def capability(self) -> str:
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Capability:
    """Contracts that belong together."""

    name: str
    promise: str
    contracts: list[Contract] = field(default_factory=list[Contract])

    def contract(self, *needs: str) -> Callable[[Check], Check]:
        """Decorate a function as a contract of this capability. Its docstring is the reason."""

        def add(check: Check) -> Check:
            name = f"{self.name}.{getattr(check, '__name__', '')}"
            reason = " ".join(cleandoc(check.__doc__ or "").split())
            self.contracts.append(Contract(name, reason, needs, check))
            return check

        return add


class Trial:
    """A store to check, and project names that nothing else uses."""

    def __init__(self, store: Any, make_store: MakeStore) -> None:  # noqa: ANN401 - any store
        self.store = store
        self._make_store = make_store
        self.project = f"conformance-{secrets.token_hex(8)}"
        self.other_project = f"conformance-{secrets.token_hex(8)}"

    def key(self, session: str = "s", subpath: str | None = None, project: str | None = None) -> SessionKey:
        key: SessionKey = {"project_key": project or self.project, "session_id": session}
        if subpath is not None:
            key["subpath"] = subpath
        return key

    async def expect(self, key: SessionKey, entries: Sequence[Entry] | None, after: str) -> None:
        """Raise Broken unless `load` returns these entries, types included."""
        loaded = await self.store.load(key)
        if loaded is None or entries is None:
            expect(loaded is entries, f"after {after}, load gives {_count(loaded)}, not {_count(entries)}")
        elif canonical(loaded) != canonical(list(entries)):
            raise Broken(f"after {after}, load gives {_difference(list(loaded), entries)}")

    async def expect_newest(self, key: SessionKey, newer: Entry, others: Sequence[Entry], after: str) -> None:
        """Raise Broken unless `load` returns `newer` last of its uuid, and otherwise just `others`."""
        loaded: list[Entry] = await self.store.load(key) or []
        bodies = [item for item in loaded if item.get("uuid") == newer["uuid"]]
        expect(bodies, f"after {after}, load gives no entry of that uuid")
        expect(
            canonical(bodies[-1]) == canonical(newer),
            f"after {after}, the last entry of that uuid is not the newer body",
        )
        rest = [item for item in loaded if item.get("uuid") != newer["uuid"]]
        expect(canonical(rest) == canonical(list(others)), f"after {after}, other entries are lost or moved")

    async def another_store(self) -> Any:  # noqa: ANN401 - any store
        """Return a second store over the same data, or the first one if each new store has its own data."""
        other = await made_by(self._make_store)
        probe = self.key("probe", project=self.other_project)
        await self.store.append(probe, entries(1))
        return self.store if await other.load(probe) is None else other

    async def listed(self) -> dict[str, Any]:
        """Return the project's mtimes by session id."""
        found = await self.store.list_sessions(self.project)
        return {name: session["mtime"] for name, session in _by_id(found, "list_sessions").items()}

    async def summaries(self, project: str | None = None) -> dict[str, Any]:
        """Return the project's summaries by session id."""
        found = await self.store.list_session_summaries(project or self.project)
        return _by_id(found, "list_session_summaries")

    async def expect_same_summaries(self, otherwise: str) -> None:
        """Raise Broken unless session s has the same summary in both projects."""
        one, other = await self.summaries(), await self.summaries(self.other_project)
        expect(canonical(one["s"]["data"]) == canonical(other["s"]["data"]), otherwise)

    async def tick(self) -> None:
        """Wait until a millisecond clock has advanced."""
        await anyio.sleep(0.02)


def expect(holds: object, otherwise: str) -> None:
    """Raise Broken unless `holds`. `otherwise` says what the store did instead."""
    if not holds:
        raise Broken(otherwise)


def _by_id(listed: Sequence[Any], method: str) -> dict[str, Any]:
    found = {one["session_id"]: one for one in listed}
    expect(len(found) == len(listed), f"{method} gives a session more than once")
    return found


async def refused(call: Awaitable[object], what: str) -> None:
    """Raise Broken unless the call raises. The store may choose the error."""
    expect(await error_of(call) is not None, f"{what} is accepted")


async def error_of(call: Awaitable[object]) -> Exception | None:
    """Return the exception that a call raises, or None."""
    try:
        await call
    except Exception as error:  # noqa: BLE001 - whatever a store raises
        return error
    return None


def entry(number: int, **members: Any) -> Entry:  # noqa: ANN401 - any JSON values
    """Make an entry without a uuid."""
    return {"type": "x", "n": number, **members}


def entries(*numbers: int) -> list[Entry]:
    """Make entries, each with its own uuid."""
    return [entry(number, uuid=f"uuid-{number}") for number in numbers]


def canonical(value: object) -> str:
    """Return a JSON value as text that distinguishes 1, 1.0 and true, but not the order of keys."""
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Failure:
    """A contract that the store breaks."""

    contract: Contract
    what: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.what}\n    why it matters: {self.contract.reason}"


@dataclass(frozen=True)
class Skip:
    """A contract that was not checked."""

    contract: Contract
    why: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.why}"


@dataclass
class Report:
    """The outcome of every contract."""

    passed: list[Contract] = field(default_factory=list[Contract])
    failed: list[Failure] = field(default_factory=list[Failure])
    skipped: list[Skip] = field(default_factory=list[Skip])

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"]
        lines += [f"failed  {failure}" for failure in self.failed]
        lines += [f"skipped {skip}" for skip in self.skipped]
        return "\n".join(lines)


class NonConformingError(AssertionError):
    """Some contracts are broken. The message is the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


async def check_contracts(
    contracts: Iterable[Contract],
    make_store: MakeStore,
    skip: frozenset[str],
    seconds: float,
) -> Report:
    """Check each contract, even after others have failed."""
    report = Report()
    for contract in contracts:
        if contract.name in skip or contract.capability in skip:
            report.skipped.append(Skip(contract, "skipped by the caller"))
            continue
        try:
            await run_contract(contract, make_store, seconds=seconds)
        except Skipped as skipped:
            report.skipped.append(Skip(contract, str(skipped)))
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the next contract is checked
            report.failed.append(Failure(contract, _told(error)))
        else:
            report.passed.append(contract)
    return report


async def run_contract(contract: Contract, make_store: MakeStore, *, seconds: float = 60) -> None:
    """Check one contract.

    Args:
        contract: The contract, from `CONTRACTS`.
        make_store: As for `run_store_conformance`.
        seconds: How long the contract may take.

    Raises:
        Broken: The store breaks the contract. Exceptions of the store itself pass through.
        Skipped: The contract can't be checked here: mostly, the store lacks a method that it needs.
    """
    store = await made_by(make_store)
    if missing := [method for method in contract.needs if not _has(store, method)]:
        raise Skipped(f"the store has no {' and no '.join(missing)}")
    try:
        with anyio.fail_after(seconds):
            await contract.check(Trial(store, make_store))
    except TimeoutError as late:
        raise Broken(f"takes more than {seconds:g} s") from late


async def made_by(make_store: MakeStore) -> Any:  # noqa: ANN401 - any store
    """Make a store, and await it if `make_store` returned an awaitable."""
    made = make_store()
    return await made if isawaitable(made) else made


def _has(store: object, method: str) -> bool:
    """Return True if the store's class has the method itself, not only from the SDK's Protocol."""
    found = getattr(type(store), method, None)
    module = getattr(found, "__module__", None) or ""
    name = getattr(found, "__qualname__", None)
    inherited = module.startswith("claude_agent_sdk") and name == f"SessionStore.{method}"
    return found is not None and not inherited


def _told(error: BaseException) -> str:
    if isinstance(error, Broken):
        return str(error)
    if isinstance(error, BaseExceptionGroup):
        told = dict.fromkeys(_told(inner) for inner in error.exceptions)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
        return "; ".join(told)
    return f"raises {type(error).__name__}: {error}"


def _count(entries: Any) -> str:  # noqa: ANN401 - whatever a store returned
    return "None" if entries is None else f"{len(entries)} entries"


def _difference(loaded: list[Any], due: Sequence[Entry]) -> str:
    if len(loaded) != len(due):
        return f"{len(loaded)} entries where {len(due)} are due"
    first = next(n for n, item in enumerate(loaded) if canonical(item) != canonical(due[n]))
    if sorted(map(canonical, loaded)) == sorted(map(canonical, due)):
        return f"the entries in another order, first at {first}"
    return f"another value at position {first}: {_shortened(loaded[first])}"


def _shortened(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 200 else f"{text[:200]}..."  # noqa: PLR2004 - a line's worth
