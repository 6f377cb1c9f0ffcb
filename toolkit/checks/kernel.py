"""Rung module: why the driver's module is not loaded or leaves a card out, and what will break it at the next start."""

from __future__ import annotations

from toolkit import compat
from toolkit.checks.beside import driven, granted, left_alone, serves_driven, wanted
from toolkit.checks.module import _module
from toolkit.checks.steps import (
    as_root,
    enrol_key,
    install_driver,
    install_headers,
    rebuild_initramfs,
    switch_driver,
)
from toolkit.facts import Facts, driver, kernel, pci
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step
from toolkit.versions import numbers

RUNG: RungName = "module"
LOG = "kernel log"
LEGACY_LIST = "https://www.nvidia.com/en-us/drivers/unix/legacy-gpu/"


def gpu_not_supported_by_driver(facts: Facts) -> Finding | None:
    """The installed driver's branch drives every card"""
    left_out = [gpu for gpu in _undriven(facts) if _unsupported(facts, gpu)]
    if not left_out or granted(facts) or _why_not_loaded(facts) not in (None, "gpu-not-supported-by-driver"):
        return None
    left_out.sort(key=lambda each: each in left_alone(facts))  # what can be mended comes first
    version = _version(facts) or "?"
    gpu = left_out[0]
    card = compat.card(gpu.device_id)
    evidence = [Evidence(f"/sys/bus/pci/devices/{each.address}", f"10de:{each.device_id}") for each in left_out]
    evidence += [Evidence(LOG, each.text) for each in _dropped(facts)]
    evidence += [Evidence("installed driver", version)]
    if card is None:
        cause = f"The driver {version} no longer drives {gpu.address}: it is left to an older branch of the driver."
        if gpu in left_alone(facts):
            cause = _beside(facts, gpu, cause)
            return finding("gpu-not-supported-by-driver", cause, _leave(gpu.address), evidence, "warning")
        return finding(
            "gpu-not-supported-by-driver",
            cause,
            [Sentence(f"Find the branch that drives it on {LEGACY_LIST} and install that")],
            evidence,
        )
    first, last = card.architecture.first_branch, card.architecture.last_branch
    name = f"{card.product} ({card.architecture.name}) at {gpu.address}"
    if last is None:
        cause = f"The driver {version} is older than the {name}: its generation needs branch {first} or a newer one."
        steps = switch_driver(facts, first or 0, card.architecture.modules[0])
    else:
        cause = f"The driver {version} no longer drives the {name}: branch {last} is the last that does."
        steps = switch_driver(facts, last, "proprietary")
    if gpu in left_alone(facts):
        cause, steps = _beside(facts, gpu, cause), _leave(name)
        return finding("gpu-not-supported-by-driver", cause, steps, evidence, "warning")
    return finding("gpu-not-supported-by-driver", cause, steps, evidence)


def driver_not_loaded(facts: Facts) -> Finding | None:
    """NVIDIA's kernel module is loaded"""
    if _why_not_loaded(facts) != "driver-not-loaded":
        return None
    evidence = [Evidence("/proc/modules", "no module nvidia"), Evidence("/proc/driver/nvidia/version", "absent")]
    on_disk = facts.maybe(kernel.installed)
    load = as_root(facts, "modprobe nvidia")
    if on_disk is None:
        cause = "The card is on the bus and no nvidia module is loaded: the driver is not installed, or not for this kernel."
        steps = [load, Sentence("If there is no such module, install the driver:"), *install_driver(facts)]
        return finding("driver-not-loaded", cause, steps, evidence)
    if on_disk.running.file is None:
        evidence.append(Evidence(f"{kernel.MODULES}, /var/lib/dkms", "no nvidia module for any kernel"))
        return finding("driver-not-loaded", "NVIDIA's driver is not installed.", install_driver(facts), evidence)
    evidence.append(Evidence(on_disk.running.file, "there"))
    cause = f"The driver's module is there for this kernel ({on_disk.running.release}), and nothing has loaded it."
    steps = [load, Sentence("If it refuses, the kernel log says why:"), as_root(facts, "dmesg | grep -E 'NVRM|nvidia'")]
    return finding("driver-not-loaded", cause, steps, evidence)


def kernel_module_not_built(facts: Facts) -> Finding | None:
    """The driver's module is built for the running kernel"""
    if _why_not_loaded(facts) != "kernel-module-not-built":
        return None
    on_disk = facts(kernel.installed)
    running = on_disk.running
    evidence = [
        Evidence(f"{kernel.MODULES}/{running.release}", "no nvidia module" if running.folder else "absent"),
        *(Evidence(file, "there") for file in on_disk.elsewhere[:2]),
        *(Evidence(f"/var/lib/dkms/{source}", "source of the module") for source in on_disk.dkms),
    ]
    cause = f"The driver is installed, and it has no module for the running kernel {running.release}"
    if not running.folder:
        cause += ": that kernel's modules were removed when it was updated, so the machine runs a kernel that is gone."
        return finding("kernel-module-not-built", cause, [as_root(facts, "reboot")], evidence)
    if running.headers and on_disk.build_error:
        evidence.append(Evidence("DKMS, make.log", on_disk.build_error))
        cause += ": its build failed, mostly because the driver is older than such a new kernel."
        older: list[Step] = [
            Sentence("Choose the previous kernel at the start (GRUB: Advanced options), or a newer driver:")
        ]
        return finding("kernel-module-not-built", cause, [*older, *install_driver(facts)], evidence)
    missing_headers = on_disk.dkms and not running.headers
    cause += ": the kernel's headers, which it is built with, are not installed." if missing_headers else "."
    steps = [*_build(facts, running), as_root(facts, "modprobe nvidia")]
    return finding("kernel-module-not-built", cause, steps, evidence)


def secure_boot_blocks_module(facts: Facts) -> Finding | None:
    """Secure Boot lets the driver's module load"""
    if _why_not_loaded(facts) != "secure-boot-blocks-module":
        return None
    boot, refusals = facts.maybe(kernel.secure_boot), facts.maybe(kernel.rejected)
    file = facts(kernel.installed).running.file
    on = "Secure Boot is on" if boot and boot.enabled else "The kernel takes signed modules only"
    if refusals:
        cause = f"{on}, and the kernel refuses {file}: it is signed with a key that the firmware does not trust, or not at all."
    else:
        cause = (
            f"{on} and {file}, which was built on this machine, is not loaded: its key is most likely not enrolled yet."
        )
    evidence = [Evidence(LOG, line) for line in (refusals or ())[:2]]
    if boot and boot.enabled:
        evidence.append(Evidence(kernel.EFI_VARIABLE, "1"))
    evidence.append(Evidence("signing key", (boot.key if boot else None) or "none found"))
    steps = enrol_key(facts, boot.key if boot else None, bool(boot and boot.mokutil))
    return finding("secure-boot-blocks-module", cause, steps, evidence)


def nvidia_module_blacklisted(facts: Facts) -> Finding | None:
    """No setting keeps the nvidia module from loading"""
    if _why_not_loaded(facts) != "nvidia-module-blacklisted":
        return None
    lines = facts(kernel.blacklist).nvidia
    files = list(dict.fromkeys(line.split(": ")[0] for line in lines))
    steps: list[Step] = []
    if any("blacklist-nvidia.conf" in file for file in files):
        steps.append(
            Sentence("If prime-select wrote the file (laptops): sudo prime-select on-demand, then reboot. Else:")
        )
    for file in files:
        if file == "/proc/cmdline":
            steps.append(Sentence("Take nvidia out of the kernel's command line (/etc/default/grub, then update-grub)"))
        else:
            steps.append(as_root(facts, rf"sed -i -E '/^\s*(blacklist|install|alias)\s+nvidia\b/s/^/#/' {file}"))
    steps += [rebuild_initramfs(facts), as_root(facts, "reboot")]
    cause = "The driver is installed for this kernel, and a setting of this machine forbids to load its module."
    evidence = [Evidence(*line.split(": ", 1)) for line in lines]
    return finding("nvidia-module-blacklisted", cause, steps, evidence)


def gpu_init_failed(facts: Facts) -> Finding | None:
    """The module drives every card on the bus"""
    module = _module(facts)
    left_out = [gpu for gpu in _undriven(facts) if not _unsupported(facts, gpu)]
    if not left_out or granted(facts) or not (module.loaded or _why_not_loaded(facts) == "gpu-init-failed"):
        return None
    left_out.sort(key=lambda each: each in left_alone(facts))  # what can be mended comes first
    gpu = left_out[0]
    said = _complaints(facts, gpu)
    kinds = [each.kind for each in said]
    cause, steps = _init_failure(facts, gpu, kinds)
    evidence = [Evidence(LOG, each.text) for each in said]
    on_bus = len(_usable(facts))
    evidence += [
        Evidence(kernel.DRIVEN, f"{module.gpus} of {on_bus} cards"),
        Evidence("/sys/bus/pci/devices", ", ".join(f"{each.address} [10de:{each.device_id}]" for each in left_out)),
    ]
    alone = gpu in left_alone(facts)
    return finding("gpu-init-failed", cause, steps, evidence, "warning" if alone else "error")


def next_kernel_without_module(facts: Facts) -> Finding | None:
    """The kernel that boots next has the driver's module, too"""
    if not _module(facts).loaded:
        return None
    on_disk = facts(kernel.installed)
    coming = on_disk.next
    if on_disk.running.file is None or coming is None or coming.file or on_disk.akmods:
        return None
    cause = (
        f"The newest kernel, {coming.release}, has no nvidia module, and the running one, {on_disk.running.release}, has: "
        "the GPUs work now and are gone after the next reboot"
    )
    cause += "." if coming.headers else ", since the headers to build it with are not installed."
    evidence = [
        Evidence(on_disk.running.file, "there"),
        Evidence(f"{kernel.MODULES}/{coming.release}", "no nvidia module"),
        Evidence(f"/boot/vmlinuz-{coming.release}", "there"),
    ]
    return finding("next-kernel-without-module", cause, _build(facts, coming), evidence, "warning")


def driver_upgrade_pending(facts: Facts) -> Finding | None:
    """No driver upgrade waits for a reboot or for the night"""
    module, upgrade = _module(facts), facts(kernel.upgrade)
    library = facts.maybe(kernel.library)
    if not module.loaded or module.version is None or (library and library.version != module.version):
        return None  # the versions differ already: driver-library-mismatch
    newer = sorted(
        {each[1] for each in upgrade.downloaded if numbers(each[1]) > numbers(module.version)},
        key=numbers,
    )
    if newer:
        cause = (
            f"The driver {newer[-1]} is downloaded and unattended upgrades are on: once it is installed, the running module "
            f"{module.version} and the libraries differ, and no new program finds a GPU until the machine is rebooted."
        )
        steps: list[Step] = [
            Sentence("Upgrade and reboot when no job runs, or hold the driver back:"),
            as_root(
                facts,
                "apt-mark hold " + " ".join(sorted({name for name, version in upgrade.downloaded if version in newer})),
            ),
        ]
        evidence = [Evidence("/var/cache/apt/archives", f"{name} {version}") for name, version in upgrade.downloaded]
        return finding("driver-upgrade-pending", cause, steps, evidence[:4], "warning")
    if upgrade.await_reboot:
        cause = f"Driver packages were upgraded and wait for a reboot: {', '.join(upgrade.await_reboot)}."
        evidence = [Evidence("/var/run/reboot-required.pkgs", name) for name in upgrade.await_reboot]
        return finding("driver-upgrade-pending", cause, [as_root(facts, "reboot")], evidence, "warning")
    return None


def _why_not_loaded(facts: Facts) -> str | None:
    """Return the one fault that keeps the module from being loaded, the lowest first; None where it is loaded."""
    if _module(facts).loaded:
        return None
    return next((fault for fault, holds in REASONS if holds(facts)), "driver-not-loaded")


def _nouveau(facts: Facts) -> bool:
    return any(gpu.driver == "nouveau" for gpu in facts(pci.gpus))


def _no_card_supported(facts: Facts) -> bool:
    return bool(_usable(facts)) and all(_unsupported(facts, gpu) for gpu in _usable(facts))


def _driver_complains(facts: Facts) -> bool:
    return any(_complaints(facts, gpu) for gpu in _usable(facts))


def _not_installed(facts: Facts) -> bool:
    """Return whether nothing of the driver is on disk, or nobody can tell."""
    on_disk = facts.maybe(kernel.installed)
    if on_disk is None:
        return True
    return not (on_disk.running.file or on_disk.elsewhere or on_disk.dkms or facts.maybe(kernel.library))


def _not_built(facts: Facts) -> bool:
    return facts(kernel.installed).running.file is None


def _refused(facts: Facts) -> bool:
    return bool(facts.maybe(kernel.rejected))


def _blacklisted(facts: Facts) -> bool:
    listed = facts.maybe(kernel.blacklist)
    return listed is not None and bool(listed.nvidia)


def _refused_unseen(facts: Facts) -> bool:
    """Return whether a refusal is likely where the kernel's log cannot be read: a module that was built here."""
    boot, file = facts.maybe(kernel.secure_boot), facts(kernel.installed).running.file or ""
    built_here = "/kernel/nvidia" not in file  # Ubuntu signs what it ships there
    return facts.maybe(kernel.rejected) is None and boot is not None and boot.enabled and built_here


REASONS = (
    ("nouveau-active", _nouveau),
    ("gpu-not-supported-by-driver", _no_card_supported),
    ("gpu-init-failed", _driver_complains),
    ("driver-not-loaded", _not_installed),
    ("kernel-module-not-built", _not_built),
    ("secure-boot-blocks-module", _refused),
    ("nvidia-module-blacklisted", _blacklisted),
    ("secure-boot-blocks-module", _refused_unseen),
)


def _usable(facts: Facts) -> list[pci.PciGpu]:
    return [gpu for gpu in facts(pci.gpus) if gpu.config_readable and gpu.driver != "vfio-pci"]


def _undriven(facts: Facts) -> list[pci.PciGpu]:
    """Return the cards that the module has not taken, or has taken and cannot use, so that NVML does not list them."""
    taken, nvml = facts(kernel.driven) if _module(facts).loaded else (), facts.maybe(driver.nvml)
    listed = {gpu.pci_address.lower()[-12:] for gpu in nvml.gpus} if nvml and nvml.driver_version else None
    return [
        gpu
        for gpu in _usable(facts)
        if gpu.driver != "nouveau"
        and (
            gpu.address.lower() not in taken
            or (listed is not None and gpu.address.lower() not in listed and _unfit(facts, gpu))
        )
    ]


def _unfit(facts: Facts, gpu: pci.PciGpu) -> bool:
    """Return whether the loaded module cannot use a card at all, by its own words or by the card's generation."""
    card, flavour = compat.card(gpu.device_id), _module(facts).flavour
    if card and flavour and flavour not in card.architecture.modules:
        return True
    return any(each.kind != "init-failed" for each in _complaints(facts, gpu))


def _complaints(facts: Facts, gpu: pci.PciGpu) -> list[kernel.Complaint]:
    """Return what the kernel log says of a card."""
    return [each for each in facts.maybe(kernel.complaints) or () if each.address == gpu.address.lower()]


def _dropped(facts: Facts) -> list[kernel.Complaint]:
    """Return the driver's words of cards that it leaves to an older branch; they name no address."""
    return [each for each in facts.maybe(kernel.complaints) or () if each.kind == "dropped"]


def _version(facts: Facts) -> str | None:
    module, library = _module(facts), facts.maybe(kernel.library)
    return module.version or (library.version if library else None)


def _unsupported(facts: Facts, gpu: pci.PciGpu) -> bool:
    """Return whether the installed driver is of a branch that does not know a card any more, or not yet."""
    card, version = compat.card(gpu.device_id), _version(facts)
    if card is None or version is None:
        return bool(_dropped(facts))
    branch = numbers(version)[0]
    first, last = card.architecture.first_branch, card.architecture.last_branch
    return (last is not None and branch > last) or (first is not None and branch < first)


def _init_failure(facts: Facts, gpu: pci.PciGpu, kinds: list[str]) -> tuple[str, list[Step]]:
    """Return why the driver cannot start a card that its branch knows, and what mends it."""
    module, card = _module(facts), compat.card(gpu.device_id)
    name = f"the {card.product} ({card.architecture.name}) at {gpu.address}" if card else gpu.address
    branch = numbers(_version(facts) or "0")[0]
    only = card.architecture.modules if card else ()
    if card and gpu in left_alone(facts):
        needs = f"The loaded module is the {module.flavour} one, and {name} works with the {only[0]} one only."
        return _beside(facts, gpu, needs), _leave(name)
    if "needs-open-module" in kinds or (module.flavour == "proprietary" and only == ("open",)):
        cause = f"The loaded module is the proprietary one, and {name} works with the open one only."
        return cause, switch_driver(facts, branch, "open")
    if "needs-proprietary-module" in kinds or (module.flavour == "open" and only == ("proprietary",)):
        cause = f"The driver's open module cannot drive {name}, which has no GPU System Processor: it needs the proprietary one."
        return cause, switch_driver(facts, branch, "proprietary")
    if "no-memory-window" in kinds:
        cause = f"The firmware gave {name} no address range for its memory (BAR), so that the driver cannot reach it."
        return cause, [
            Sentence("Switch on Above 4G Decoding (and Resizable BAR) in the firmware's setup, and boot by UEFI"),
            Sentence("In a virtual machine: give it UEFI firmware and a 64-bit PCI window large enough for the card"),
        ]
    cause = f"The nvidia module {module.version or ''} is there and does not drive {name}.".replace("  ", " ")
    return cause, [
        as_root(facts, "dmesg | grep -E 'NVRM|Xid'"),
        Sentence("The lines name the card and the reason: wrong module flavour, BIOS settings, power"),
    ]


def _beside(facts: Facts, gpu: pci.PciGpu, cause: str) -> str:
    """Return a cause with the cards that work, and what a switch to the driver of the one left out would do to them."""
    working, card = ", ".join(gpu.address for gpu in driven(facts)), compat.card(gpu.device_id)
    branch, flavour = wanted(card, numbers(_version(facts) or "0")[0]) if card else (0, "")
    if card and serves_driven(facts, branch, flavour):
        switch = f"branch {branch} would drive both, and is older, with an older CUDA"
    else:
        switch = (
            "no driver is known that drives both" if card else "an older one may not drive it, and has an older CUDA"
        )
    return f"{cause} {working} works with this driver; {switch}."


def _leave(name: str) -> list[Step]:
    return [
        Sentence("Leave the driver as it is: CUDA and kit use what works with it"),
        Sentence(
            f"For CUDA on {name}, put it into another machine; as a display it can go by nouveau, or be taken out"
        ),
    ]


def _build(facts: Facts, each: kernel.ForKernel) -> list[Step]:
    """Return how the module is built or installed for a kernel, in the way that it came to this machine."""
    on_disk = facts(kernel.installed)
    known = (on_disk.running.file, *on_disk.elsewhere)
    prebuilt = next(
        (file.split("/kernel/nvidia-")[1].split("/")[0] for file in known if file and "/kernel/nvidia-" in file), None
    )
    if prebuilt and not on_disk.dkms:
        branch = prebuilt.replace("srv", "-server")
        return [as_root(facts, f"apt-get install linux-modules-nvidia-{branch}-{each.release}")]
    headers = [] if each.headers else [install_headers(facts, each.release)]
    if on_disk.akmods:
        return [*headers, as_root(facts, f"akmods --force --kernels {each.release}")]
    if on_disk.dkms:
        return [*headers, as_root(facts, f"dkms autoinstall -k {each.release}")]
    return [*headers, *install_driver(facts)]
