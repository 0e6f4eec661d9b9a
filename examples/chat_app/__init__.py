"""A chat in the browser, with a warm agent behind each chat: docs/agents.md."""
