"""The example's own tests run among ours, on both databases."""

from examples.host_app.test_host_app import (  # noqa: F401 - collected here
    alembic,
    test_a_chat_and_its_session_are_committed_together,
    test_a_chat_finds_its_transcript,
    test_a_chat_that_goes_takes_its_session_along,
    test_a_failure_takes_both_back,
    test_alembic_upgrade_head_is_all_there_is,
)
