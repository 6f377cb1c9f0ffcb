"""The driver on disk and what may keep the kernel from loading it: module files, Secure Boot, blacklists, upgrades."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from toolkit.facts import pci
from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value

MODULES = "/lib/modules"
DRIVEN = "/proc/driver/nvidia/gpus"

# Where packages put nvidia.ko under /lib/modules/<release>: DKMS on Debian, Ubuntu and Arch; SUSE; DKMS and akmods on
# Fedora; NVIDIA's precompiled RPMs; NVIDIA's .run installer; Gentoo. Ubuntu's prebuilt ones are in kernel/nvidia-<branch>.
PLACES = (
    "updates/dkms",
    "updates",
    "extra",
    "extra/nvidia",
    "extra/nvidia-open",
    "extra/drivers/video/nvidia",
    "weak-updates/nvidia",
    "extramodules",
    "kernel/drivers/video",
    "video",
)
# nvidia.ko, and Debian's names of it (nvidia-current.ko, nvidia-current-open.ko, nvidia-tesla-470.ko); not nvidia-drm.ko.
MODULE_FILE = re.compile(r"nvidia(-current|-tesla(-\d+)?|-legacy-\d+xx)?(-open)?\.ko(\.\w+)?")
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",  # Debian's alternatives
    "/usr/lib64",
    "/usr/lib",
)
# Keys that modules are signed with here: Ubuntu's and Debian's shim, DKMS's own, akmods'.
SIGNING_KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub", "/etc/pki/akmods/certs/public_key.der")
EFI_VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
BLACKLISTS = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
DRIVER_PACKAGE = re.compile(r"(lib)?nvidia-(?!container)|linux-modules-nvidia-|xserver-xorg-video-nvidia")


@dataclass(frozen=True, slots=True)
class ForKernel:
    """The driver's module for one kernel release."""

    release: str
    folder: bool  # /lib/modules/<release> is there
    file: str | None  # its nvidia.ko
    headers: bool | None  # the headers to build it with are there; None: not looked for


@dataclass(frozen=True, slots=True)
class Installed:
    """The driver's module on disk, for the running kernel and the one that boots next."""

    running: ForKernel
    next: ForKernel | None  # the newest kernel in /boot where it is newer than the running one
    elsewhere: tuple[str, ...]  # files of other kernels, looked for where the running one has none
    dkms: tuple[str, ...]  # DKMS's sources: nvidia/550.54.15
    build_error: str | None  # the first error of DKMS's last build
    akmods: bool  # Fedora's akmods build the module at boot


@dataclass(frozen=True, slots=True)
class Library:
    """The user-space driver on disk."""

    path: str
    version: str


@dataclass(frozen=True, slots=True)
class SecureBoot:
    """Secure Boot, and what enrolling a key takes."""

    enabled: bool
    key: str | None  # the certificate that modules built here are signed with
    mokutil: bool


@dataclass(frozen=True, slots=True)
class Blacklist:
    """Lines that keep modules from loading by themselves, each as "place: line"."""

    nvidia: tuple[str, ...]
    nouveau: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Driver packages that wait: for a reboot, or for the next unattended upgrade."""

    await_reboot: tuple[str, ...]
    downloaded: tuple[tuple[str, str], ...]  # (package, driver version), empty where upgrades are not unattended


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the driver says in the kernel log of a card that it does not start."""

    kind: str
    address: str | None
    text: str


# The driver's own words by kind of fault, each with its source.
COMPLAINTS = json.loads(Path(__file__).with_name("kernel_complaints.json").read_text(encoding="utf-8"))


def installed(host: Host) -> Installed | Unknown:
    """Return where the driver's module is on disk; unknown where /lib/modules cannot be read (in a container, say)."""
    running = host.text("file:/proc/sys/kernel/osrelease")
    if running is None or not isinstance(host.ask(f"list:{MODULES}"), Value):
        return Unknown("/lib/modules cannot be read")
    releases = host.names(f"list:{MODULES}")
    own = _for_kernel(host, running, releases)
    coming = _newest_to_boot(host, running, releases)
    dkms = tuple(
        f"{name}/{version}"
        for name in host.names("list:/var/lib/dkms")
        if name.startswith("nvidia") and not name.startswith(("nvidia-fs", "nvidia-peermem"))
        for version in host.names(f"list:/var/lib/dkms/{name}")
        if re.fullmatch(r"[\d.]+", version)
    )
    elsewhere = [_for_kernel(host, each, releases).file for each in releases if each != running] if not own.file else []
    return Installed(
        running=own,
        next=_for_kernel(host, coming, releases) if coming and _order(coming) > _order(running) else None,
        elsewhere=tuple(file for file in elsewhere if file),
        dkms=dkms,
        build_error=None if own.file else _build_error(host, dkms),
        akmods=bool(host.names("list:/usr/src/akmods")),
    )


def driven(host: Host) -> tuple[str, ...] | Unknown:
    """Return the PCI addresses of the cards that the module has taken: 0000:07:00.0."""
    if isinstance(answer := host.ask(f"list:{DRIVEN}"), NotAsked | Failed):
        return Unknown(f"{DRIVEN} cannot be listed")
    return tuple(name.lower() for name in host.names(f"list:{DRIVEN}")) if isinstance(answer, Value) else ()


def uvm_node(host: Host) -> bool | Unknown:
    """Return whether /dev/nvidia-uvm is there, without which CUDA does not start."""
    answer = host.ask("list:/dev")
    return "nvidia-uvm" in host.names("list:/dev") if isinstance(answer, Value) else Unknown("/dev cannot be listed")


def library(host: Host) -> Library | Unknown | None:
    """Return the installed user-space driver, by what libnvidia-ml.so.1 points to: libnvidia-ml.so.550.54.15."""
    answers = {folder: host.ask(f"link:{folder}/libnvidia-ml.so.1") for folder in LIBRARIES}
    for folder, answer in answers.items():
        found = (
            re.fullmatch(r"libnvidia-ml\.so\.(\d+\.[\d.]+)", str(answer.data)) if isinstance(answer, Value) else None
        )
        if found:
            return Library(f"{folder}/{found[0]}", found[1])
    return Unknown("not in this capture") if all(isinstance(each, NotAsked) for each in answers.values()) else None


def secure_boot(host: Host) -> SecureBoot | Unknown:
    """Return the state of Secure Boot: the last byte of the firmware's variable, which is absent on a legacy BIOS.

    Sample: '0600000001' (four bytes of attributes, then 1). Source: UEFI specification, global variables.
    """
    match host.ask(f"hex:{EFI_VARIABLE}"):
        case Value(str(data)):
            enabled = data.endswith("01")
        case Absent():
            enabled = False
        case _:
            return Unknown("the firmware's variables cannot be read")
    keys = (key for key in SIGNING_KEYS if isinstance(host.ask(f"access:{key}"), Value))
    return SecureBoot(enabled, next(keys, None), isinstance(host.ask("access:/usr/bin/mokutil"), Value))


def rejected(host: Host) -> tuple[str, ...] | Unknown:
    """Return the kernel's refusals of modules whose signature it does not trust.

    Samples: 'Loading of module with unavailable key is rejected', 'nvidia: Loading of unsigned module is rejected'.
    Source: Linux, kernel/module/signing.c. Asked only where the module is not loaded.
    """
    if pci.gpus(host) == () or host.text("file:/proc/driver/nvidia/version") is not None:
        return ()
    match host.ask("kernel-log:is rejected"):
        case Value(str(text)):
            return tuple(
                line.strip() for line in text.splitlines() if re.search(r"Loading of .*module.* is rejected", line)
            )
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
    return Unknown("the kernel's log is not understood")


def blacklist(host: Host) -> Blacklist | Unknown:
    """Return what modprobe's files and the kernel's command line say against nvidia and nouveau; a file of an earlier
    folder takes the place of its namesakes. Source: modprobe.d(5), kernel-parameters.

    Samples: 'blacklist nouveau', 'install nvidia /bin/false', 'alias nvidia off', 'modprobe.blacklist=nouveau,nvidia'.
    """
    if all(isinstance(host.ask(f"list:{folder}"), NotAsked | Failed) for folder in BLACKLISTS):
        return Unknown("modprobe's files cannot be read")
    found: dict[str, list[str]] = {"nvidia": [], "nouveau": []}
    seen: set[str] = set()
    for folder in BLACKLISTS:
        for name in host.names(f"list:{folder}"):
            if not name.endswith(".conf") or name in seen:
                continue
            seen.add(name)
            for line in (host.text(f"file:{folder}/{name}") or "").splitlines():
                if module := _switched_off(line):
                    found[module].append(f"{folder}/{name}: {line.strip()}")
    for option in (host.text("file:/proc/cmdline") or "").split():
        key, _, value = option.partition("=")
        if key in ("modprobe.blacklist", "module_blacklist"):
            for module in found.keys() & set(value.split(",")):
                found[module].append(f"/proc/cmdline: {option}")
    return Blacklist(tuple(found["nvidia"]), tuple(found["nouveau"]))


def upgrade(host: Host) -> Upgrade | Unknown:
    """Return the driver packages that wait for a reboot or for the next unattended upgrade (Debian, Ubuntu).

    Samples: 'nvidia-dkms-550' in reboot-required.pkgs; 'APT::Periodic::Unattended-Upgrade "1";';
    libnvidia-compute-550_550.163.01-0ubuntu0.24.04.1_amd64.deb in apt's archive of downloads.
    """
    waiting = host.ask("file:/var/run/reboot-required.pkgs")
    if isinstance(waiting, NotAsked | Failed):
        return Unknown("the packages that wait for a reboot cannot be read")
    names = str(waiting.data).split() if isinstance(waiting, Value) else []
    periodic = host.text("file:/etc/apt/apt.conf.d/20auto-upgrades") or ""
    unattended = re.search(r'^\s*APT::Periodic::Unattended-Upgrade\s+"[1-9a]', periodic, re.MULTILINE)
    archive = host.names("list:/var/cache/apt/archives") if unattended else []
    files = (re.fullmatch(r"([^_]+)_(?:\d+%3a)?(\d+\.\d+(?:\.\d+)?)-[^_]*_\w+\.deb", file) for file in archive)
    return Upgrade(
        await_reboot=tuple(dict.fromkeys(name for name in names if DRIVER_PACKAGE.match(name))),
        downloaded=tuple((file[1], file[2]) for file in files if file and DRIVER_PACKAGE.match(file[1])),
    )


def complaints(host: Host) -> tuple[Complaint, ...] | Unknown:
    """Return what the driver says in the kernel log of cards that it cannot start.

    Sample, over several lines: '[    5.559842] NVRM: The NVIDIA GPU 0000:02:00.0 (PCI ID: 10de:2c58)\\n
    NVRM: installed in this system requires use of the NVIDIA open kernel modules.'
    """
    if pci.gpus(host) == ():
        return ()
    match host.ask("kernel-log:NVRM"):
        case Value(str(text)):
            lines = re.findall(r"NVRM:\s*(.*)", text)
        case NotAsked(reason) | Failed(reason):
            return Unknown(reason)
        case _:
            return Unknown("the kernel's log is not understood")
    said = re.sub(r"\s+", " ", " ".join(lines))
    found = [
        Complaint(kind, match.groupdict().get("address"), match[0])
        for kind, row in COMPLAINTS.items()
        for match in re.finditer(row["pattern"], said)
    ]
    return tuple(dict.fromkeys(found))


def _for_kernel(host: Host, release: str, releases: list[str]) -> ForKernel:
    place = f"{MODULES}/{release}"
    if release not in releases:
        return ForKernel(release, False, None, None)
    prebuilt = (f"kernel/{name}" for name in host.names(f"list:{place}/kernel") if name.startswith("nvidia"))
    file = next(
        (
            f"{place}/{folder}/{name}"
            for folder in (*PLACES, *prebuilt)
            for name in host.names(f"list:{place}/{folder}")
            if MODULE_FILE.fullmatch(name)
        ),
        None,
    )
    headers = None if file else isinstance(host.ask(f"list:{place}/build"), Value)
    return ForKernel(release, True, file, headers)


def _newest_to_boot(host: Host, running: str, releases: list[str]) -> str | None:
    images = (name.removeprefix("vmlinuz-") for name in host.names("list:/boot") if name.startswith("vmlinuz-"))
    same = (name for name in images if name in releases and _flavour(name) == _flavour(running))
    return max(same, key=_order, default=None)


def _flavour(release: str) -> list[str]:
    """Return a release's words, by which alone kernels can be compared: generic of 6.8.0-60-generic, aws of another."""
    return re.findall(r"[a-z]+", re.sub(r"\+[a-z]+", "", release))


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


def _build_error(host: Host, dkms: tuple[str, ...]) -> str | None:
    for source in dkms:
        log = host.text(f"file:/var/lib/dkms/{source}/build/make.log") or ""
        if error := re.search(r"^.*\berror: .*$", log, re.MULTILINE | re.IGNORECASE):
            return error[0].strip()[:300]
    return None


def _switched_off(line: str) -> str | None:
    words = line.split()
    match words:
        case ["blacklist", ("nvidia" | "nouveau") as module, *_]:
            return module
        case ["alias", ("nvidia" | "nouveau") as module, "off"]:
            return module
        case ["install", ("nvidia" | "nouveau") as module, command, *_] if command.rpartition("/")[2] in (
            "false",
            "true",
            ":",
        ):
            return module
    return None
