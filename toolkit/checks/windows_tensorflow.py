"""Rung tensorflow on native Windows: Python and TensorFlow 2.10, the last of the five steps, or WSL2 instead."""

from __future__ import annotations

from toolkit.checks.requirements import misfits
from toolkit.facts import Facts, engine, windows
from toolkit.faults import finding
from toolkit.model import Command, Evidence, Finding, RungName, Sentence, Severity

RUNG: RungName = "tensorflow"

WSL_GUIDE = "https://www.tensorflow.org/install/pip#windows-wsl2"
# Source: https://www.tensorflow.org/install/source_windows, tested build configurations: tensorflow_gpu-2.10.0, 3.7-3.10.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 7), (3, 10)
INSTALL = 'py -3.10 -m pip install "tensorflow==2.10.*" "numpy<2"'


def windows_native_gpu_unsupported(facts: Facts) -> Finding | None:
    """The TensorFlow of native Windows is 2.10, the last that uses GPUs there"""
    if facts(windows.native_way):
        return None
    installed, docker = facts.maybe(windows.tensorflow), facts.maybe(engine.state)
    by_container = docker is not None and docker.fault is None
    version = installed.version if installed else None
    if version is None and by_container:
        return None
    severity: Severity = "info" if by_container else "error"
    cuda, pythons = facts.maybe(windows.cuda), facts.maybe(windows.pythons)
    there = [
        Evidence("pip list", f"{installed.package} {version}" if installed and version else "no TensorFlow"),
        Evidence(windows.TOOLKITS, f"toolkits: {', '.join(cuda.toolkits) or 'none'}" if cuda else "not known"),
        Evidence("py -0p", ", ".join(sorted({_dotted(each.version) for each in pythons or ()})) or "no Python known"),
    ]
    what = f"TensorFlow {version} is installed, and 2.10 was" if version else "TensorFlow 2.10 was"
    return finding(
        "windows-native-gpu-unsupported",
        f"{what} the last with GPU support on native Windows: newer ones use the CPU alone there, whatever CUDA is there.",
        [
            Sentence(f"Better: use WSL2, with kit in it: wsl --install in PowerShell, then {WSL_GUIDE}"),
            Sentence(
                "Or stay on native Windows with CUDA 11.2, cuDNN 8.1, a 64-bit Python up to 3.10 and TensorFlow 2.10:"
            ),
            Command(INSTALL),
        ],
        there,
        severity,
    )


def windows_python(facts: Facts) -> Finding | None:
    """A 64-bit Python from 3.7 to 3.10 is installed"""
    pythons, installed = facts(windows.pythons), facts.maybe(windows.tensorflow)
    if not facts(windows.native_way) or (installed and installed.version):
        return None
    if any(each.bits == 64 and OLDEST_PYTHON <= each.version <= NEWEST_PYTHON for each in pythons):
        return None
    listed = ", ".join(f"{_dotted(each.version)} ({each.bits}-bit)" for each in pythons) or "none"
    return finding(
        "python-version-unsupported",
        f"TensorFlow 2.10 has wheels for 64-bit Python 3.7 to 3.10; the launcher knows: {listed}.",
        [
            Sentence("Install the 64-bit Python 3.10: https://www.python.org/downloads/release/python-31011/"),
            Command(INSTALL),
        ],
        [Evidence("py -0p", f"{_dotted(each.version)}, {each.bits}-bit: {each.place}") for each in pythons]
        or [Evidence("py -0p", "no Python")],
    )


def windows_tensorflow_missing(facts: Facts) -> Finding | None:
    """TensorFlow 2.10 is installed beside its CUDA"""
    installed, pythons = facts(windows.tensorflow), facts.maybe(windows.pythons) or ()
    if not facts(windows.native_way) or installed.version:
        return None
    if not any(each.bits == 64 and OLDEST_PYTHON <= each.version <= NEWEST_PYTHON for each in pythons):
        return None
    return finding(
        "tensorflow-not-installed",
        "CUDA 11.2 is there for it, and the default Python has no TensorFlow.",
        [Command(INSTALL)],
        [Evidence("pip list", "no TensorFlow")],
    )


def windows_cpu_only_tensorflow(facts: Facts) -> Finding | None:
    """The installed TensorFlow 2.10 is the one with CUDA"""
    installed = facts(windows.tensorflow)
    if installed.package != "tensorflow-cpu" or not facts(windows.native_way):
        return None
    return finding(
        "cpu-only-tensorflow",
        f"tensorflow-cpu {installed.version} is installed, which has no CUDA in it.",
        [Command("py -m pip uninstall tensorflow-cpu"), Command(INSTALL)],
        [Evidence("pip list", f"tensorflow-cpu {installed.version}")],
    )


def windows_packages_fit(facts: Facts) -> list[Finding] | None:
    """The packages beside TensorFlow are of versions that it takes"""
    installed = facts(windows.tensorflow)
    if not installed.version:
        return None
    return misfits(installed.version, facts(windows.packages), "pip list", _pip_install)


def windows_long_paths(facts: Facts) -> Finding | None:
    """Windows allows paths longer than 260 characters"""
    if facts(windows.long_paths):
        return None
    installed = facts.maybe(windows.tensorflow)
    severity: Severity = "info" if installed and installed.version else "warning"
    return finding(
        "windows-long-paths-off",
        "Paths are limited to 260 characters, and the files of TensorFlow's wheel may be longer: pip then fails half-way.",
        [
            Sentence("In a terminal of the administrator:"),
            Command(
                r"reg add HKLM\SYSTEM\CurrentControlSet\Control\FileSystem /v LongPathsEnabled /t REG_DWORD /d 1 /f"
            ),
            Sentence("Open a new terminal"),
        ],
        [Evidence(windows.LONG_PATHS, "not 0x1")],
        severity,
    )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(str(number) for number in version)


def _pip_install(requirement: str) -> Command:
    return Command(f'py -m pip install "{requirement}"')
