"""The simulated machine: products, the scenario, the two libraries, the CDI spec, and the files its host would show."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import struct
import subprocess
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parent
CFLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
LIBRARY_FOLDER = f"/usr/lib/{platform.machine()}-linux-gnu"
NVIDIA = 0x10DE


@dataclass(frozen=True)
class Gpu:
    """One product. `settings` override what the scenario would say of it: `temperature`, `pcie_width`, `throttle` ..."""

    name: str
    compute_capability: str
    memory_mib: int  # as NVML's total
    pci_device: int
    pci_subsystem: int
    sms: int
    watts: int
    pcie_gen: int = 4
    audio: int = 0  # PCI device id of a GeForce card's sound function; 0: a data-centre GPU
    settings: dict[str, int | str] = field(default_factory=dict)

    def having(self, **settings: int | str) -> Gpu:
        """Return this GPU with some settings changed: `A100.having(temperature=91, ecc_uncorrectable=3)`."""
        return replace(self, settings={**self.settings, **settings})


# PCI ids: https://pci-ids.ucw.cz/read/PC/10de (subsystems: NVIDIA's own boards; nothing hangs on them). Memory: the
# total of nvidia-smi on drivers 550 to 580. SMs and watts: data sheets. Names and memory of A100, H100, T4 also
# NVIDIA/k8s-test-infra, tests/e2e/go/assertions/nvidiasmi/testdata/hardware.
K80 = Gpu("Tesla K80", "3.7", 11441, 0x102D, 0x106C, sms=13, watts=149, pcie_gen=3)
P100 = Gpu("Tesla P100-PCIE-16GB", "6.0", 16384, 0x15F8, 0x118F, sms=56, watts=250, pcie_gen=3)
V100 = Gpu("Tesla V100-SXM2-16GB", "7.0", 16384, 0x1DB1, 0x1212, sms=80, watts=300, pcie_gen=3)
T4 = Gpu("Tesla T4", "7.5", 15360, 0x1EB8, 0x12A2, sms=40, watts=70, pcie_gen=3)
A100 = Gpu("NVIDIA A100-SXM4-40GB", "8.0", 40960, 0x20B0, 0x134F, sms=108, watts=400)
A100_80GB = Gpu("NVIDIA A100-SXM4-80GB", "8.0", 81920, 0x20B2, 0x1463, sms=108, watts=400)
L4 = Gpu("NVIDIA L4", "8.9", 23034, 0x27B8, 0x16EE, sms=58, watts=72)
L40S = Gpu("NVIDIA L40S", "8.9", 46068, 0x26B9, 0x1851, sms=142, watts=350)
H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", 81559, 0x2330, 0x16C1, sms=132, watts=700, pcie_gen=5)
H200 = Gpu("NVIDIA H200", "9.0", 143771, 0x2335, 0x18BE, sms=132, watts=700, pcie_gen=5)
GTX_1080 = Gpu("NVIDIA GeForce GTX 1080", "6.1", 8192, 0x1B80, 0x119E, sms=20, watts=180, pcie_gen=3, audio=0x10F0)
RTX_2080_TI = Gpu("NVIDIA GeForce RTX 2080 Ti", "7.5", 11264, 0x1E07, 0x12A4, 68, watts=260, pcie_gen=3, audio=0x10F7)
RTX_3090 = Gpu("NVIDIA GeForce RTX 3090", "8.6", 24576, 0x2204, 0x147D, sms=82, watts=350, audio=0x1AEF)
RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", "8.9", 24564, 0x2684, 0x165B, sms=128, watts=450, audio=0x22BA)
RTX_5090 = Gpu("NVIDIA GeForce RTX 5090", "12.0", 32607, 0x2B85, 0x2057, sms=170, watts=575, pcie_gen=5, audio=0x22E8)


@dataclass(frozen=True)
class Machine:
    """GPUs in the order of /dev/nvidia0, /dev/nvidia1 ..., their driver, and the scenario's `fault` and `hang` lines."""

    gpus: tuple[Gpu, ...]
    driver: str = "550.54.15"
    cuda: str = "12.4"  # the newest CUDA that the driver supports
    open_module: bool = False  # NVIDIA's open kernel module (needed from Blackwell on) rather than the proprietary one
    rules: tuple[str, ...] = ()  # "fault nvmlInit = 18", "fault cuInit = 803", "hang nvmlInit = forever"


@dataclass(frozen=True)
class Libraries:
    """The compiled stand-ins, both in one folder, each named by its soname."""

    cuda: Path
    nvml: Path


def bus_id(row: int) -> str:
    """Return the PCI address of a row as sysfs writes it, `0000:07:00.0`; the first eight are a DGX A100's."""
    return f"{row // 8:04x}:{(0x07, 0x0F, 0x47, 0x4E, 0x87, 0x90, 0xB7, 0xBD)[row % 8]:02x}:00.0"


def gpu_uuid(machine: Machine, row: int) -> str:
    """Return the UUID of a row, `GPU-...`, the same at every run."""
    return f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, f'simgpu:{row}:{machine.gpus[row].name}')}"


def _settings(gpu: Gpu) -> dict[str, int | str]:
    """Return the row's `key=value` pairs; "none" is what NVML answers as "not supported"."""
    product: dict[str, int | str] = {
        "pci_id": f"{gpu.pci_device << 16 | NVIDIA:#010x}",
        "pci_subsystem_id": f"{gpu.pci_subsystem << 16 | NVIDIA:#010x}",
        "sms": gpu.sms,
        "power_limit_mw": gpu.watts * 1000,
        "pcie_max_gen": gpu.pcie_gen,
    }
    if gpu.audio or gpu.compute_capability not in ("8.0", "9.0", "10.0"):
        product["mig"] = "none"
    if gpu.audio or float(gpu.compute_capability) < 8:
        product["remap_uncorrectable"] = "none"
    if gpu.audio:
        product.update(ecc="none", serial="none", fan=30)
    return {**product, **gpu.settings}


def scenario_text(machine: Machine) -> str:
    """Return the scenario file that both libraries read (README.md lists its keys)."""
    lines = [f"driver = {machine.driver}", f"cuda = {machine.cuda}"]
    for row, gpu in enumerate(machine.gpus):
        fields = [gpu.name, gpu.compute_capability, str(gpu.memory_mib), bus_id(row), gpu_uuid(machine, row)]
        fields += [f"{key}={value}" for key, value in _settings(gpu).items()]
        lines.append(f"gpu = {' | '.join(fields)}")
    return "\n".join([*lines, *machine.rules]) + "\n"


def compile(into: Path) -> Libraries:
    """Return both libraries, compiled by $CC (cc) under `into`, in a folder named by the digest of what made them.

    Raises FileNotFoundError without a C compiler, CalledProcessError with its text where it refuses.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    digest = hashlib.sha256(repr((compiler, CFLAGS, platform.machine())).encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    folder = into / digest.hexdigest()[:16]
    if not folder.exists():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()  # mode 0755, unlike the scratch folder: containers read it as another user
            for name in ("libcuda", "libnvidia-ml"):
                soname = f"{name}.so.1"
                sources = [str(SOURCES / f"{name}.c"), str(SOURCES / "scenario.c")]
                command = [*compiler, *CFLAGS, f"-Wl,-soname,{soname}", "-o", str(made / soname), *sources, "-ldl"]
                subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                made.rename(folder)
            except OSError:  # another process was first
                if not folder.exists():
                    raise
    return Libraries(cuda=folder / "libcuda.so.1", nvml=folder / "libnvidia-ml.so.1")


def cdi_spec(machine: Machine, libraries: Libraries, scenario: Path, kind: str = "nvidia.com/gpu") -> dict[str, Any]:
    """Return the CDI spec that hands this machine to containers, in the shape `nvidia-ctk cdi generate` writes.

    Devices are "0", "1", ... and "all". Every node is a second /dev/null: it can be opened, and does nothing.
    The real spec mounts libcuda.so.<driver> and lets a hook write the links and ld.so.cache; here the libraries are
    mounted at their sonames in a folder that the linker searches anyhow.
    """

    def node(name: str) -> dict[str, str]:
        return {"path": f"/dev/{name}", "hostPath": os.devnull}

    def mount(host: Path, container: str) -> dict[str, Any]:
        return {
            "hostPath": str(host.resolve()),
            "containerPath": container,
            "options": ["ro", "nosuid", "nodev", "bind"],
        }

    rows = range(len(machine.gpus))
    groups = {**{str(row): [row] for row in rows}, "all": list(rows)}
    return {
        "cdiVersion": "0.5.0",
        "kind": kind,
        "devices": [
            {"name": name, "containerEdits": {"deviceNodes": [node(f"nvidia{row}") for row in group]}}
            for name, group in groups.items()
            if group
        ],
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [node(name) for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")],
            "mounts": [
                mount(libraries.cuda, f"{LIBRARY_FOLDER}/libcuda.so.1"),
                mount(libraries.nvml, f"{LIBRARY_FOLDER}/libnvidia-ml.so.1"),
                mount(scenario, "/etc/simgpu.conf"),
            ],
        },
    }


def host_env(libraries: Libraries, root: Path) -> dict[str, str]:
    """Return the environment in which a process on this host sees the machine that sysroot() wrote to `root`."""
    return {
        "LD_LIBRARY_PATH": str(libraries.cuda.parent),
        "SIMGPU_DEV": str(root / "dev"),
        "SIMGPU_SCENARIO": str(root / "etc/simgpu.conf"),
    }


# --- the files of the host -------------------------------------------------------------------------------------------

# Verbatim from an H100 node with driver 580.105.08: NVIDIA/k8s-test-infra, tests/e2e/go/assertions, `stagedParams`
_PARAMS = """\
ResmanDebugLevel: 4294967295
RmLogonRC: 1
ModifyDeviceFiles: 1
DeviceFileUID: 0
DeviceFileGID: 0
DeviceFileMode: 438
InitializeSystemMemoryAllocations: 1
UsePageAttributeTable: 4294967295
EnableMSI: 1
EnablePCIeGen3: 0
MemoryPoolSize: 0
KMallocHeapMaxSize: 0
VMallocHeapMaxSize: 0
IgnoreMMIOCheck: 0
EnableStreamMemOPs: 0
EnableUserNUMAManagement: 0
NvLinkDisable: 0
RmProfilingAdminOnly: 1
PreserveVideoMemoryAllocations: 1
EnableS0ixPowerManagement: 1
S0ixPowerManagementVideoMemoryThreshold: 256
DynamicPowerManagement: 3
DynamicPowerManagementVideoMemoryThreshold: 200
RegisterPCIDriver: 1
EnablePCIERelaxedOrderingMode: 0
EnableResizableBar: 0
EnableGpuFirmware: 18
EnableGpuFirmwareLogs: 2
RmNvlinkBandwidthLinkCount: 0
EnableDbgBreakpoint: 0
OpenRmEnableUnsupportedGpus: 1
DmaRemapPeerMmio: 1
ImexChannelCount: 2048
CreateImexChannel0: 0
GrdmaPciTopoCheckOverride: 1
CoherentGPUMemoryMode: "driver"
RegistryDwords: ""
RegistryDwordsPerDevice: ""
RmMsg: ""
GpuBlacklist: ""
TemporaryFilePath: "/var/tmp"
ExcludedGpus: ""
"""

_LINK_SPEED = {1: "2.5", 2: "5.0", 3: "8.0", 4: "16.0", 5: "32.0", 6: "64.0"}


def _driver_version(machine: Machine) -> str:
    module = (
        f"NVIDIA UNIX Open Kernel Module for x86_64  {machine.driver}  Release Build  (dvs-builder@U16-I1-N07-12-3)"
        if machine.open_module
        else f"NVIDIA UNIX x86_64 Kernel Module  {machine.driver}"
    )
    return (
        f"NVRM version: {module}  Tue Mar  5 22:23:56 UTC 2024\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14+deb12u1) \n"
    )


def _modules(machine: Machine) -> dict[str, str]:
    """Return the lines of /proc/modules by module, dependents first as lsmod shows them."""
    taint = "(OE)" if machine.open_module else "(POE)"
    uses = {
        "nvidia_uvm": "4956160 0 -",
        "nvidia_drm": "122880 0 -",
        "nvidia_modeset": "1355776 1 nvidia_drm,",
        "nvidia": "54308864 2 nvidia_uvm,nvidia_modeset,",
    }
    return {name: f"{name} {use} Live 0x0000000000000000 {taint}\n" for name, use in uses.items()}


def _information(machine: Machine, row: int) -> str:
    """Return /proc/driver/nvidia/gpus/<id>/information, as kernel-open/nvidia/nv-procfs.c prints it."""
    gpu = machine.gpus[row]
    capability = float(gpu.compute_capability)
    dma_bits = 52 if capability >= 9 else 47
    return (
        f"Model: \t\t {gpu.name}\n"
        f"IRQ:   \t\t {40 + row}\n"
        f"GPU UUID: \t {gpu_uuid(machine, row)}\n"
        "Video BIOS: \t 92.00.45.00.03\n"
        "Bus Type: \t PCIe\n"
        f"DMA Size: \t {dma_bits} bits\n"
        f"DMA Mask: \t {(1 << dma_bits) - 1:#x}\n"
        f"Bus Location: \t {bus_id(row)}\n"
        f"Device Minor: \t {row}\n"
        f"GPU Firmware: \t {machine.driver if capability >= 7.5 else 'N/A'}\n"
        "GPU Excluded:\t No\n"
    )


def _pci_config(device: int, subsystem: int, pci_class: int) -> bytes:
    """Return the 64 bytes that any user may read: the standard header, with memory and bus mastering on."""
    header = struct.pack("<HHHH", NVIDIA, device, 0x0547, 0x0010) + bytes([0xA1]) + pci_class.to_bytes(3, "little")
    tail = struct.pack("<HHIB", NVIDIA, subsystem, 0, 0x40)  # from 0x2c: subsystem, no expansion ROM, capabilities
    return (header.ljust(0x2C, b"\0") + tail).ljust(64, b"\0")


def _pci_function(address: str, device: int, subsystem: int, pci_class: int, driver: str) -> dict[str, str | bytes]:
    """Return the files of one PCI function."""
    return {
        "vendor": f"{NVIDIA:#06x}\n",
        "device": f"{device:#06x}\n",
        "class": f"{pci_class:#08x}\n",
        "revision": "0xa1\n",
        "subsystem_vendor": f"{NVIDIA:#06x}\n",
        "subsystem_device": f"{subsystem:#06x}\n",
        "config": _pci_config(device, subsystem, pci_class),
        "uevent": f"DRIVER={driver}\nPCI_ID={NVIDIA:04X}:{device:04X}\nPCI_SLOT_NAME={address}\n",
    }


def _link(gpu: Gpu) -> dict[str, str | bytes]:
    """Return the PCIe link's files: what is, and what could be."""
    settings = {key: int(value) for key, value in gpu.settings.items() if key.startswith("pcie_")}
    most_gen, most_width = settings.get("pcie_max_gen", gpu.pcie_gen), settings.get("pcie_max_width", 16)
    return {
        "max_link_speed": f"{_LINK_SPEED[most_gen]} GT/s PCIe\n",
        "max_link_width": f"{most_width}\n",
        "current_link_speed": f"{_LINK_SPEED[settings.get('pcie_gen', most_gen)]} GT/s PCIe\n",
        "current_link_width": f"{settings.get('pcie_width', most_width)}\n",
    }


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _write_pci(root: Path, address: str, files: dict[str, str | bytes], driver: str) -> None:
    """Write a PCI function as sysfs lays it out: a folder under devices/, and links from and to the bus."""
    bus = address.rsplit(":", 1)[0]
    home = root / "sys/devices" / f"pci{bus}" / address
    for name, content in files.items():
        _write(home / name, content)
    (root / "sys/bus/pci/devices").mkdir(parents=True, exist_ok=True)
    (root / "sys/bus/pci/devices" / address).symlink_to(f"../../../devices/pci{bus}/{address}")
    (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (root / "sys/bus/pci/drivers" / driver / address).symlink_to(f"../../../../devices/pci{bus}/{address}")
    (home / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")


def sysroot(machine: Machine, into: Path, spec: dict[str, Any] | None = None) -> Path:
    """Write to the empty folder `into` what a host with this machine shows under /sys, /proc, /dev, /etc; return it.

    A healthy host: a test takes away or rewrites what its fault would. `spec` becomes etc/cdi/nvidia.json.
    """
    for row, gpu in enumerate(machine.gpus):
        address = bus_id(row)
        files = _pci_function(address, gpu.pci_device, gpu.pci_subsystem, 0x030000 if gpu.audio else 0x030200, "nvidia")
        _write_pci(into, address, {**files, **_link(gpu)}, "nvidia")
        if gpu.audio:
            sound = address.removesuffix("0") + "1"
            files = _pci_function(sound, gpu.audio, gpu.pci_subsystem, 0x040300, "snd_hda_intel")
            _write_pci(into, sound, files, "snd_hda_intel")
        _write(into / "proc/driver/nvidia/gpus" / address / "information", _information(machine, row))
    _write(into / "proc/driver/nvidia/version", _driver_version(machine))
    _write(into / "proc/driver/nvidia/params", _PARAMS)
    modules = _modules(machine)
    _write(into / "proc/modules", "".join(modules.values()))
    for name in modules:
        _write(into / "sys/module" / name / "version", f"{machine.driver}\n")
        _write(into / "sys/module" / name / "initstate", "live\n")
    nodes = [f"nvidia{row}" for row in range(len(machine.gpus))]
    for name in (*nodes, "nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools"):
        _write(into / "dev" / name, "").chmod(0o666)
    _write(into / "etc/simgpu.conf", scenario_text(machine))
    if spec is not None:
        _write(into / "etc/cdi/nvidia.json", json.dumps(spec, indent=2) + "\n")
    return into
