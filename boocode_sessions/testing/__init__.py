"""The store contract, as this package reads it, as a test suite for any `SessionStore`.

    @pytest.mark.anyio
    async def test_my_store_keeps_the_contract() -> None:
        await run_store_conformance(MyStore)

The suite needs only anyio, runs under asyncio and trio, and reports everything that is broken at once. For
one pytest test per contract, parametrize over `CONTRACTS` and call `run_contract`. docs/conformance.md lists
every contract and its reason.
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
"""All capabilities, in the order in which they are checked."""

CONTRACTS = tuple(contract for capability in CAPABILITIES for contract in capability.contracts)
"""Every contract of every capability."""


async def run_store_conformance(
    make_store: Callable[[], object | Awaitable[object]],
    *,
    skip: frozenset[str] = frozenset(),
    seconds: float = 60,
) -> Report:
    """Check a store against every contract, and report all that are broken.

    A contract that needs an optional method is skipped if the store lacks the method. The report says which
    contracts were skipped, and why.

    Args:
        make_store: Called once per contract, and a second time where two stores write to one session: both
            stores should then have the same data. It may be a coroutine function. It may return the same
            store each time, since contracts do not share keys.
        skip: Names of capabilities or contracts to skip.
        seconds: How long one contract may take.

    Returns:
        What passed and what was skipped.

    Raises:
        NonConformingError: A contract is broken. The AssertionError lists all of them, and has the report.
        ValueError: `skip` has an unknown name.
    """
    known = {contract.name for contract in CONTRACTS} | {capability.name for capability in CAPABILITIES}
    if unknown := sorted(skip - known):
        raise ValueError(f"no such capability or contract to skip: {', '.join(unknown)}")
    report = await check_contracts(CONTRACTS, make_store, skip, seconds)
    if report.failed:
        raise NonConformingError(report)
    return report
