"""A filled database becomes a distributed one, at once or beside its writers."""

from collections.abc import Callable

import pytest

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations, queries
from boocode_sessions.engine import create_engine
from boocode_sessions.status import holdings
from tests.reliability.verdicts import Verdict, examine, marked, wait_until
from tests.reliability.writers import Order, a_fleet

pytestmark = pytest.mark.xdist_group("citus")


@pytest.mark.parametrize("online", [False, True], ids=["at once", "online"])
def test_a_filled_database_is_distributed_beside_its_writers(
    new_on_cluster: str, online: bool, publish: Callable[[Verdict], None]
) -> None:
    engine = create_engine(new_on_cluster)
    repository = ClaudeSessionRepository(engine)
    keys: list[SessionKey] = [{"project_key": f"p{n}", "session_id": "s"} for n in range(4)]
    before = {key["project_key"]: marked("before", 0, 600) for key in keys}
    for key in keys:
        repository.append(key, before[key["project_key"]])
    told: list[str] = []
    message = {"id": "m", "content": "answered before", "usage": {"output_tokens": 7}}
    repository.append(
        {"project_key": "asked", "session_id": "s"}, [{"type": "assistant", "message": message, "uuid": "u"}]
    )
    asked = (queries.usage(engine), queries.tools(engine), queries.search(engine, "answered"))
    assert asked[0][0].output_tokens == 7
    with a_fleet() as fleet:
        for number, kind in enumerate(["repository", "store over Engine"]):
            fleet.start(Order(f"w{number}", kind, new_on_cluster, keys, attempts=100))
        assert wait_until(lambda: all(w.count > 5 for w in fleet.writers), 60)
        try:
            migrations.distribute(engine, shard_count=8, online=online, progress=told.append)
        except Exception as error:
            if "output_plugin_libraries" in str(error.__cause__) or "wal_level" in str(error.__cause__):
                pytest.skip("the cluster's settings forbid an online distribution")
            raise
        counts = [w.count for w in fleet.writers]
        assert wait_until(
            lambda: all(w.count > then + 5 for w, then in zip(fleet.writers, counts, strict=True)), 60
        ), "a writer came to a halt"
        for writer in fleet.writers:
            writer.kill()
        total = Verdict(runs=0)
        for key in keys:
            stored = repository.load(key) or []
            assert stored[:600] == before[key["project_key"]]
            total += examine(stored[600:], fleet.acknowledged(key))
    assert (queries.usage(engine), queries.tools(engine), queries.search(engine, "answered")) == asked
    steps = len(told)
    migrations.distribute(engine, shard_count=8, online=online, progress=told.append)
    assert len(told) == steps, "nothing was left to do"
    found = holdings(engine)
    assert found.shards == 8
    assert found.nodes is not None
    assert found.nodes > 1
    engine.dispose()
    total.runs, total.writers = 1, 2
    publish(total)
