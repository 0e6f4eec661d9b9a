"""The site's own steps: README.md is its first page, and files outside docs/ are named instead of linked."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

README = Path(__file__).parents[1] / "README.md"
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+)\)")


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - mkdocs' own
    """Add the README as index.md, its links as seen from docs/."""
    text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", README.read_text("utf-8")).replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text.replace('"docs/', '"')))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Name the files that are not part of the site."""
    return OUTSIDE.sub(r"\1 (`\2`)", markdown)
