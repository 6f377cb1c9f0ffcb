"""The chain over simulated GPUs: host, container and TensorFlow count them for real, and each fault breaks its rung."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simgpu import machine as simgpu
from toolkit import doctor, paths
from toolkit.engine.docker import Docker, docker_command
from toolkit.images import variants, verify

KIT = str(Path(sys.executable).with_name("kit"))
DAEMON_SPEC = Path("/var/run/cdi/kit-simulated.json")

Kit = Callable[..., tuple[int, dict[str, Any]]]
Simulate = Callable[..., Kit]

pytestmark = [pytest.mark.engine, pytest.mark.image]


@pytest.fixture
def simulate(engine: Docker, gpu_image: variants.Variant, tmp_path: Path) -> Iterator[Simulate]:
    """Give a function that makes this machine one with simulated GPUs, for the daemon by CDI and for kit's processes by
    their environment, and returns kit on it."""
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a real driver, which the simulated one would shadow")
    if os.getuid() != 0:
        if os.environ.get("KIT_REQUIRE_ENGINE") == "1":
            pytest.fail("KIT_REQUIRE_ENGINE=1 and only root can give the daemon a CDI spec")
        pytest.skip("only root can give the daemon a CDI spec")
    libraries = simgpu.compile(paths.cache() / "simgpu")

    def make(machine: simgpu.Machine, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Kit:
        root = tmp_path / "root"
        simgpu.sysroot(machine, root)
        spec = simgpu.cdi_spec(machine, libraries, root / "etc/simgpu.conf")
        change(spec)
        for file in (DAEMON_SPEC, root / "etc/cdi/nvidia.json"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(spec))
        environment = {**os.environ, **simgpu.host_env(libraries, root), "KIT_SYSROOT": str(root)}

        def kit(*arguments: str) -> tuple[int, dict[str, Any]]:
            done = subprocess.run(
                [KIT, *arguments, "--json"], capture_output=True, text=True, check=False, timeout=300, env=environment
            )
            return done.returncode, json.loads(done.stdout)

        return kit

    yield make
    DAEMON_SPEC.unlink(missing_ok=True)


def counts(document: dict[str, Any]) -> dict[str, int | None]:
    return {rung["rung"]: rung["gpus"] for rung in document["chain"]}


def broken(document: dict[str, Any]) -> list[str]:
    return [rung["rung"] for rung in document["chain"] if rung["status"] == "broken"]


@pytest.mark.parametrize("number", [1, 8])
def test_every_rung_counts_all_of_them(simulate: Simulate, number: int, tmp_path: Path) -> None:
    kit = simulate(simgpu.Machine(gpus=(simgpu.A100,) * number))
    code, diagnosis = kit("doctor")
    rungs = ("pci", "module", "nodes", "nvml", "engine", "container", "libraries", "tensorflow")
    assert {rung: counts(diagnosis)[rung] for rung in rungs} == dict.fromkeys(rungs, number)
    assert (code, diagnosis["root_cause"], diagnosis["findings"]) == (0, None, [])
    assert counts(diagnosis)["compute"] is None, "a simulated GPU never computes"
    code, record = kit("run", "workload", "--device", "cpu", "--epochs", "1", "--out", str(tmp_path))
    assert code == 0
    assert record["gpus"] == {"host": number, "container": number, "tensorflow": number}
    assert record["device"] == "cpu"
    assert record["image"] == variants.variant("gpu").tag


def test_chosen_gpus_are_those_that_the_run_gets(simulate: Simulate, tmp_path: Path) -> None:
    products = (simgpu.A100, simgpu.T4, simgpu.RTX_3090)
    kit = simulate(simgpu.Machine(gpus=products))
    code, record = kit("run", "workload", "--gpus", "0,2", "--device", "cpu", "--epochs", "1", "--out", str(tmp_path))
    assert code == 0
    assert record["gpus"] == {"host": 3, "container": 2, "tensorflow": 2}
    events = [json.loads(line) for line in Path(record["artifacts"]["events.jsonl"]).read_text().splitlines()]
    (names,) = [event["names"] for event in events if event["event"] == "gpus"]
    assert names == [simgpu.A100.name, simgpu.RTX_3090.name]


def test_the_use_of_the_gpus_that_a_run_gets_is_in_its_events_and_its_report(
    simulate: Simulate, tmp_path: Path
) -> None:
    kit = simulate(simgpu.Machine(gpus=(simgpu.T4, simgpu.A100.having(utilization=40, used_mib=2048))))
    arguments = ("--gpus", "1,1", "--device", "cpu", "--epochs", "1", "--out", str(tmp_path))
    code, record = kit("run", "workload", *arguments)
    assert code == 0
    events = [json.loads(line) for line in Path(record["artifacts"]["events.jsonl"]).read_text().splitlines()]
    uses = [event["gpus"] for event in events if event["event"] == "gpu-use"]
    total = simgpu.A100.memory_mib << 20
    assert uses
    assert uses[0] == [{"index": 1, "memory_bytes": 2 << 30, "memory_total_bytes": total, "utilization": 0.4}]
    assert 'id="gpu-use"' in Path(record["artifacts"]["report.html"]).read_text()


def without_mounts(*sonames: str) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        edits = spec["containerEdits"]
        edits["mounts"] = [mount for mount in edits["mounts"] if not mount["containerPath"].endswith(sonames)]

    return change


@pytest.mark.parametrize(
    ("missing", "root_cause"),
    [
        (("libcuda.so.1", "libnvidia-ml.so.1"), "cdi-not-set-up"),
        (("libcuda.so.1",), "driver-capabilities-missing"),
        (("libnvidia-ml.so.1",), "driver-capabilities-missing"),
    ],
)
def test_container_without_driver_libraries(simulate: Simulate, missing: tuple[str, ...], root_cause: str) -> None:
    kit = simulate(simgpu.Machine(gpus=(simgpu.A100,)), without_mounts(*missing))
    code, diagnosis = kit("doctor")
    assert (code, broken(diagnosis), diagnosis["root_cause"]) == (1, ["container"], root_cause)
    assert counts(diagnosis)["engine"] == 1


def test_no_toolkit_leaves_the_engine_without_gpus(simulate: Simulate) -> None:
    kit = simulate(simgpu.Machine(gpus=(simgpu.A100,)), lambda spec: spec.update(kind="example.com/other"))
    code, diagnosis = kit("doctor")
    assert (code, broken(diagnosis), diagnosis["root_cause"]) == (1, ["engine"], "nvidia-runtime-not-installed")
    assert (counts(diagnosis)["nvml"], counts(diagnosis)["engine"]) == (1, 0)


def test_stale_spec_keeps_the_container_from_starting(simulate: Simulate) -> None:
    def stale(spec: dict[str, Any]) -> None:
        for mount in spec["containerEdits"]["mounts"]:
            mount["hostPath"] = mount["hostPath"].replace("libcuda.so.1", "libcuda.so.535.161.07")

    code, diagnosis = simulate(simgpu.Machine(gpus=(simgpu.A100,)), stale)("doctor")
    assert (code, diagnosis["root_cause"]) == (1, "cdi-not-set-up")


@pytest.mark.parametrize(
    ("rule", "rung", "root_cause"),
    [
        ("fault nvmlInit = 18", "nvml", "driver-library-mismatch"),
        ("fault nvmlInit = 9", "nvml", "driver-not-loaded"),
        ("fault nvmlDeviceGetHandleByIndex@1 = 15", "nvml", "gpu-fell-off-bus"),
        ("hang nvmlInit = forever", "nvml", "probe-timed-out"),
        ("fault cuInit = 802", "nvml", "fabricmanager-down"),  # the same call fails on the host already
        ("fault cuInit = 803", "nvml", "driver-library-mismatch"),
        ("fault cuInit = 999", "nvml", "uvm-module-stale"),
    ],
)
def test_faults_of_the_driver_break_their_rung(simulate: Simulate, rule: str, rung: str, root_cause: str) -> None:
    kit = simulate(simgpu.Machine(gpus=(simgpu.A100, simgpu.A100), rules=(rule,)))
    code, diagnosis = kit("doctor")
    assert (code, broken(diagnosis), diagnosis["root_cause"]) == (1, [rung], root_cause)


def test_image_without_the_linker_fix_fails_verification(
    engine: Docker, gpu_image: variants.Variant, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {gpu_image.tag}\nUSER root\nRUN rm /etc/ld.so.conf.d/nvidia-wheels.conf && ldconfig\nUSER kit\n"
    )
    build = [docker_command(), "build", "-q", str(tmp_path)]
    image_id = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    try:
        verified, _, findings = verify.verify(engine, image_id, gpu_image, doctor.this_machine())
    finally:
        subprocess.run([docker_command(), "rmi", "-f", image_id], capture_output=True, check=True)
    assert verified["status"] == "failed"
    assert verified["gpus"]["tensorflow"] == 0
    assert not verified["libraries"]["libcusolver.so.11"]
    assert findings[0].id == "cuda-libs-missing"
