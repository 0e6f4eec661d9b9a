"""Our reading of the store contract as a suite that any `SessionStore` can run.

    @pytest.mark.anyio
    async def test_my_store_keeps_the_contract() -> None:
        await run_store_conformance(MyStore)

It needs anyio and nothing else, runs under asyncio and trio, and tells all that is broken at once. For one
pytest test per contract, parametrize over `CONTRACTS` and call `run_contract`. Every contract and its
reason: docs/conformance.md.
"""

from boocode_sessions.testing import (
    appending,
    concurrency,
    deletion,
    exactness,
    idempotency,
    keys,
    listing,
    privacy,
    subkeys,
    summaries,
)
from boocode_sessions.testing.suite import (
    Broken,
    Contract,
    Failure,
    NonConformingError,
    Report,
    Skip,
    Skipped,
    check_contracts,
    run_contract,
)

__all__ = [
    "CAPABILITIES",
    "CONTRACTS",
    "Broken",
    "Contract",
    "Failure",
    "NonConformingError",
    "Report",
    "Skip",
    "Skipped",
    "run_contract",
    "run_store_conformance",
]

from collections.abc import Awaitable, Callable

CAPABILITIES = (
    appending.APPENDING,
    idempotency.IDEMPOTENCY,
    exactness.EXACTNESS,
    concurrency.CONCURRENCY,
    listing.LISTING,
    summaries.SUMMARIES,
    deletion.DELETION,
    subkeys.SUBKEYS,
    keys.KEYS,
    privacy.PRIVACY,
)
"""What a store can do, in the order in which it is checked."""

CONTRACTS = tuple(contract for capability in CAPABILITIES for contract in capability.contracts)
"""Every contract of every capability."""


async def run_store_conformance(
    make_store: Callable[[], object | Awaitable[object]],
    *,
    skip: frozenset[str] = frozenset(),
    seconds: float = 60,
) -> Report:
    """Check a store against every contract, and tell all that are broken.

    `make_store` is called once per contract, and a second time where two stores write to one session: both
    should then be over the same data. It may be a coroutine function, and may give the same store each time:
    no contract uses another one's keys.

    `skip`: names of capabilities or of contracts. What needs an optional method that the store does not
    have is skipped by itself. The report tells which ones, and why.

    `seconds`: what one contract may take.

    Raises NonConformingError, an AssertionError that lists every broken contract and carries the report.
    Raises ValueError for a name in `skip` that there is not.
    """
    known = {contract.name for contract in CONTRACTS} | {capability.name for capability in CAPABILITIES}
    if unknown := sorted(skip - known):
        raise ValueError(f"no such capability or contract to skip: {', '.join(unknown)}")
    report = await check_contracts(CONTRACTS, make_store, skip, seconds)
    if report.failed:
        raise NonConformingError(report)
    return report
