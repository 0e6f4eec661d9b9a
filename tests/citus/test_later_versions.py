"""The schema of a distributed database goes on to later versions, beside programs of the version before."""

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.engine import create_engine
from boocode_sessions.migrations import chain

pytestmark = pytest.mark.xdist_group("citus")

KEYS: list[SessionKey] = [{"project_key": f"p{n}", "session_id": "s"} for n in range(5)]


def test_a_later_version_changes_every_shard(new_on_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(new_on_cluster)
    migrations.distribute(engine, shard_count=8)
    repository = ClaudeSessionRepository(engine)
    for number, key in enumerate(KEYS):
        repository.append(key, [{"type": "user"}] * (1 + number % 2))
    config = chain.config()
    config.set_main_option("version_path_separator", "os")
    folders = (Path(chain.__file__).parent / "versions", Path(__file__).parent / "later_version")
    config.set_main_option("version_locations", os.pathsep.join(map(str, folders)))
    monkeypatch.setattr(chain, "config", lambda: config)
    assert migrations.pending(engine) == ["0002"]
    migrations.upgrade(engine)
    with engine.connect() as connection:
        later = "SELECT project_key, later FROM claude_sessions ORDER BY project_key"
        assert connection.execute(text(later)).all() == [(f"p{n}", 7 + n % 2) for n in range(5)]
    for number, key in enumerate(KEYS):
        repository.append(key, [{"type": "user", "later": True}])
        assert len(repository.load(key) or []) == 2 + number % 2
    migrations.downgrade(engine, "0001")
    assert migrations.pending(engine) == ["0002"]
    assert len(repository.load(KEYS[1]) or []) == 3
    engine.dispose()
