"""How long an upgrade locks the table that it adopts, with and without `migrations.prepare` before it.

python -m benchmarks.adopting URL_OF_AN_EMPTY_POSTGRESQL_DATABASE [ROWS]
"""

import sys
import time

from sqlalchemy import create_engine, text

from boocode_sessions import migrations
from tests.migrations.other_stores import SeedStore

_FILL = """
INSERT INTO claude_session_entries (project_key, session_id, subpath, entry)
SELECT 'p', 'session-' || (n % 1000), '', jsonb_build_object(
    'type', 'user', 'uuid', gen_random_uuid(), 'message', jsonb_build_object('content', (
        SELECT string_agg(substr(md5((n * word)::text), 1, 5), ' ') FROM generate_series(1, 150) word))
) FROM generate_series(1, :rows) n
"""


def main(url: str, rows: int) -> None:
    engine = create_engine(url)
    for prepared in (False, True):
        SeedStore(engine).create()
        with engine.begin() as connection:
            connection.execute(text(_FILL), {"rows": rows})
        if prepared:
            started = time.perf_counter()
            migrations.prepare(engine)
            print(f"prepare, writers going on:  {time.perf_counter() - started:6.2f} s")
        started = time.perf_counter()
        migrations.upgrade(engine)
        name = "upgrade after it:" if prepared else "upgrade alone:"
        print(f"{name:27} {time.perf_counter() - started:6.2f} s   ({rows} rows of BooCode's store)")
        migrations.downgrade(engine)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE boocode_sessions_alembic_version"))
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
