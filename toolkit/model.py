"""The frozen records that kit's parts hand to each other, and nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")

RungName = Literal["pci", "module", "nodes", "nvml", "engine", "container", "libraries", "tensorflow", "compute"]
RUNGS: tuple[RungName, ...] = (
    "pci",
    "module",
    "nodes",
    "nvml",
    "engine",
    "container",
    "libraries",
    "tensorflow",
    "compute",
)

Severity = Literal["error", "warning", "info"]


class KitError(Exception):
    """kit could not do its work (exit code 3); the text says why and what to do."""


class UsageError(KitError):
    """What was asked for makes no sense (exit code 2); the text says what would."""


# --- answers of a host ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """What the host answered: a text, or parsed JSON."""

    data: Any


@dataclass(frozen=True, slots=True)
class Absent:
    """The host says that there is no such thing."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The host could not answer; the text is its own."""

    text: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Nobody asked the host (a question newer than the capture, or a probe that was left out): unknown."""

    reason: str


Answer = Value | Absent | Failed | NotAsked

# --- facts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be established. It is neither healthy nor absent."""

    reason: str


class UnknownFactError(Exception):
    """Raised where a rule needs a fact that is unknown; the text is the reason."""


class NotApplicableError(UnknownFactError):
    """Raised where a rung or rule does not exist on this kind of machine; the text says why."""


EngineFault = Literal["not-installed", "down", "permission-denied", "remote"]

# --- judgements ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A step of a fix that a shell runs as it stands."""

    command: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A step of a fix that a person does."""

    sentence: str


Step = Command | Sentence


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read, and where."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault: its id in the shared vocabulary, why it is here, what shows it and what mends it."""

    id: str
    severity: Severity
    title: str
    cause: str
    fix: tuple[Step, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a log shows: a fault, its root cause first; lines that frighten and mean nothing; or what kit cannot tell."""

    verdict: Literal["fault", "benign", "unknown"]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check ended: nothing wrong, a finding, not possible, or a crash of the check itself."""

    check: str
    status: Literal["ok", "found", "skipped", "crashed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the GPU chain with the GPUs counted on it."""

    rung: RungName
    status: Literal["ok", "broken", "blocked", "skipped", "unknown"]
    gpus: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The chain and its root cause: what `kit doctor` reports."""

    chain: tuple[Rung, ...]
    root_cause: str | None
    findings: tuple[Finding, ...]
    checks: tuple[CheckResult, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """One fault of the vocabulary: what it is, how it comes about, what confirms it and what mends it by platform ("any"
    too), with the checks that find it, a machine of the library that has it, and lines of logs that show it."""

    id: str
    title: str
    what: str
    how: str
    confirm: tuple[Step, ...]
    fixes: dict[str, tuple[Step, ...]]
    says: tuple[str, ...]
    sources: tuple[str, ...]
    checks: tuple[str, ...]
    rung: RungName | None
    machine: str | None
    example: Finding | None
    related: tuple[str, ...]


# --- builds and runs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One image: what it is and how it was proven. What `kit build` reports."""

    image: str
    tag: str | None  # None: not verified, so not tagged as good
    image_id: str
    variant: str
    versions: dict[str, str | None]
    size_bytes: int
    seconds: float
    cached: bool
    verified: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    log: str = ""
    bill: str | None = None  # the file of its bill of materials (CycloneDX)
    scan: dict[str, Any] | None = None  # what is known of its packages' vulnerabilities, where it was asked for


@dataclass(frozen=True, slots=True)
class VerifyRecord:
    """How any image was proven. What `kit verify` reports."""

    image: str
    image_id: str
    versions: dict[str, str | None]
    verified: dict[str, Any]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class LockChange:
    """One lock that resolves to other versions than it holds: package -> old and new version."""

    file: str
    versions: dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class LockRecord:
    """What a refresh of the locks changes. What `kit lock` reports."""

    changes: tuple[LockChange, ...]
    written: bool


ImageStatus = Literal["current", "outdated", "unlisted", "untagged", "building", "unfinished", "derived", "foreign"]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of the engine. What `kit image show` reports, and `kit image list` of each.

    current and outdated: kit's, as it would build it now or not; unlisted: another kit's, which this one does not build;
    untagged: kit's, replaced by a newer one; building and unfinished: of a build that goes on or was killed; derived:
    somebody's own on top of kit's; foreign: not kit's.
    """

    image_id: str
    tags: tuple[str, ...]
    status: ImageStatus
    variant: str | None
    versions: dict[str, str]
    size_bytes: int
    own_bytes: int | None  # what no other image shares
    verified: dict[str, Any] | None  # how it was proven, as in its BuildRecord; None: it was not
    runs: tuple[str, ...]  # run ids
    containers: dict[str, str]  # name -> state, as the engine has it: running, exited, …
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class RemovalRecord:
    """What was removed, and what not, with the reason. What `kit image rm` and `kit image prune` report."""

    removed: tuple[str, ...]
    kept: dict[str, str]
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """An image that was moved into a file or out of one. What `kit image save` and `kit image load` report."""

    file: str
    image_id: str
    tag: str | None
    file_bytes: int
    image_bytes: int
    verified: bool
    already: bool  # it was there
    seconds: float
    replaced: str | None = None  # the id of the image that had the name before


@dataclass(frozen=True, slots=True)
class WheelsRecord:
    """The wheels of a variant in a folder. What `kit image fetch-wheels` reports."""

    folder: str
    variant: str
    python: str
    wheels: tuple[str, ...]
    fetched: tuple[str, ...]  # those that were not there
    size_bytes: int
    seconds: float
    debs: tuple[str, ...] = ()  # Debian packages beside them, in debs/
    lacks: str | None = None  # why they were not fetched, and what to do


RunStatus = Literal["succeeded", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: what `kit run` reports and `result.json` holds."""

    run_id: str
    workload: str
    engine: str
    image: str | None
    gpus: dict[str, int | None]
    device: str | None
    results: dict[str, Any]
    versions: dict[str, str | None]
    seconds: dict[str, float | None]
    artifacts: dict[str, str]
    status: RunStatus
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())
    image_id: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictRecord:
    """What the model of a run says of new samples. What `kit run predict` reports.

    `judged` are the rows that tell their class, one of the model's; accuracy and confusion matrix are over these.
    """

    run_id: str
    workload: str
    engine: str
    image: str | None
    data: str
    output: str | None  # the file of predictions
    rows: int | None
    classes: tuple[int | str, ...]
    judged: int | None
    accuracy: float | None
    confusion_matrix: list[list[int]] | None
    ignored: tuple[str, ...]  # columns that the model does not know
    seconds: float
    status: RunStatus
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


# --- scripts ---------------------------------------------------------------------------------------------------------

Kind = Literal["removed", "moved", "renamed", "ignored", "deprecated"]


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """What a script is to run on: the exact versions of an image."""

    tensorflow: str
    keras: str


@dataclass(frozen=True, slots=True)
class Obsolete:
    """One place of a script that its target no longer takes, or takes otherwise. Lines and columns count from 1."""

    line: int
    column: int
    old: str
    new: str | None  # what works there
    kind: Kind
    raises: bool
    why: str
    cell: int | None = None  # of a notebook, counted from 1; the line is that of the cell


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A script or notebook and what was found in it."""

    path: str
    findings: tuple[Obsolete, ...]


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """What `kit check` reports."""

    target: CheckTarget
    files: tuple[CheckedFile, ...]


def document(verb: str, record: Any) -> dict[str, Any]:
    """Return the JSON document of a record: its fields beside `"schema": "kit.<verb>/1"`."""
    return {"schema": f"kit.{verb}/1", **asdict(record)}
