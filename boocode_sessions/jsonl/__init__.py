"""Import and export of the `~/.claude/projects` layout.

`intake` has the rules for recognizing a line that is already stored, so that importing twice adds nothing.
"""

from boocode_sessions.jsonl.exporting import ExportResult, RefusedFile, export_tree
from boocode_sessions.jsonl.importing import BrokenLine, ImportResult, import_tree
from boocode_sessions.jsonl.workers import Progress

__all__ = [
    "BrokenLine",
    "ExportResult",
    "ImportResult",
    "Progress",
    "RefusedFile",
    "export_tree",
    "import_tree",
]
