"""What the engine is asked for, computed without one: builds, containers, GPU requests."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from toolkit import paths, records
from toolkit.engine.docker import container_options, device_requests, owner, owner_lives
from toolkit.engine.downloads import SYSTEM_CA, ca_bundle
from toolkit.engine.plan import Exit, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts
from toolkit.facts.driver import Nvml, NvmlGpu, nvml
from toolkit.facts.engine import Engine, hook_installed, state
from toolkit.host import Host
from toolkit.images import variants
from toolkit.images.machine import all_gpus
from toolkit.model import Command, KitError, NotAsked, UsageError
from toolkit.workloads import data
from toolkit.workloads.outcome import Outcome, record
from toolkit.workloads.packaged import workload
from toolkit.workloads.plan import Options, Place, chosen_gpus, gpu_request, memory_limit, plan

CDI = Engine(version="26.1", cdi_devices=("0", "1", "2", "all"), cdi_enabled=True)
RUNTIME = Engine(version="26.1", runtimes=("nvidia", "runc"))


def machine(gpus: int, engine: Engine = CDI) -> Facts:
    found = tuple(
        NvmlGpu(index, "NVIDIA T4", f"GPU-{index}", f"0000:0{index}:00.0", "7.5", 16 << 30) for index in range(gpus)
    )
    return Facts(Host(lambda _: NotAsked("no machine")), {nvml: Nvml(gpus=found), state: engine})


THREE = (0, 1, 2)
ONE_LOST = (0, 2)  # GPU 1 has fallen off the bus


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        ("auto", (), ()),
        ("auto", (0, 1), (0, 1)),
        ("all", THREE, THREE),
        ("none", THREE, ()),
        ("2", THREE, (0, 1)),
        ("0", THREE, ()),
        ("0,2", THREE, (0, 2)),
        ("2,0,2", THREE, (0, 2)),
        ("2", ONE_LOST, (0, 2)),
        ("0,2", ONE_LOST, (0, 2)),
    ],
)
def test_gpus_option(asked: str, there: tuple[int, ...], chosen: tuple[int, ...]) -> None:
    assert chosen_gpus(asked, there) == chosen


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("all", ()),
        ("1", ()),
        ("0,3", THREE),
        ("4", THREE),
        ("first", THREE),
        ("1,,2", THREE),
        ("-1", THREE),
        ("²", THREE),
        ("0,1", ONE_LOST),
    ],
)
def test_gpus_option_refuses(asked: str, there: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        chosen_gpus(asked, there)


@pytest.mark.parametrize(
    ("asked", "engine", "request_"),
    [
        ("auto", CDI, GpuRequest("cdi", ("all",))),
        ("0,2", CDI, GpuRequest("cdi", ("0", "2"))),
        ("all", RUNTIME, GpuRequest("runtime", ("all",))),
        ("1", RUNTIME, GpuRequest("runtime", ("0",))),
        ("none", CDI, None),
        ("auto", Engine(version="20.10"), None),
    ],
)
def test_gpu_request(asked: str, engine: Engine, request_: GpuRequest | None) -> None:
    assert gpu_request(asked, machine(3, engine)) == request_


def test_gpus_that_the_engine_cannot_hand_over_are_an_error() -> None:
    with pytest.raises(KitError, match="no way to hand GPUs over"):
        gpu_request("all", machine(3, Engine(version="20.10")))


def test_of_two_modules_of_one_name_a_workload_has_its_own(tmp_path: Path) -> None:
    shutil.copytree(workload("shapes").folder, tmp_path / "shapes")
    own, place = workload("shapes", tmp_path), Place(python=Path("/python"))
    order = plan(own, Options(), tmp_path, place, machine(0), 1 << 30)
    assert order.environment["PYTHONPATH"].split(":") == [str(tmp_path), str(paths.workloads())]
    order = plan(own, Options(), tmp_path, Place(image=variants.variant("cpu")), machine(0), 1 << 30)
    assert order.environment["PYTHONPATH"] == "/own:/workloads"
    assert order.command[2] == "/own/shapes/run.py"


@pytest.mark.parametrize(
    ("events", "code", "status", "cause"),
    [
        ([{"event": "interrupted"}], 130, "interrupted", None),
        ([], 137, "failed", r"Ended by a kill \(SIGKILL\), exit code 137"),
        ([], 0, "failed", "told no results"),
        ([], 3, "failed", "exit code 3"),
    ],
)
def test_how_a_run_ended(
    tmp_path: Path, events: list[dict[str, Any]], code: int, status: str, cause: str | None
) -> None:
    folder = records.new_run("x", tmp_path)
    (folder.path / "checkpoint.npz").touch()
    outcome = Outcome(
        [{"time": 1.0, **event} for event in events], [], Exit(code, out_of_memory=False), 0.0, 1.0, 1 << 30
    )
    made = record(workload("shapes"), folder, Place(python=Path("/python")), machine(0), outcome)
    assert (made.status, bool(made.findings)) == (status, cause is not None)
    if cause:
        assert re.search(cause, made.findings[0].cause)
        assert made.findings[0].fix[-1] == Command(f"kit run workload --resume {folder.path}")
    folder.close({})


def test_a_table_that_is_a_link_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "0a1b").write_text("a,b\n")
    (tmp_path / "table.csv").symlink_to("0a1b")
    assert data.inside(str(data.file(tmp_path / "table.csv"))) == "/data/table.csv"


COMPUTE = [["gpu", "compute", "utility"]]


@pytest.mark.parametrize(
    ("request_", "sdk"),
    [
        (None, []),
        (GpuRequest("cdi", ("0", "2")), [("cdi", 0, ["nvidia.com/gpu=0", "nvidia.com/gpu=2"], [])]),
        (GpuRequest("hook", ("all",)), [("", -1, [], COMPUTE)]),
        (GpuRequest("hook", ("1",)), [("", 0, ["1"], COMPUTE)]),
        (GpuRequest("runtime", ("1",)), []),
    ],
)
def test_device_requests(request_: GpuRequest | None, sdk: list[tuple[str, int, list[str], list[list[str]]]]) -> None:
    made = device_requests(request_)
    assert [(each["Driver"], each["Count"], each["DeviceIDs"], each["Capabilities"]) for each in made] == sdk


@pytest.mark.parametrize(
    ("request_", "visible", "runtime"),
    [
        (None, "void", None),
        (GpuRequest("cdi", ("all",)), "void", None),
        (GpuRequest("runtime", ("0", "2")), "0,2", "nvidia"),
        (GpuRequest("hook", ("all",)), "all", None),
    ],
)
def test_what_the_nvidia_runtime_reads(request_: GpuRequest | None, visible: str, runtime: str | None) -> None:
    order = RunPlan(("python",), {}, image="kit/tensorflow:x", gpus=request_, limits=Limits(1 << 30))
    options = container_options(order)
    assert (options["environment"]["NVIDIA_VISIBLE_DEVICES"], options["runtime"]) == (visible, runtime)


def test_the_hook_serves_where_no_runtime_is_registered() -> None:
    facts = Facts(Host(lambda _: NotAsked("")), {state: Engine(version="26.1"), hook_installed: True})
    assert all_gpus(facts) == GpuRequest("hook", ("all",))


def test_container_is_unprivileged_and_limited() -> None:
    order = RunPlan(
        ("python",),
        {},
        (Mount(Path("/work"), "/workloads"),),
        image="kit/tensorflow:x",
        user="1000:1000",
        limits=Limits(1 << 30),
    )
    options = container_options(order)
    expected = {
        "user": "1000:1000",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "mem_limit": 1 << 30,
        "pids_limit": 4096,
    }
    assert {name: options[name] for name in expected} == expected
    assert options["mounts"][0]["ReadOnly"] is True
    assert list(options["tmpfs"]) == ["/tmp"]


def test_owner_of_a_container_lives_as_long_as_its_process() -> None:
    mine = owner()
    boot, namespace, pid, start = mine.split("/")
    assert owner_lives(mine, running=True)
    assert not owner_lives(f"{boot}/{namespace}/{pid}/{int(start) + 1}", running=True), (
        "the id is another process's by now"
    )
    assert owner_lives(f"other-boot/{namespace}/{pid}/{start}", running=True), "another machine's is not ours to end"
    assert owner_lives(f"{boot}/1/{pid}/{start}", running=True), "nor is one of another process namespace"
    assert not owner_lives(f"other-boot/{namespace}/{pid}/{start}", running=False)


def test_memory_limit_is_three_quarters_of_the_machine() -> None:
    assert memory_limit("MemTotal:       24617232 kB\nMemFree: 1 kB\n") == 24617232 * 768


def test_ca_bundle_is_the_environments_or_the_systems(tmp_path: Path) -> None:
    own = tmp_path / "ca.pem"
    own.write_text("x")
    assert ca_bundle({"SSL_CERT_FILE": "/nowhere", "REQUESTS_CA_BUNDLE": str(own)}) == own
    assert ca_bundle({}) == next((path for path in SYSTEM_CA if path.is_file()), None)


def test_run_as_root_of_a_rootless_engine_is_the_caller() -> None:
    rootless = machine(0, Engine(version="26.1", rootless=True))
    options = Options()
    place = Place(image=variants.variant("cpu"))
    order = plan(workload("side_effects"), options, Path("/out"), place, rootless, 1 << 30)
    assert order.user == "0:0"
    assert plan(workload("side_effects"), options, Path("/out"), place, machine(0), 1 << 30).user == (
        f"{os.environ.get('SUDO_UID', os.getuid())}:{os.environ.get('SUDO_GID', os.getgid())}"
    )


@pytest.mark.parametrize(("security", "off"), [(("name=seccomp", "name=selinux"), True), (("name=apparmor",), False)])
def test_selinux_labels_are_off_where_the_engine_has_them(security: tuple[str, ...], off: bool) -> None:
    facts = machine(0, Engine(version="26.1", security=security))
    place = Place(image=variants.variant("cpu"))
    order = plan(workload("side_effects"), Options(), Path("/out"), place, facts, 1 << 30)
    assert ("label=disable" in container_options(order)["security_opt"]) == off
