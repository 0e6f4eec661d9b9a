"""The notebook in examples/ runs, and its cells show what they say."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "sessions.ipynb"


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, and what its sockets leave behind
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [
        output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output
    ]
    shown = "".join(data.get("text/html", "") for data in outputs)
    assert "Forecast test without wind" in shown
    assert "<iframe sandbox" in shown
    assert any("image/png" in data for data in outputs)
