"""What other stores left behind: copied from the Python SDK's reference table, placed and summed up.

`adopt` copies a table; `backfill` finishes the rows that were adopted in place, or that another program
inserted. Both work in small transactions, each under the lock of one session, so that the sessions' own
writers go on; both can be interrupted and called again.
"""

from boocode_sessions.adoption.backfilling import Backfilled, backfill
from boocode_sessions.adoption.copying import REFERENCE_TABLE, Adopted, adopt
from boocode_sessions.adoption.transcripts import OnProgress, Progress

__all__ = ["REFERENCE_TABLE", "Adopted", "Backfilled", "OnProgress", "Progress", "adopt", "backfill"]
