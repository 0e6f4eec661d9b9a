"""Fills the derived tables from the entries, without help from the code that writes entries.

A session's digest records how far the tables cover it. A query first takes what is missing (`catch_up`). If
it may not write, it reads the missing lines themselves (`find_missing`).
"""
