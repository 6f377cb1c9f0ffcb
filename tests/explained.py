"""How kit explains logs whose cause is known: `python tests/explained.py FILE.jsonl…`, each row with a log and its cause.

A cause is a fault's id, `none` (harmless) or `unknown` (not of the GPU environment).
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from toolkit import explain
from toolkit.explain.reading import blocks

VERDICTS = {"benign": "none", "unknown": "unknown"}


def answer(log: str) -> str:
    """Return the first cause that kit finds in a log."""
    record = explain.explain(blocks(io.BytesIO(log.encode())), "log")
    return VERDICTS.get(record.verdict) or record.findings[0].id


if __name__ == "__main__":
    rows = [json.loads(row) for file in sys.argv[1:] for row in Path(file).read_text(encoding="utf-8").splitlines()]
    wrong = [(row, found) for row in rows if (found := answer(row["log"])) != row["cause"]]
    for row, found in wrong:
        print(f"{row.get('id') or row['signature']}: {found}, but it is {row['cause']}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} right")
