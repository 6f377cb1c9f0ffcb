"""Log text -> what went wrong: signatures are rows of signatures/, and this is all that judges by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from toolkit import faults
from toolkit.explain.lines import LONGEST, Line
from toolkit.explain.search import MOST, Block, Hit, of_lines
from toolkit.explain.table import HARMLESS, NOT_OURS, Cause, Context, Signature, table
from toolkit.model import Evidence, Explanation, Finding, Step

WENT_ON = 2  # the specificity of what a program says and goes on after

Found = Mapping[int, list[Hit]]  # by the place of a pattern


@dataclass(frozen=True, slots=True)
class Shown:
    """A signature in a log: the first lines that it holds for, and the faults that it may be, the likeliest first.

    One fault where the log decides. `platforms` are those that the log is of.
    """

    signature: Signature
    lines: tuple[Line, ...]
    causes: tuple[Cause, ...]
    caught: dict[str, str]
    platforms: frozenset[str]

    @property
    def fault(self) -> str:
        return self.causes[0].fault


def explain(text: Iterable[Block], log: str, machine: Sequence[Finding] = ()) -> Explanation:
    """Return what a log shows. `log` is its name; `machine` is what kit doctor found on the log's machine.

    The root cause is first. Of a line that several faults print, the machine decides; else all come, the likeliest first.
    """
    seen = every(text)
    known = [each for each in seen if each.fault != HARMLESS]
    if not known:
        return Explanation("benign", _findings(seen, log, machine))
    if known[0].fault == NOT_OURS:
        return Explanation("unknown", _findings(known[:1], log, machine))
    return Explanation("fault", _findings([each for each in known if each.fault != NOT_OURS], log, machine))


def shown(lines: Iterable[Line]) -> tuple[Shown, ...]:
    """Return the faults that a log's lines show, the most specific first, then what was said first."""
    return tuple(each for each in every(of_lines(lines)) if each.fault not in {HARMLESS, NOT_OURS})


def why(lines: Iterable[Line], log: str) -> Finding | None:
    """Return the fault that ended a program, by its log; None where that tells only of errors of the program's own, or of
    what it went on after."""
    known = [each for each in every(of_lines(lines)) if each.fault != HARMLESS][:1]
    ended = [each for each in known if each.fault != NOT_OURS and each.signature.specificity > WENT_ON]
    return finding(ended[0], log) if ended else None


def finding(each: Shown, log: str, first: Iterable[Step] = ()) -> Finding:
    """Return the finding of what a log shows, with `first` before what mends it in general. `log` is its name."""
    found = _finding(each, each.causes[0], log)
    return faults.finding(found.id, found.cause, [*first, *found.fix], found.evidence)


def every(text: Iterable[Block]) -> list[Shown]:
    """Return the signatures that hold, the most specific first, without what only follows from another."""
    rows = table()
    found = rows.patterns.found(text, rows.last)
    platforms = frozenset(each.platform for each in rows.contexts if each.platform and _any(each.patterns, found))
    versions = _versions(rows.contexts, found)
    holding = [each for each in rows.signatures if _holds(each, found, platforms, versions)]
    holding.sort(key=lambda each: -each.specificity)
    taken: set[int] = set()  # numbers of lines: of two signatures that hold for one, the more specific stands
    seen: list[Shown] = []
    for each in holding:
        hits = sorted((hit for place in each.patterns for hit in found.get(place, ())), key=lambda hit: hit.line.number)
        hits = list({hit.line.number: hit for hit in hits if hit.line.number not in taken}.values())
        if hits:
            taken |= {hit.line.number for hit in hits}
            lines = tuple(hit.line for hit in hits[:MOST])
            seen.append(Shown(each, lines, _causes(each, found), hits[0].caught, platforms))
    seen.sort(key=lambda each: (-each.signature.specificity, each.lines[0].number))
    there = {name for each in seen for name in (each.signature.name, each.fault)}
    return [each for each in seen if not each.signature.consequence_of & (there - {each.signature.name, each.fault})]


def _any(places: Iterable[int], found: Found) -> bool:
    return any(place in found for place in places)


def _holds(each: Signature, found: Found, platforms: frozenset[str], versions: Mapping[str, Version]) -> bool:
    return (
        _any(each.patterns, found)
        and all(_any(places, found) for places in each.needs)
        and not _any(each.bars, found)
        and (not each.platforms or not platforms or bool(each.platforms & platforms))
        and all(
            program not in versions or allowed.contains(versions[program], prereleases=True)
            for program, allowed in each.versions.items()
        )
    )


def _versions(contexts: Iterable[Context], found: Found) -> dict[str, Version]:
    versions: dict[str, Version] = {}
    for each in contexts:
        for hit in (hit for place in each.patterns for hit in found.get(place, ()) if each.program):
            try:
                versions.setdefault(each.program or "", Version(hit.caught["version"]))
            except InvalidVersion:
                continue
    return versions


def _causes(each: Signature, found: Found) -> tuple[Cause, ...]:
    """Return the faults that a signature may show; one where another line of the log tells which."""
    told = [cause for cause in each.causes[1:] if cause.needs and all(_any(places, found) for places in cause.needs)]
    return (told[0],) if told else each.causes


def _findings(every: Iterable[Shown], log: str, machine: Sequence[Finding]) -> tuple[Finding, ...]:
    findings: dict[str, Finding] = {}
    for each in every:
        here = [found for found in machine if any(cause.fault == found.id for cause in each.causes)][:1]
        for cause in each.causes:
            if here and cause.fault != here[0].id:
                continue
            found = _finding(each, cause, log, *here)
            findings.setdefault(found.id if found.id != HARMLESS else each.signature.name, found)
    return tuple(findings.values())


def _finding(each: Shown, cause: Cause, log: str, here: Finding | None = None) -> Finding:
    """Return the finding of one fault, which the machine may show too: then its steps mend it, else the row's or page's."""
    evidence = [Evidence(f"{log}:{line.number}", line.text.strip()[:LONGEST]) for line in each.lines]
    text = cause.cause.format_map(defaultdict(lambda: "?", each.caught))
    if here:
        text, evidence = f"{text} This machine shows it: {here.cause}", [*evidence, *here.evidence]
    elif len(each.causes) > 1 and cause.tell:
        text = f"{text} It is this one where {cause.tell}."
    fix = here.fix if here else cause.steps or faults.fix(cause.fault, each.platforms)
    return faults.finding(cause.fault, text, fix, evidence, "info" if cause.fault == HARMLESS else "error")
