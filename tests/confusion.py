"""Prints how kit doctor judges the library of machines: expected root cause against the one found. `make test-doctor`."""

import sys
from collections import Counter

from toolkit import chain, scenarios
from toolkit.facts import Facts
from toolkit.host import capture


def judged() -> list[tuple[str, str, str]]:
    """Return machine, expected and found root cause of every machine; "healthy" where there is none."""
    rows = []
    for name in scenarios.names():
        expected = scenarios.read(name)["expect"]["root_cause"] or "healthy"
        found = chain.diagnose(Facts(capture.replay(scenarios.file(name)))).root_cause or "healthy"
        rows.append((name, expected, found))
    return rows


def main() -> int:
    rows = judged()
    right = Counter(expected for _, expected, found in rows if expected == found)
    wrong = [row for row in rows if row[1] != row[2]]
    every = Counter(expected for _, expected, _ in rows)
    print(f"{'expected root cause':36} machines  right  wrong")
    for fault, number in sorted(every.items()):
        print(f"{fault:36} {number:8} {right[fault]:6} {number - right[fault]:6}")
    print(f"{'all':36} {len(rows):8} {len(rows) - len(wrong):6} {len(wrong):6}")
    for name, expected, found in wrong:
        print(f"WRONG {name}: expected {expected}, found {found}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
