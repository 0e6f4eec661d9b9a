"""Hooks of the site: README.md becomes its first page, and links to files outside docs/ become names."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

README = Path(__file__).parents[1] / "README.md"
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+)\)")


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - mkdocs' own
    """Add the README as index.md, with its links relative to docs/."""
    text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", README.read_text("utf-8")).replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text.replace('"docs/', '"')))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace links to files outside the site by their names."""
    return OUTSIDE.sub(r"\1 (`\2`)", markdown)
