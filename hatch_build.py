"""The links of the package's metadata, made of the one address in pyproject.toml."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


class LinksHook(MetadataHookInterface):
    """Sets the project's URLs, and README.md with absolute links: the page on PyPI has no files beside it."""

    def update(self, metadata: dict[str, Any]) -> None:
        repository: str = self.config["repository"]
        metadata["urls"] = {
            "Homepage": repository,
            "Documentation": f"{repository}/tree/main/docs",
            "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            "Issues": f"{repository}/issues",
            "Source": repository,
        }
        page = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        page = _PICTURE.sub(rf"![\1]({repository}/raw/main/\2)", page)
        page = _LINK.sub(rf"[\1]({repository}/blob/main/\2)", page)
        metadata["readme"] = {"content-type": "text/markdown", "text": page}
