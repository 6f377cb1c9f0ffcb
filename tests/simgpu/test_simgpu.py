"""The stand-in driver libraries, through real nvidia-ml-py and ctypes, in children that load them as a program would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simgpu import machine as sim
from tests.simgpu.machine import A100, GTX_1080, H100, RTX_3090, T4, Gpu, Libraries, Machine

MIXED = (A100, H100, RTX_3090, T4, GTX_1080, sim.RTX_4090, sim.V100, sim.RTX_5090)

CUDA = """
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
said = {"init": cuda.cuInit(0), "gpus": []}
count, version = ctypes.c_int(), ctypes.c_int()
said["count"] = count.value if cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 else None
count = count.value
said["version"] = version.value if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0 else None
for ordinal in range(count):
    device, major, minor, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name, bus, uuid = ctypes.create_string_buffer(128), ctypes.create_string_buffer(32), (ctypes.c_ubyte * 16)()
    assert cuda.cuDeviceGet(ctypes.byref(device), ordinal) == 0
    assert cuda.cuDeviceGetName(name, 128, device) == 0
    assert cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device) == 0
    assert cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device) == 0
    assert cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device) == 0
    assert cuda.cuDeviceGetPCIBusId(bus, 32, device) == 0
    assert cuda.cuDeviceGetUuid_v2(uuid, device) == 0
    back = ctypes.c_int(-1)
    assert cuda.cuDeviceGetByPCIBusId(ctypes.byref(back), bus) == 0 and back.value == ordinal
    said["gpus"].append([name.value.decode(), f"{major.value}.{minor.value}", total.value >> 20, bus.value.decode().lower(),
                         bytes(uuid).hex()])
print(json.dumps(said))
"""

NVML = """
import json, pynvml
from pynvml import *
said = {"gpus": []}
try:
    nvmlInit()
    said["driver"], said["cuda"] = nvmlSystemGetDriverVersion(), nvmlSystemGetCudaDriverVersion_v2()
    for index in range(nvmlDeviceGetCount()):
        gpu = nvmlDeviceGetHandleByIndex(index)
        pci, uuid = nvmlDeviceGetPciInfo(gpu), nvmlDeviceGetUUID(gpu)
        for again in (nvmlDeviceGetHandleByUUID(uuid), nvmlDeviceGetHandleByPciBusId(pci.busId)):
            assert nvmlDeviceGetIndex(again) == index
        said["gpus"].append([nvmlDeviceGetName(gpu), "%d.%d" % nvmlDeviceGetCudaComputeCapability(gpu),
                             nvmlDeviceGetMemoryInfo(gpu).total >> 20, pci.busId[4:].lower(),
                             uuid.removeprefix("GPU-").replace("-", "")])
        said.setdefault("minors", []).append(nvmlDeviceGetMinorNumber(gpu))
        said.setdefault("pci", []).append([hex(pci.pciDeviceId), hex(pci.pciSubSystemId)])
    nvmlShutdown()
except NVMLError as error:
    said["error"], said["text"] = error.value, nvmlErrorString(error.value)
print(json.dumps(said))
"""


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Libraries:
    return sim.compile(tmp_path_factory.mktemp("simgpu"))


class Host:
    """A folder that shows a simulated machine, and children that see it."""

    def __init__(self, machine: Machine, libraries: Libraries, root: Path) -> None:
        self.machine, self.root = machine, sim.sysroot(machine, root)
        self.env = sim.host_env(libraries, root)

    def run(self, script: str, seconds: float = 30, visible: str | None = None) -> subprocess.CompletedProcess[str]:
        env = self.env if visible is None else {**self.env, "CUDA_VISIBLE_DEVICES": visible}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds, check=False)

    def ask(self, script: str, visible: str | None = None) -> Any:
        done = self.run(script, visible=visible)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self) -> list[list[object]]:
        """Return what either library should tell of each GPU: name, compute capability, MiB, PCI address, UUID."""
        return [
            [gpu.name, gpu.compute_capability, gpu.memory_mib, sim.bus_id(row), self.uuid(row)]
            for row, gpu in enumerate(self.machine.gpus)
        ]

    def uuid(self, row: int) -> str:
        return sim.gpu_uuid(self.machine, row).removeprefix("GPU-").replace("-", "")


@pytest.fixture
def host(libraries: Libraries, tmp_path: Path) -> Any:
    def make(*gpus: Gpu, rules: tuple[str, ...] = (), driver: str = "550.54.15", cuda: str = "12.4") -> Host:
        return Host(Machine(gpus, driver, cuda, rules=rules), libraries, tmp_path / "host")

    return make


# --- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 8])
def test_both_libraries_tell_the_same_of_n_gpus(host: Any, count: int) -> None:
    here = host(*MIXED[:count], driver="570.86.15", cuda="12.8")
    cuda, nvml = here.ask(CUDA), here.ask(NVML)
    assert (cuda["init"], cuda["count"], cuda["version"]) == (0, count, 12080)
    assert (nvml["driver"], nvml["cuda"]) == ("570.86.15", 12080)
    assert cuda["gpus"] == nvml["gpus"] == here.rows()
    assert nvml["pci"][0] == ["0x20b010de", "0x134f10de"]


def test_without_a_scenario_there_is_one_a100(libraries: Libraries, tmp_path: Path) -> None:
    if Path("/etc/simgpu.conf").exists():
        pytest.skip("this host has an /etc/simgpu.conf of its own")
    here = Host(Machine((A100,)), libraries, tmp_path / "host")
    del here.env["SIMGPU_SCENARIO"]
    assert [gpu[:4] for gpu in here.ask(CUDA)["gpus"]] == [gpu[:4] for gpu in here.rows()]
    assert here.ask(NVML)["driver"] == "550.54.15"


@pytest.mark.parametrize(
    ("gpu", "call", "said"),
    [
        (A100, "nvmlDeviceGetTemperature(gpu, 0)", 33),
        (A100.having(temperature=91), "nvmlDeviceGetTemperature(gpu, 0)", 91),
        (A100.having(temperature=91), "nvmlDeviceGetTemperatureV(gpu, 0)", 91),
        (A100, "nvmlDeviceGetPowerUsage(gpu)", 50000),
        (T4, "nvmlDeviceGetEnforcedPowerLimit(gpu)", 70000),
        (A100, "nvmlDeviceGetPersistenceMode(gpu)", 0),
        (A100.having(persistence=1), "nvmlDeviceGetPersistenceMode(gpu)", 1),
        (A100.having(compute_mode=2), "nvmlDeviceGetComputeMode(gpu)", 2),
        (A100.having(mig=1), "nvmlDeviceGetMigMode(gpu)", [1, 1]),
        (A100.having(mig_pending=1), "nvmlDeviceGetMigMode(gpu)", [0, 1]),
        (RTX_3090, "nvmlDeviceGetMigMode(gpu)", "Not Supported"),
        (A100, "nvmlDeviceGetEccMode(gpu)", [1, 1]),
        (RTX_3090, "nvmlDeviceGetEccMode(gpu)", "Not Supported"),
        (A100.having(ecc_uncorrectable=7), "nvmlDeviceGetTotalEccErrors(gpu, 1, 0)", 7),
        (A100.having(ecc_uncorrectable=7), "nvmlDeviceGetTotalEccErrors(gpu, 0, 0)", 0),
        (RTX_3090, "nvmlDeviceGetTotalEccErrors(gpu, 1, 0)", "Not Supported"),
        (A100, "nvmlDeviceGetRemappedRows(gpu)", [0, 0, 0, 0]),
        (A100.having(remap_pending=1, remap_uncorrectable=2), "nvmlDeviceGetRemappedRows(gpu)", [0, 2, 1, 0]),
        (T4, "nvmlDeviceGetRemappedRows(gpu)", "Not Supported"),
        (A100, "nvmlDeviceGetCurrPcieLinkWidth(gpu)", 16),
        (A100.having(pcie_width=4), "nvmlDeviceGetCurrPcieLinkWidth(gpu)", 4),
        (A100.having(pcie_width=4), "nvmlDeviceGetMaxPcieLinkWidth(gpu)", 16),
        (H100, "nvmlDeviceGetMaxPcieLinkGeneration(gpu)", 5),
        (A100.having(pcie_gen=1), "nvmlDeviceGetCurrPcieLinkGeneration(gpu)", 1),
        (A100, "nvmlDeviceGetCurrentClocksEventReasons(gpu)", 1),
        (A100.having(throttle="0x40"), "nvmlDeviceGetCurrentClocksThrottleReasons(gpu)", 0x40),
        (A100, "nvmlDeviceGetFanSpeed(gpu)", "Not Supported"),
        (RTX_3090, "nvmlDeviceGetFanSpeed(gpu)", 30),
        (A100, "nvmlDeviceGetPerformanceState(gpu)", 0),
        (A100.having(utilization=97), "nvmlDeviceGetUtilizationRates(gpu).gpu", 97),
        (A100.having(used_mib=1024), "nvmlDeviceGetMemoryInfo(gpu).free >> 20", 39936),
        (A100.having(used_mib=1024), "nvmlDeviceGetMemoryInfo(gpu, version=nvmlMemory_v2).used >> 20", 1024),
        (A100, "nvmlDeviceGetArchitecture(gpu)", 7),
        (sim.RTX_5090, "nvmlDeviceGetArchitecture(gpu)", 10),
        (RTX_3090, "nvmlDeviceGetBrand(gpu)", 15),
        (A100, "nvmlDeviceGetSerial(gpu)", "1650000000001"),
        (RTX_3090, "nvmlDeviceGetSerial(gpu)", "Not Supported"),
        (A100, "nvmlDeviceGetComputeRunningProcesses(gpu)", []),
        (
            A100.having(process="4242:1000"),
            "[[p.pid, p.usedGpuMemory >> 20] for p in nvmlDeviceGetComputeRunningProcesses(gpu)]",
            [[4242, 1000]],
        ),
    ],
)
def test_readings(host: Any, gpu: Gpu, call: str, said: object) -> None:
    script = f"""
import json
from pynvml import *
nvmlInit()
gpu = nvmlDeviceGetHandleByIndex(0)
try:
    said = {call}
except NVMLError as error:
    said = str(error)
print(json.dumps(said))
"""
    assert host(gpu).ask(script) == said


# --- which GPUs are seen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "seen"), [((), [0, 1, 2, 3]), ((1,), [0, 2, 3]), ((0, 1, 2), [3]), ((0, 1, 2, 3), [])]
)
def test_only_gpus_with_a_device_node_are_seen(host: Any, lost: tuple[int, ...], seen: list[int]) -> None:
    here = host(*MIXED[:4])
    for row in lost:
        (here.root / f"dev/nvidia{row}").unlink()
    cuda, nvml = here.ask(CUDA), here.ask(NVML)
    rows = here.rows()
    assert cuda["gpus"] == nvml["gpus"] == [rows[row] for row in seen]
    assert cuda["init"] == (0 if seen else 100)
    assert nvml.get("minors", []) == seen
    assert "error" not in nvml


def test_a_node_that_cannot_be_opened_for_writing_does_not_count(host: Any) -> None:
    here = host(A100, A100)
    (here.root / "dev/nvidia0").unlink()
    (here.root / "dev/nvidia0").mkdir()  # root may open what its mode forbids, but nobody opens a folder for writing
    assert here.ask(CUDA)["gpus"] == here.ask(NVML)["gpus"] == here.rows()[1:]


def test_without_the_control_node_there_is_no_driver(host: Any) -> None:
    here = host(A100)
    (here.root / "dev/nvidiactl").unlink()
    assert here.ask(CUDA) == {"init": 100, "gpus": [], "count": None, "version": 12040}
    assert here.ask(NVML)["text"] == "Driver Not Loaded"


# https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html
@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        ("0", [0]),
        ("2,1", [2, 1]),
        ("0,2,-1,1", [0, 2]),
        ("1,9,0", [1]),
        (" 1, 0", [1, 0]),
        ("1gpu,0", [1, 0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,0", []),
        ("{0}", [0]),
        ("{2},{0}", [2, 0]),
        ("{1:.12}", [1]),
        ("GPU-", []),
        ("GPU-ffffffff", []),
        ("0,{1}", [0, 1]),
    ],
)
def test_cuda_visible_devices(host: Any, listed: str, seen: list[int]) -> None:
    here = host(A100, H100, T4)
    uuids = [sim.gpu_uuid(here.machine, row) for row in range(3)]
    said = here.ask(CUDA, listed.format(*uuids))
    assert said["gpus"] == [here.rows()[row] for row in seen]
    assert said["init"] == (0 if seen else 100)


def test_cuda_visible_devices_counts_among_the_nodes_and_does_not_concern_nvml(host: Any) -> None:
    here = host(A100, H100, T4)
    (here.root / "dev/nvidia0").unlink()
    assert here.ask(CUDA, visible="1")["gpus"] == here.rows()[2:]
    assert here.ask(NVML, visible="1")["gpus"] == here.rows()[1:]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "code", "text"),
    [
        ("fault nvmlInit = 18", 18, "Driver/library version mismatch"),
        ("fault nvmlInit = 9", 9, "Driver Not Loaded"),
        ("fault nvmlInit = 999", 999, "Unknown Error"),
        ("fault nvmlDeviceGetHandleByIndex@1 = 15", 15, "GPU is lost"),
        ("fault nvmlDeviceGet*@1 = 15", 15, "GPU is lost"),
        ("fault nvmlDeviceGetName_v2 = 3", None, None),
    ],
)
def test_nvml_faults(host: Any, rule: str, code: int | None, text: str | None) -> None:
    said = host(A100, H100, rules=(rule,)).ask(NVML)
    assert (said.get("error"), said.get("text")) == (code, text)
    assert len(said["gpus"]) == (2 if code is None else 1 if "@1" in rule else 0)


@pytest.mark.parametrize("code", [803, 804, 999, 802, 46])
def test_cuda_faults(host: Any, code: int) -> None:
    said = host(A100, rules=(f"fault cuInit = {code}",)).ask(CUDA)
    assert said["init"] == code
    assert said["count"] is None


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        (100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"),
        (
            803,
            "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "system has unsupported display driver / cuda driver combination",
        ),
        (12345, None, None),
    ],
)
def test_cuda_errors_have_names(host: Any, code: int, name: str | None, text: str | None) -> None:
    script = f"""
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
name, text = ctypes.c_char_p(), ctypes.c_char_p()
cuda.cuGetErrorName({code}, ctypes.byref(name)), cuda.cuGetErrorString({code}, ctypes.byref(text))
print(json.dumps([part.value and part.value.decode() for part in (name, text)]))
"""
    assert host(A100).ask(script) == [name, text]


@pytest.mark.parametrize(("script", "rule"), [(NVML, "hang nvmlInit = forever"), (CUDA, "hang cuInit = 60")])
def test_a_hang_outlasts_a_deadline(host: Any, script: str, rule: str) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        host(A100, rules=(rule,)).run(script, seconds=1)


def test_a_short_hang_ends(host: Any) -> None:
    here = host(A100, rules=("hang cuDeviceGetName@0 = 0.05",))
    assert here.ask(CUDA)["gpus"] == here.rows()


@pytest.mark.parametrize(
    "line", ["gpu = A100", "driver", "fault nvmlInit", "gpus = 2", "gpu = A | 8.0 | 1 | 0 | GPU-1"]
)
def test_a_scenario_that_cannot_be_understood_is_refused(host: Any, line: str) -> None:
    done = host(A100, rules=(line,)).run(CUDA)
    assert done.returncode < 0
    assert "simgpu.conf:4: cannot be understood" in done.stderr


# --- a simulated GPU never computes ----------------------------------------------------------------------------------


def test_no_compute_call_succeeds(host: Any) -> None:
    refused = re.findall(r"^REFUSE\((\w+)\)", (sim.SOURCES / "libcuda.c").read_text(), re.MULTILINE)
    assert {"cuLaunchKernel", "cuModuleLoadData", "cuMemAlloc_v2", "cuStreamCreate", "cuMemcpyHtoD_v2"} <= set(refused)
    script = f"""
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
assert cuda.cuInit(0) == 0
context, found, said = ctypes.c_void_p(), ctypes.c_void_p(), {{}}
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
for name in {refused!r}:
    plain = name.removesuffix("_v2").encode()
    assert cuda.cuGetProcAddress_v2(plain, ctypes.byref(found), 12040, ctypes.c_uint64(0), None) == 0, name
    said[name] = [cuda[name](), ctypes.CFUNCTYPE(ctypes.c_int)(found.value)()]
print(json.dumps(said))
"""
    assert host(A100).ask(script) == {name: [801, 801] for name in refused}


def test_contexts_and_memory_can_be_asked_for(host: Any) -> None:
    script = """
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
context, current, device = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int(-1)
free, total, flags, active = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint(), ctypes.c_int()
said = [cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), cuda.cuDeviceGet(ctypes.byref(device), 0)]
said += [cuda.cuInit(0), cuda.cuInit(1), cuda.cuDeviceGet(ctypes.byref(device), 7)]
said += [cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 1), cuda.cuCtxPushCurrent_v2(context)]
said += [cuda.cuCtxGetDevice(ctypes.byref(device)), device.value]
said += [cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), free.value >> 20, total.value >> 20]
said += [cuda.cuDevicePrimaryCtxGetState(1, ctypes.byref(flags), ctypes.byref(active)), active.value]
said += [cuda.cuCtxSynchronize(), cuda.cuCtxPopCurrent_v2(ctypes.byref(current)), current.value == context.value]
said += [cuda.cuDevicePrimaryCtxRelease_v2(1), cuda.cuDevicePrimaryCtxRelease_v2(1)]
print(json.dumps(said))
"""
    said = host(A100, T4.having(used_mib=360)).ask(script)
    assert said == [201, 3, 0, 1, 101, 0, 0, 0, 1, 0, 15000, 15360, 0, 1, 0, 0, True, 0, 201]


@pytest.mark.parametrize(
    ("symbol", "status"), [("cuMemGetInfo", 0), ("cuInit", 0), ("cuGetProcAddress", 0), ("cuNoSuchCall", 500)]
)
def test_entry_points_are_found_by_name(host: Any, symbol: str, status: int) -> None:
    script = f"""
import ctypes, json
cuda, found, how = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_int(-1)
code = cuda.cuGetProcAddress_v2(b"{symbol}", ctypes.byref(found), 12040, ctypes.c_uint64(0), ctypes.byref(how))
print(json.dumps([code, how.value, found.value is not None]))
"""
    assert host(A100).ask(script) == [status, int(status != 0), status == 0]


# --- what is made ----------------------------------------------------------------------------------------------------


def test_libraries_are_compiled_once_and_need_only_libc(libraries: Libraries) -> None:
    before = libraries.cuda.stat().st_mtime_ns
    again = sim.compile(libraries.cuda.parent.parent)
    assert again == libraries
    assert again.cuda.stat().st_mtime_ns == before
    for library in (libraries.cuda, libraries.nvml):
        dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        assert [name for name in needed if not name.startswith("ld-linux")] == ["libc.so.6"]
        assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == [library.name]


def test_cdi_spec(libraries: Libraries, tmp_path: Path) -> None:
    spec = sim.cdi_spec(Machine((A100, T4)), libraries, tmp_path / "simgpu.conf")
    nodes = {
        device["name"]: [node["path"] for node in device["containerEdits"]["deviceNodes"]] for device in spec["devices"]
    }
    assert nodes == {"0": ["/dev/nvidia0"], "1": ["/dev/nvidia1"], "all": ["/dev/nvidia0", "/dev/nvidia1"]}
    assert (spec["cdiVersion"], spec["kind"]) == ("0.5.0", "nvidia.com/gpu")
    assert spec["containerEdits"]["env"] == ["NVIDIA_VISIBLE_DEVICES=void"]
    assert [mount["containerPath"].rpartition("/")[2] for mount in spec["containerEdits"]["mounts"]] == [
        "libcuda.so.1",
        "libnvidia-ml.so.1",
        "simgpu.conf",
    ]
    assert json.loads(json.dumps(spec)) == spec


def test_sysroot_shows_the_machine(libraries: Libraries, tmp_path: Path) -> None:
    machine = Machine((A100.having(pcie_width=8, pcie_gen=1), RTX_3090), open_module=True)
    spec = sim.cdi_spec(machine, libraries, tmp_path / "etc/simgpu.conf")
    root = sim.sysroot(machine, tmp_path, spec)
    pci = root / "sys/bus/pci/devices"
    found = {
        path.name: [(path / name).read_text().strip() for name in ("vendor", "device", "class")]
        for path in pci.iterdir()
    }
    assert found == {
        "0000:07:00.0": ["0x10de", "0x20b0", "0x030200"],
        "0000:0f:00.0": ["0x10de", "0x2204", "0x030000"],
        "0000:0f:00.1": ["0x10de", "0x1aef", "0x040300"],
    }
    first = pci / "0000:07:00.0"
    assert (first / "driver").resolve() == (root / "sys/bus/pci/drivers/nvidia").resolve()
    assert (first / "config").read_bytes()[:4].hex() == "de10b020"
    assert len((first / "config").read_bytes()) == 64
    links = {name: (first / name).read_text().strip() for name in ("current_link_speed", "current_link_width")}
    assert links == {"current_link_speed": "2.5 GT/s PCIe", "current_link_width": "8"}
    assert (first / "max_link_speed").read_text() == "16.0 GT/s PCIe\n"
    assert "Open Kernel Module for x86_64  550.54.15" in (root / "proc/driver/nvidia/version").read_text()
    information = (root / "proc/driver/nvidia/gpus/0000:0f:00.0/information").read_text()
    assert "Model: \t\t NVIDIA GeForce RTX 3090\n" in information
    assert "Device Minor: \t 1\n" in information
    assert sorted(path.name for path in (root / "dev").iterdir()) == [
        "nvidia-modeset",
        "nvidia-uvm",
        "nvidia-uvm-tools",
        "nvidia0",
        "nvidia1",
        "nvidiactl",
    ]
    assert json.loads((root / "etc/cdi/nvidia.json").read_text()) == spec
