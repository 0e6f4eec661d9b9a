"""Import and export of the `~/.claude/projects` layout.

How a line is known again, and what a second import leaves alone, is the rule of `intake`.
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
