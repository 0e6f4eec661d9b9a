"""Print the counts of the last run of the concurrency and fault tests: `python -m tests.reliability`."""

import json
import sys
from pathlib import Path

from tests.reliability.verdicts import FIGURES, table

PATH = Path(__file__).parents[2] / ".pytest_cache" / "d" / FIGURES / "figures.json"

if not PATH.exists():
    sys.exit("no figures yet: run `make reliability`")
sys.stdout.write(table(json.loads(PATH.read_text())) + "\n")
