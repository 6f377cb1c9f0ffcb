"""The GPU chain: facts and rules to counts a rung, one root cause, and the findings."""

from __future__ import annotations

import time
from collections.abc import Iterable

from toolkit.checks import Check, RungRules, check_id, rules
from toolkit.facts import Facts
from toolkit.faults import finding
from toolkit.model import (
    RUNGS,
    CheckResult,
    Command,
    Diagnosis,
    Evidence,
    Finding,
    NotApplicableError,
    Rung,
    RungName,
    UnknownFactError,
)


def diagnose(facts: Facts, rungs: Iterable[RungName] = RUNGS) -> Diagnosis:
    """Return the chain over the given rungs: the first whose count falls, or that has an error, is broken; what stands
    above it is blocked; its first finding is the root cause. Checks of blocked rungs are skipped, independent ones not.
    """
    began = time.perf_counter()
    wanted = set(rungs)
    by_rung = {rule.rung: rule for rule in rules()}
    chain: list[Rung] = []
    findings: list[Finding] = []
    checks: list[CheckResult] = []
    root: str | None = None
    below: int | None = None
    for name in (rung for rung in RUNGS if rung in wanted):
        rule = by_rung[name]
        results, found = _run(rule, facts, blocked_by=root)
        checks += results
        findings += found
        if root:
            chain.append(Rung(name, "blocked", None, ""))
            continue
        errors = [each for each in found if each.severity == "error"]
        rung = _count(rule, facts, below, bool(errors))
        chain.append(rung)
        if rung.status == "broken":
            if not errors:
                errors = [_unexplained(rung, below)]
                findings += errors
            root = errors[0].id
        if rung.gpus is not None:  # the least so far: a rung may offer more than the one below it has
            below = rung.gpus if below is None else min(below, rung.gpus)
    findings.sort(key=lambda each: each.id != root)
    return Diagnosis(tuple(chain), root, tuple(findings), tuple(checks), time.perf_counter() - began)


def _count(rule: RungRules, facts: Facts, below: int | None, has_error: bool) -> Rung:
    try:
        gpus, detail = rule.gpus(facts), rule.detail(facts)
    except NotApplicableError as reason:
        return Rung(rule.rung, "broken" if has_error else "skipped", None, str(reason))
    except UnknownFactError as reason:
        return Rung(rule.rung, "broken" if has_error else "unknown", None, str(reason))
    except Exception as error:  # as with a check: one rule's crash is not the doctor's
        return Rung(rule.rung, "unknown", None, f"kit cannot judge it ({type(error).__name__}: {error})")
    fell = gpus == 0 or (below is not None and gpus < below)
    return Rung(rule.rung, "broken" if fell or has_error else "ok", gpus, detail)


def _run(rule: RungRules, facts: Facts, blocked_by: str | None) -> tuple[list[CheckResult], list[Finding]]:
    results, findings = [], []
    for check in rule.checks:
        result, found = _check(check, facts, blocked_by)
        results.append(result)
        findings += found
    return results, findings


def _check(check: Check, facts: Facts, blocked_by: str | None) -> tuple[CheckResult, list[Finding]]:
    name = check_id(check)
    if blocked_by and not getattr(check, "independent", False):
        return CheckResult(name, "skipped", f"blocked by {blocked_by}"), []
    try:
        answer = check(facts)
    except UnknownFactError as reason:
        return CheckResult(name, "skipped", str(reason)), []
    except Exception as error:  # a crash of one check is a result, and the others go on
        return CheckResult(name, "crashed", f"{type(error).__name__}: {error}"), []
    found = [answer] if isinstance(answer, Finding) else answer or []
    return CheckResult(name, "found" if found else "ok", found[0].cause if found else ""), found


def found_by(check: Check, facts: Facts) -> list[Finding]:
    """Return what a check finds, whatever stands below it; nothing where it cannot tell."""
    return _check(check, facts, blocked_by=None)[1]


def _unexplained(rung: Rung, below: int | None) -> Finding:
    return finding(
        "gpus-lost",
        f"{rung.gpus} of {below if below is not None else '?'} GPUs are left on the rung {rung.rung}.",
        [Command("kit doctor --capture machine.json")],
        [Evidence(rung.rung, rung.detail)],
    )
