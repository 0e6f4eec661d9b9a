"""A chat in the browser, behind which each chat has a warm agent: docs/agents.md."""
