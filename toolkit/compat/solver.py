"""Does a TensorFlow run on these cards, this driver, this Python, and which is the one to take: the pure solver.

A rule gives rulings, each with the text and source of what it says; the worst ruling is the answer. What is not given is
left open and holds nothing back; what is given and not known makes the answer unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from toolkit.compat import products, rules, tables
from toolkit.compat.flavour import library_flavour
from toolkit.compat.products import Gpu
from toolkit.compat.rules import Code, DriverFit
from toolkit.compat.tables import Build, WheelOs
from toolkit.model import UsageError
from toolkit.versions import numbers

Os = Literal["linux", "linux-aarch64", "wsl2", "windows"]
Runs = Literal["native", "jit", "no", "unknown"]
SYSTEMS: tuple[Os, ...] = ("linux", "linux-aarch64", "wsl2", "windows")
WORST_FIRST: tuple[Runs, ...] = ("no", "unknown", "jit", "native")
NO_ROW = "toolkit/compat/tensorflow.json"


@dataclass(frozen=True, slots=True)
class Question:
    """What is given of a machine and a wish; None is left open. No GPUs at all (()) and an empty driver are a machine
    without."""

    tensorflow: str | None = None
    driver: str | None = None
    gpus: tuple[Gpu, ...] | None = None
    python: str | None = None
    numpy: str | None = None
    os: Os = "linux"

    @property
    def windows(self) -> bool:
        """Whether the driver is Windows': on WSL2 it is, whatever Linux runs there. Source: CUDA on WSL User Guide."""
        return self.os in ("windows", "wsl2")


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule as it applies here, and where it is written."""

    rule: str
    source: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one rule answers."""

    answer: Runs
    rule: str
    source: str


@dataclass(frozen=True, slots=True)
class Pythons:
    """The Pythons that a TensorFlow has wheels for."""

    min: str
    max: str


@dataclass(frozen=True, slots=True)
class DriverMin:
    """The oldest driver of a build: as new as its CUDA toolkit's own, and by minor-version compatibility."""

    full: str | None
    minor: str | None


@dataclass(frozen=True, slots=True)
class Numpy:
    """The NumPy that a TensorFlow takes, and whether it takes the one that is given."""

    range: str
    allowed: bool | None


@dataclass(frozen=True, slots=True)
class Recommended:
    """The TensorFlow to take, the newest that the driver serves in full, and why."""

    tensorflow: str | None
    tensorflow_full: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Compatibility:
    """The answer: what `kit compat` reports."""

    runs: Runs
    driver: DriverFit
    code: Code
    compute_capability: str | None
    reasons: tuple[Reason, ...]
    tensorflow: str | None
    python: Pythons | None
    cuda: str | None
    cudnn: str | None
    driver_min: DriverMin
    numpy: Numpy | None
    gpu_build: bool | None
    recommended: Recommended


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the versions that a machine may take, with what decides it."""

    tensorflow: str
    runs: Runs
    driver: DriverFit
    code: Code
    cuda: str | None
    cudnn: str | None
    python: Pythons
    why: str


# --- the question ----------------------------------------------------------------------------------------------------


def question(
    tensorflow: str | None = None,
    driver: str | None = None,
    gpus: Sequence[str] = (),
    python: str | None = None,
    numpy: str | None = None,
    os: str | None = None,
) -> Question:
    """Return what texts ask; UsageError where one is not of its kind at all.

    Where no system is given it is Linux: on x86_64, or on ARM for a card that ARM machines alone have.
    """
    if os is not None and os not in SYSTEMS:
        raise UsageError(f"--os {os}: give {', '.join(SYSTEMS[:-1])} or {SYSTEMS[-1]}")
    if tensorflow is not None and not _is_version(tensorflow):
        raise UsageError(f"--tf {tensorflow}: give a version, as 2.19 (its newest patch) or 2.19.1")
    if driver is not None and not re.fullmatch(r"\d{3}(\.\d{1,3}){0,2}", driver):
        raise UsageError(f"--driver {driver}: give a driver's version, as 535.104.05 on Linux or 537.13 on Windows")
    if python is not None and not re.fullmatch(r"[23]\.\d{1,2}(\.\d{1,2})?", python):
        raise UsageError(f"--python {python}: give a version, as 3.11")
    if numpy is not None and not _is_version(numpy):
        raise UsageError(f"--numpy {numpy}: give a version, as 1.26 or 1.26.4")
    if any(not name.strip() for name in gpus):
        raise UsageError('--gpu: give a product, as "RTX 3090", or a compute capability, as 8.6')
    cards = tuple(products.gpu(name.strip()) for name in gpus) or None
    system = os or ("linux-aarch64" if any(card.arm_source for card in cards or ()) else "linux")
    return Question(tensorflow, driver, cards, python, numpy, system)


def _is_version(text: str) -> bool:
    try:
        return bool(Version(text)) and text[:1].isdigit()
    except InvalidVersion:
        return False


# --- the answer ------------------------------------------------------------------------------------------------------


def solve(asked: Question) -> Compatibility:
    """Return the answer for the TensorFlow that is asked for, or for the recommended one where none is."""
    recommended = recommend(asked)
    build = _build(asked.tensorflow or recommended.tensorflow, asked) or (None if asked.tensorflow else _closest(asked))
    if build is None:
        ruling = _no_build(asked)
        return Compatibility(
            ruling.answer, "unknown", Code(), None, (Reason(ruling.rule, ruling.source),), None, None, None, None,
            DriverMin(None, None), None, None, recommended,
        )  # fmt: skip
    rulings = _ordered(build, asked)
    weakest = _weakest(build, asked)
    return Compatibility(
        runs=rulings[0].answer,
        driver=_driver_fit(build, asked),
        code=_code(build, weakest),
        compute_capability=weakest.compute_capability if weakest else None,
        reasons=tuple(Reason(each.rule, each.source) for each in rulings),
        tensorflow=build.tensorflow,
        python=_pythons(build),
        cuda=_minor(build.cuda),
        cudnn=_minor(build.cudnn),
        driver_min=DriverMin(*_driver_min(build, asked)),
        numpy=Numpy(tables.numpy_range(build, asked.python), _numpy_allowed(build, asked)),
        gpu_build=build.gpu,
        recommended=recommended,
    )


def judge(tensorflow: str, asked: Question) -> Compatibility:
    """Return the answer for one TensorFlow."""
    return solve(replace(asked, tensorflow=tensorflow))


def newest_for(asked: Question, among: Sequence[str]) -> str | None:
    """Return the newest of some TensorFlow versions that runs natively on what is given; None where none does."""
    newest_first = sorted(among, key=Version, reverse=True)
    return next((each for each in newest_first if runs(each, asked) == "native"), None)


def runs(tensorflow: str, asked: Question) -> Runs:
    """Return whether one TensorFlow runs."""
    build = _build(tensorflow, asked)
    return _runs(build, asked) if build else _no_build(replace(asked, tensorflow=tensorflow)).answer


def versions(asked: Question) -> tuple[Row, ...]:
    """Return how every minor version, by its newest patch, runs on what is given, the newest first."""
    newest: dict[tuple[int, ...], Build] = {}
    for build in tables.builds(_wheel_os(asked.os)):
        newest.setdefault(numbers(build.tensorflow)[:2], build)
    return tuple(_row(build, asked) for build in newest.values())


def _row(build: Build, asked: Question) -> Row:
    return Row(
        build.tensorflow, _runs(build, asked), _driver_fit(build, asked), _code(build, _weakest(build, asked)),
        _minor(build.cuda), _minor(build.cudnn), _pythons(build), _ordered(build, asked)[0].rule,
    )  # fmt: skip


def recommend(asked: Question) -> Recommended:
    """Return the TensorFlow to take: the newest that runs natively, where none does the newest that runs by JIT."""
    fitting = [build for build in tables.builds(_wheel_os(asked.os)) if _fits(build, asked)]
    wants = [f"has a wheel for Python {asked.python}"] if asked.python else []
    wants += [f"takes NumPy {asked.numpy}"] if asked.numpy else []
    if not fitting:
        return Recommended(None, None, f"no TensorFlow of the table {' and '.join(wants)}")
    newest = fitting[0].tensorflow
    if asked.gpus == ():
        return Recommended(newest, None, "there is no GPU: the newest, on the CPU")
    if not any(build.gpu for build in fitting):
        return Recommended(
            None, None, f"no wheel for {_system(asked)}{' that fits' if wants else ''} has CUDA; on the CPU: {newest}"
        )
    if asked.driver == "":
        driven = recommend(replace(asked, driver=None))
        return replace(driven, why=f"no NVIDIA driver works here; with one, {driven.why}; until then on the CPU")
    unknown = [card.name for card in asked.gpus or () if card.compute_capability is None]
    if unknown:
        return Recommended(None, None, f"which card {', '.join(unknown)} is, is not known: none is recommended")
    enough = ("native", "jit") if asked.gpus else ("native", "jit", "unknown")
    served = [build for build in fitting if _runs(build, asked) in enough]
    full = [build for build in served if _driver_fit(build, asked) == "full"]
    best, best_full = _best(served, asked), _best(full, asked)
    if best is None:
        runs = "is known to run" if any(_runs(build, asked) == "unknown" for build in fitting) else "runs"
        why = f"no TensorFlow from {fitting[-1].tensorflow} to {newest} {runs} on {_given(asked)}; on the CPU: {newest}"
    elif asked.gpus is None:
        why = f"the newest that {_given(asked)} serves; which card it is was not given"
        if asked.driver is None:
            why = "the newest; neither a card nor a driver was given"
    elif _runs(best, asked) == "native":
        why = f"the newest that runs natively on {_given(asked)}"
    else:
        why = f"none has code for {_given(asked)}: the newest whose PTX the driver compiles at the first start"
    return Recommended(best.tensorflow if best else None, best_full.tensorflow if best_full else None, why)


def _best(served: list[Build], asked: Question) -> Build | None:
    """Return the newest of the builds that run best."""
    return max(served, key=lambda build: WORST_FIRST.index(_runs(build, asked)), default=None)  # the first of the best


def _closest(asked: Question) -> Build:
    """Return the build to speak of where none is recommended: the one with the least against it, of equals the newest."""
    return min(
        tables.builds(_wheel_os(asked.os)),
        key=lambda build: [each.answer for each in _rulings(build, asked)].count("no"),
    )


def _build(tensorflow: str | None, asked: Question) -> Build | None:
    return tables.build(tensorflow, _wheel_os(asked.os)) if tensorflow else None


def _no_build(asked: Question) -> Ruling:
    """Return why there is no build of the TensorFlow that is asked for: not for this system, or not known at all."""
    elsewhere = [os for os in SYSTEMS if os != asked.os and _build(asked.tensorflow, replace(asked, os=os))]
    if elsewhere and asked.os != "wsl2":
        text = f"TensorFlow {asked.tensorflow} has no wheel for {_system(asked)}"
        return Ruling("no", text, f"https://pypi.org/project/tensorflow/{asked.tensorflow}/#files")
    built = tables.builds(_wheel_os(asked.os))
    text = f"kit's table has no TensorFlow {asked.tensorflow}: it has the stable ones from {built[-1].tensorflow} to {built[0].tensorflow}"
    return Ruling("unknown", text, NO_ROW)


# --- the rules -------------------------------------------------------------------------------------------------------


@cache
def _rulings(build: Build, asked: Question) -> tuple[Ruling, ...]:
    return (*_of_packages(build, asked), *_of_gpus(build, asked))


def _ordered(build: Build, asked: Question) -> list[Ruling]:
    """Return the rulings, those that decide first."""
    return sorted(_rulings(build, asked), key=lambda each: WORST_FIRST.index(each.answer))


def _runs(build: Build, asked: Question) -> Runs:
    return _ordered(build, asked)[0].answer


def _fits(build: Build, asked: Question) -> bool:
    return all(each.answer == "native" for each in _of_packages(build, asked))


def _of_packages(build: Build, asked: Question) -> Iterator[Ruling]:
    """Rule on Python and NumPy."""
    if asked.python is not None:
        has = ".".join(asked.python.split(".")[:2]) in build.python
        text = f"TensorFlow {build.tensorflow} has wheels for Python {build.python[0]} to {build.python[-1]}"
        yield Ruling("native" if has else "no", text if has else f"{text}, not {asked.python}", build.source)
    if asked.numpy is not None:
        takes = tables.numpy_range(build, asked.python)
        text, source = f"TensorFlow {build.tensorflow} takes NumPy {takes}", build.source
        allowed = _numpy_allowed(build, asked)
        if not allowed and within(asked.numpy, takes):
            row = _numpy_row(build)
            text, source = f"TensorFlow {build.tensorflow} {row['why']}", str(row["source"])
        yield Ruling("native" if allowed else "no", text if allowed else f"{text}, not {asked.numpy}", source)


def _of_gpus(build: Build, asked: Question) -> Iterator[Ruling]:
    """Rule on what lies between a build and the cards."""
    cards = tuple(dict.fromkeys(asked.gpus or ()))
    for card in cards:
        yield from _on_processor(card, asked)
    if not build.gpu:
        yield Ruling(
            "no", f"TensorFlow {build.tensorflow} for {_system(asked)} is built without CUDA: CPU only", build.source
        )
        return
    if asked.gpus == ():
        yield Ruling("no", "there is no NVIDIA GPU", "this machine")
        return
    if asked.gpus is None:
        yield Ruling("unknown", "which card it is was not given", "the question")
    yield _on_driver(build, asked)
    for card in cards:
        yield from _on_card(build, card, asked)


def _on_processor(card: Gpu, asked: Question) -> Iterator[Ruling]:
    """Rule on whether a machine of the system can have a card: some are on one module with an ARM processor."""
    if card.arm_source and asked.os == "linux-aarch64":
        yield Ruling("native", f"ARM machines alone have the {card.name}: its system is linux-aarch64", card.arm_source)
    elif card.arm_source:
        yield Ruling("no", f"no x86_64 machine has the {card.name}: its system is linux-aarch64", card.arm_source)


def _on_driver(build: Build, asked: Question) -> Ruling:
    """Rule on the driver for the build's CUDA."""
    assert build.cuda
    full, minor = _driver_min(build, asked)
    cuda = f"CUDA {build.cuda}"
    source = f"{rules.DRIVER_SOURCE}; {rules.WSL_SOURCE}" if asked.os == "wsl2" else rules.DRIVER_SOURCE
    where = " of Windows" if asked.windows else ""
    if not asked.driver:
        answer: Runs = "native" if asked.driver is None else "no"
        text = f"{cuda} needs a driver{where} of {minor} or newer"
        text += f"; its own is {full}" if asked.driver is None else ", and none works here"
        return Ruling(answer, text, source)
    driver = f"the driver{where} {asked.driver}"
    if minor is None or (serves := rules.reaches(asked.driver, minor)) is None:
        return Ruling("unknown", f"whether {driver} reaches {minor}, which {cuda} needs, is not known", source)
    if not serves:
        text = f"{driver} is older than {minor}, the oldest that runs CUDA {numbers(build.cuda)[0]}.x"
        if _take_forward_compatibility(asked):
            package = f"cuda-compat-{'-'.join(build.cuda.split('.')[:2])}"
            text += f"; data-centre cards as these may take it by forward compatibility (package {package})"
            source += f"; {rules.FORWARD_SOURCE}"
        return Ruling("no", text, source)
    match _driver_fit(build, asked):
        case "full":
            return Ruling("native", f"{driver} is as new as {cuda}'s own, {full}", source)
        case "minor":
            text = f"{driver} is older than {cuda}'s own, {full}, and runs it by minor-version compatibility (from {minor})"
            return Ruling("native", text, source)
    return Ruling("native", f"{driver} runs {cuda} (from {minor}); whether it reaches {full} is not known", source)


def _on_card(build: Build, card: Gpu, asked: Question) -> Iterator[Ruling]:
    """Rule on one card: its code in the build, its driver, its cuDNN."""
    if card.compute_capability is None:
        several = ", ".join(f"{each.product} ({each.compute_capability})" for each in products.called(card.name))
        text = f"several cards go by {card.name}: {several}" if several else f"kit's table has no card {card.name}"
        yield Ruling("unknown", text, tables.CARDS_SOURCE)
        return
    yield _on_code(build, card, asked)
    yield from _on_branch(card, asked)
    yield from _on_libraries(build, card)


def _on_branch(card: Gpu, asked: Question) -> Iterator[Ruling]:
    """Rule on whether the driver's branch knows a card, and still drives it."""
    assert card.compute_capability
    architecture = tables.architecture(card.compute_capability)
    if architecture is None or not asked.driver:
        return
    branch, first = rules.branch(asked.driver, asked.windows), tables.first_branch(card.compute_capability) or 0
    text = f"the driver {asked.driver} does not drive the {card.name} ({architecture.name})"
    if architecture.last_branch is not None and branch > architecture.last_branch:
        yield Ruling("no", f"{text}: branch {architecture.last_branch} is the last that does", architecture.source)
    elif branch < first:
        yield Ruling("no", f"{text}: branch {first} is the first that does", architecture.source)


def _on_libraries(build: Build, card: Gpu) -> Iterator[Ruling]:
    """Rule on whether the build's CUDA libraries and cuDNN serve a card."""
    assert card.compute_capability
    found = {
        f"CUDA {build.cuda}": tables.cuda_library(build.cuda or ""),
        f"cuDNN {build.cudnn}": tables.cudnn(build.cudnn or ""),
    }
    for name, library in found.items():
        assert library  # a test holds the tables to every build
        text = f"{name} has code for cards up to {library.max_capability}"
        if numbers(card.compute_capability) < numbers(library.min_capability):
            text = f"{name} serves cards from {library.min_capability} on, not the {_named(card)}"
            yield Ruling("no", text, library.source)
        elif tables.beyond(card.compute_capability, library) and library.ptx:
            text += f", and PTX for the {_named(card)}"
            if name.startswith("cuDNN") and library_flavour(build, [card.compute_capability]) == "newest":
                text += "; the newest that this TensorFlow's metadata admits has code"
            yield Ruling("jit", text, library.source)
        elif tables.beyond(card.compute_capability, library):
            text += f"; whether its PTX serves the {_named(card)} is not known"
            yield Ruling("unknown", text, library.source)


def _on_code(build: Build, card: Gpu, asked: Question) -> Ruling:
    """Rule on whether the build has code for a card, or PTX that the driver may compile."""
    code = _code(build, card)
    built = ", ".join(build.capabilities)
    name = _named(card)
    source = f"{rules.CODE_SOURCE}; {build.source}"
    if code.kind == "sass":
        text = f"code for {code.via} runs on the {name}: same major compute capability, no lower minor one (of {built})"
        return Ruling("native", text, source)
    if code.kind == "none":
        return Ruling("no", f"TensorFlow is compiled for {built}: nothing of it runs on the {name}", source)
    text = f"no code for the {name} in {built}, only PTX for {code.via}"
    full = _driver_min(build, asked)[0]
    source = f"{rules.CODE_SOURCE}; {rules.DRIVER_SOURCE}; {build.source}"
    reached = rules.reaches(asked.driver, full) if asked.driver and full else None
    if not asked.driver or reached:
        return Ruling("jit", f"{text}, which a driver of {full} or newer compiles at the first start", source)
    if reached is None:
        return Ruling("unknown", f"{text}; whether the driver {asked.driver} reaches {full} is not known", source)
    return Ruling("no", f"{text}, which the driver {asked.driver} cannot compile: it takes {full} or newer", source)


# --- what the rules read ---------------------------------------------------------------------------------------------


def within(version: str, allowed: str) -> bool:
    """Return whether a version is in a range; one that is given in part (1.26) is where any of its patches is."""
    specifiers = SpecifierSet(allowed)
    given = Version(version)
    if len(given.release) > 2 or given.pre:
        return specifiers.contains(given, prereleases=True)
    bounds = [Version(each.version.removesuffix(".*")) for each in specifiers]
    patches = [given, *(each for each in bounds if each.release[: len(given.release)] == given.release)]
    return any(specifiers.contains(each) or specifiers.contains(f"{each}.1") for each in patches)


def _numpy_allowed(build: Build, asked: Question) -> bool | None:
    """Return whether a build takes a NumPy by its metadata and by what it was compiled against; None: none is given."""
    if asked.numpy is None:
        return None
    takes = within(asked.numpy, tables.numpy_range(build, asked.python))
    return takes and within(asked.numpy, f"<{row['takes'][1]}" if (row := _numpy_row(build)) else "")


def _numpy_row(build: Build) -> dict[str, Any]:
    """Return what a build was compiled against, where that says more than its metadata."""
    return next(
        (
            row
            for row in tables.table("requirements")["rows"]
            if row["package"] == "numpy" and numbers(build.tensorflow) < numbers(row["tensorflow"][1])
        ),
        {},
    )


def _take_forward_compatibility(asked: Question) -> bool:
    """Return whether every card takes the libcuda of a newer driver, which Linux alone has."""
    known = [products.product(card.name) for card in asked.gpus or ()]
    taking = [card is not None and tables.forward_compatible(card.product) for card in known]
    return asked.os == "linux" and bool(taking) and all(taking)


def _pythons(build: Build) -> Pythons:
    return Pythons(build.python[0], build.python[-1])


def _driver_min(build: Build, asked: Question) -> tuple[str | None, str | None]:
    if build.cuda is None:
        return None, None
    return tables.toolkit_driver(build.cuda, asked.windows), tables.family_driver(build.cuda, asked.windows)


def _driver_fit(build: Build, asked: Question) -> DriverFit:
    if build.cuda is None or asked.driver is None:
        return "unknown"
    if asked.driver == "":
        return "no"
    return rules.driver_fit(asked.driver, build.cuda, asked.windows)


def _code(build: Build, card: Gpu | None) -> Code:
    if not build.gpu:
        return Code("none")
    known = card and card.compute_capability
    return rules.code(known, build.capabilities) if known else Code()


def _weakest(build: Build, asked: Question) -> Gpu | None:
    """Return the card that decides: the one with the worst ruling, and of equals the oldest."""

    def strength(card: Gpu) -> tuple[int, tuple[int, ...]]:
        rulings = (*_on_processor(card, asked), *(_on_card(build, card, asked) if build.gpu else ()))
        worst = min((WORST_FIRST.index(each.answer) for each in rulings), default=0)
        return worst, numbers(card.compute_capability)

    return min(asked.gpus or (), key=strength, default=None)


def _wheel_os(os: Os) -> WheelOs:
    return "linux" if os == "wsl2" else os


def _minor(version: str | None) -> str | None:
    """Return 12.5 of 12.5.1."""
    return ".".join(version.split(".")[:2]) if version else None


def _system(asked: Question) -> str:
    return {"linux": "Linux", "linux-aarch64": "Linux on ARM (aarch64)", "wsl2": "WSL2", "windows": "Windows"}[asked.os]


def _named(card: Gpu) -> str:
    known = card.compute_capability
    return card.name if known is None or known in card.name else f"{card.name} ({known})"


def _given(asked: Question) -> str:
    """Return what is given of the machine, in words."""
    cards = ", ".join(dict.fromkeys(f"the {card.name}" for card in asked.gpus or ()))
    driver = f"the driver {asked.driver}" if asked.driver else ""
    return f"{cards} with {driver}" if cards and driver else cards or driver or "any machine"
