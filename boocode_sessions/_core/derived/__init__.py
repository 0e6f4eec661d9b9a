"""Calls and tool uses, taken from the entries behind the writers' backs.

Nothing that writes entries knows of these tables. A session's digest says how far they hold it; whoever asks
takes what is missing first (`catch_up`), or, where it may not write, reads those lines themselves (`read`).
"""
