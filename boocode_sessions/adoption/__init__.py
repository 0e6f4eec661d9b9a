"""Takes over the rows of other stores and programs.

`adopt` copies the table of the Python SDK's reference adapter. `backfill` completes rows that were adopted in
place, or that another program inserted. Both work in small transactions, each under one session's lock, while
writers go on. Both can be interrupted and called again.
"""

from boocode_sessions.adoption.backfilling import Backfilled, backfill
from boocode_sessions.adoption.copying import REFERENCE_TABLE, Adopted, adopt
from boocode_sessions.adoption.transcripts import OnProgress, Progress

__all__ = ["REFERENCE_TABLE", "Adopted", "Backfilled", "OnProgress", "Progress", "adopt", "backfill"]
