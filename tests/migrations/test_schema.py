"""The migrations make what the models describe."""

from collections.abc import Callable

from sqlalchemy import Engine, Inspector, inspect

from boocode_sessions import migrations
from boocode_sessions.models import SCHEMA_VERSION, Base
from tests.fixtures.databases import Database, Databases
from tests.migrations.hosting import differences, tables


def test_the_migrations_make_the_schema_that_the_models_describe(engine: Engine) -> None:
    assert differences(engine) == []


def test_a_difference_between_models_and_schema_is_found(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX claude_session_entries_unplaced_idx")
        connection.exec_driver_sql("ALTER TABLE claude_sessions DROP COLUMN held")
    assert {difference[0] for difference in differences(engine)} == {"add_index", "add_column"}


def test_create_all_makes_the_same_columns_and_indexes(engine: Engine, plain_engine: Engine) -> None:
    Base.metadata.create_all(plain_engine)
    for table in Base.metadata.tables:
        migrated, created = inspect(engine), inspect(plain_engine)
        assert _columns(migrated, table) == _columns(created, table)
        assert _indexes(migrated, table) == _indexes(created, table)
        assert (
            migrated.get_pk_constraint(table)["constrained_columns"]
            == created.get_pk_constraint(table)["constrained_columns"]
        )


def test_a_downgrade_to_base_leaves_nothing_behind(database: Database, engine: Engine) -> None:
    migrations.downgrade(database.url)
    assert tables(engine) == set()
    assert migrations.pending(engine) == [SCHEMA_VERSION]


def test_up_and_down_and_up_again_ends_at_the_same_schema(plain_engine: Engine) -> None:
    for _ in range(2):
        migrations.upgrade(plain_engine)
        assert differences(plain_engine) == []
        migrations.downgrade(plain_engine)


def test_the_package_imports_alembic_only_when_a_migration_is_asked_for(
    run_python: Callable[[str], str],
) -> None:
    program = "import sys, boocode_sessions; print(any(m.startswith('alembic') for m in sys.modules))"
    assert run_python(program) == "False"


def test_new_entries_are_compressed_with_lz4_where_the_server_has_it(databases: Databases) -> None:
    engine = databases.migrated("postgresql").engine()
    with engine.connect() as connection:
        known = connection.exec_driver_sql(
            "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).scalar_one()
        method = connection.exec_driver_sql(
            "SELECT attcompression FROM pg_attribute WHERE attname = 'entry' "
            "AND attrelid = 'claude_session_entries'::regclass"
        ).scalar_one()
    engine.dispose()
    assert method == ("l" if known else "")


def _columns(inspector: Inspector, table: str) -> list[tuple[object, ...]]:
    columns = inspector.get_columns(table)
    return [(c["name"], str(c["type"]), c["nullable"], str(c["default"]).strip("()")) for c in columns]


def _indexes(inspector: Inspector, table: str) -> list[tuple[object, ...]]:
    return [
        (i["name"], i["column_names"], i["unique"], {k: str(v) for k, v in i["dialect_options"].items()})
        for i in inspector.get_indexes(table)
    ]
