"""The page of a fault: its words, and what the library of machines and the signatures of logs show of it."""

from __future__ import annotations

from functools import cache

from toolkit import chain, faults, scenarios
from toolkit.checks import check_id, rules
from toolkit.explain.table import table
from toolkit.facts import Facts
from toolkit.faults import vocabulary
from toolkit.host import capture
from toolkit.model import RUNGS, Finding, Page, RungName, UsageError

SAID = 3  # lines of logs on a page


def page(fault: str) -> Page:
    """Return a fault's page; UsageError for an id that is not in the vocabulary, with the nearest ones."""
    if fault not in vocabulary():
        import difflib

        near = difflib.get_close_matches(fault, vocabulary(), cutoff=0.4) or ["kit explain --list shows all"]
        raise UsageError(f"there is no fault {fault!r}; did you mean {', '.join(near)}?")
    shown = sorted(_shown().get(fault, []), key=lambda each: _plainness(each[0], fault, each[2]))
    machine, example, first = shown[0] if shown else (None, None, "")
    names = tuple(dict.fromkeys(check for _, _, check in shown if check))
    rung = _rung(first)
    related = tuple(
        other for other in sorted(_shown()) if other != fault and rung and _rung(_shown()[other][0][2]) == rung
    )
    words = faults.page(fault)
    return Page(
        id=fault,
        title=vocabulary()[fault]["title"],
        what=words.get("what", ""),
        how=words.get("how", ""),
        confirm=faults.steps(words.get("confirm", ())),
        fixes={platform: faults.steps(rows) for platform, rows in words["fix"].items()},
        says=_says(fault),
        sources=tuple(words.get("sources", ())),
        checks=names,
        rung=rung,
        machine=machine,
        example=example,
        related=tuple(dict.fromkeys((*words.get("related", ()), *related))),
    )


def _says(fault: str) -> tuple[str, ...]:
    """Return lines that show a fault in logs, the plainest words for it first."""
    rows = [each for each in table().signatures if any(cause.fault == fault for cause in each.causes)]
    rows.sort(key=lambda each: (each.fault != fault, -each.specificity))
    return tuple(each.example for each in rows[:SAID])


@cache
def _shown() -> dict[str, list[tuple[str, Finding, str]]]:
    """Return for each fault where the library shows it: machine, finding, and the check that found it."""
    shown: dict[str, list[tuple[str, Finding, str]]] = {}
    for name in scenarios.names():
        facts = Facts(capture.replay(scenarios.file(name)))
        for rule in rules():
            for check in rule.checks:
                for found in chain.found_by(check, facts):
                    shown.setdefault(found.id, []).append((name, found, check_id(check)))
        for found in chain.diagnose(facts).findings:  # what no check explains
            shown.setdefault(found.id, [(name, found, "")])
    return shown


def _plainness(machine: str, fault: str, check: str) -> tuple[bool, int, int]:
    """Return what makes a machine a good example, the best first: the fault is its root, low on the chain, and alone."""
    diagnosis = chain.diagnose(Facts(capture.replay(scenarios.file(machine))))
    rung = _rung(check)
    return diagnosis.root_cause != fault, RUNGS.index(rung) if rung else len(RUNGS), len(diagnosis.findings)


def _rung(check: str) -> RungName | None:
    return next((rule.rung for rule in rules() if check in map(check_id, rule.checks)), None)
