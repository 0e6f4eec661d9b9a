"""A primary and its streaming standby."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from boocode_sessions import migrations
from tests.fixtures.servers import EmbeddedPostgres
from tests.reliability.verdicts import wait_until


class Pair:
    """A primary and a standby."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.primary = EmbeddedPostgres(folder / "primary" / "data", "-c fsync=off")
        (folder / "primary").mkdir()
        folder.chmod(0o755)
        self.primary.start()
        migrations.upgrade(text(self.primary.url))
        self.standby = self.add("standby")

    def add(self, name: str) -> EmbeddedPostgres:
        """Start another standby."""
        made = self.primary.standby(self.folder / name / "data")
        made.start()
        return made

    def replays(self, *, paused: bool) -> None:
        """Pause or resume the standby's replay, and wait until that has happened."""
        self.standby.set("recovery_min_apply_delay", "1h" if paused else "0")
        with psycopg.connect(text(self.standby.url).replace("+psycopg", ""), autocommit=True) as standby:
            setting = "SHOW recovery_min_apply_delay"
            wanted = "1h" if paused else "0"
            assert wait_until(lambda: standby.execute(setting).fetchone() == (wanted,))


def text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="boocode-replica-", ignore_cleanup_errors=True) as folder:
        made = Pair(Path(folder))
        yield made
        made.standby.stop("immediate")
        made.primary.stop("immediate")
