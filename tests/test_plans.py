"""What the engine is asked for, computed without one: builds, containers, GPU requests."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from toolkit import images, workloads
from toolkit.engine.docker import build_command, container_options, device_requests, owner, owner_lives
from toolkit.engine.plan import GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts
from toolkit.facts.driver import Nvml, NvmlGpu, nvml
from toolkit.facts.engine import Engine, state
from toolkit.host import Host
from toolkit.model import KitError, NotAsked, UsageError

CDI = Engine(version="26.1", cdi_devices=("0", "1", "2", "all"), cdi_enabled=True)
RUNTIME = Engine(version="26.1", runtimes=("nvidia", "runc"))


def machine(gpus: int, engine: Engine = CDI) -> Facts:
    found = tuple(
        NvmlGpu(index, "NVIDIA T4", f"GPU-{index}", f"0000:0{index}:00.0", "7.5", 16 << 30) for index in range(gpus)
    )
    return Facts(Host(lambda _: NotAsked("no machine")), {nvml: Nvml(gpus=found), state: engine})


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        ("auto", 0, ()),
        ("auto", 2, (0, 1)),
        ("all", 3, (0, 1, 2)),
        ("none", 3, ()),
        ("2", 3, (0, 1)),
        ("0", 3, ()),
        ("0,2", 3, (0, 2)),
        ("2,0,2", 3, (0, 2)),
    ],
)
def test_gpus_option(asked: str, there: int, chosen: tuple[int, ...]) -> None:
    assert workloads.chosen_gpus(asked, there) == chosen


@pytest.mark.parametrize(
    ("asked", "there"), [("all", 0), ("1", 0), ("0,3", 3), ("4", 3), ("first", 3), ("1,,2", 3), ("-1", 3), ("²", 3)]
)
def test_gpus_option_refuses(asked: str, there: int) -> None:
    with pytest.raises(UsageError):
        workloads.chosen_gpus(asked, there)


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
    assert workloads.gpu_request(asked, machine(3, engine)) == request_


def test_gpus_that_the_engine_cannot_hand_over_are_an_error() -> None:
    with pytest.raises(KitError, match="no way to hand GPUs over"):
        workloads.gpu_request("all", machine(3, Engine(version="20.10")))


COMPUTE = [["gpu", "compute", "utility"]]


@pytest.mark.parametrize(
    ("request_", "sdk"),
    [
        (None, []),
        (GpuRequest("cdi", ("0", "2")), [("cdi", 0, ["nvidia.com/gpu=0", "nvidia.com/gpu=2"], [])]),
        (GpuRequest("runtime", ("all",)), [("", -1, [], COMPUTE)]),
        (GpuRequest("runtime", ("1",)), [("", 0, ["1"], COMPUTE)]),
    ],
)
def test_device_requests(request_: GpuRequest | None, sdk: list[tuple[str, int, list[str], list[list[str]]]]) -> None:
    made = device_requests(request_)
    assert [(each["Driver"], each["Count"], each["DeviceIDs"], each["Capabilities"]) for each in made] == sdk


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


def test_build_has_the_proxy_as_argument_and_the_ca_as_secret() -> None:
    variant = images.variant("cpu")
    environment = {"HTTPS_PROXY": "http://proxy:3128", "HOME": "/root", "no_proxy": ""}
    order = images.plan(variant, Path("/uv"), environment, Path("/ca.pem"))
    assert order.arguments == {"BASE": "debian:bookworm-slim", "LOCK": variant.lock, "HTTPS_PROXY": "http://proxy:3128"}
    assert order.secrets == {"ca": Path("/ca.pem")}
    assert order.labels["org.kit.lock"] == f"sha256:{hashlib.sha256(variant.lock_file.read_bytes()).hexdigest()}"
    assert "/ca.pem" not in "".join(order.arguments.values()) + "".join(order.labels.values())


@pytest.mark.engine
def test_build_command_names_everything_of_the_plan(engine: object) -> None:
    command = build_command(images.plan(images.variant("gpu"), Path("/uv"), {}, Path("/ca.pem")), Path("/id"))
    assert {"--load", "id=ca,src=/ca.pem", "uv=/uv", "LOCK=locks/2.21-gpu.txt"} <= set(command)


@pytest.mark.parametrize("variant", images.variants(), ids=lambda variant: variant.name)
def test_locks_hold_what_was_asked_for_with_hashes(variant: images.Variant) -> None:
    lock = variant.lock_file.read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", lock, re.MULTILINE))
    for line in (variant.folder / variant.requirements).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)(?:\[.*\])?==(\S+)", line):
            assert pinned[match[1]] == match[2]
    for block in re.split(r"\n(?=[a-z])", lock.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_failed_build_shows_its_last_useful_lines() -> None:
    log = "#9 [packages 1/2] RUN uv pip install\n#9 0.512 error: No space left on device (os error 28)\n#9 ERROR: exit code: 2\n------\n > [packages 1/2]:\n"
    assert images.useful_lines(log)[-2:] == ["error: No space left on device (os error 28)", "ERROR: exit code: 2"]


def test_owner_of_a_container_lives_as_long_as_its_process() -> None:
    mine = owner()
    boot, pid, start = mine.split("/")
    assert owner_lives(mine, running=True)
    assert not owner_lives(f"{boot}/{pid}/{int(start) + 1}", running=True), "the id is another process's by now"
    assert owner_lives(f"other-boot/{pid}/{start}", running=True), "another machine's is not ours to end"
    assert not owner_lives(f"other-boot/{pid}/{start}", running=False)


def test_memory_limit_is_three_quarters_of_the_machine() -> None:
    assert workloads.memory_limit("MemTotal:       24617232 kB\nMemFree: 1 kB\n") == 24617232 * 768


def test_ca_bundle_is_the_environments_or_the_systems(tmp_path: Path) -> None:
    own = tmp_path / "ca.pem"
    own.write_text("x")
    assert images.ca_bundle({"SSL_CERT_FILE": "/nowhere", "REQUESTS_CA_BUNDLE": str(own)}) == own
    assert images.ca_bundle({}) == (images.SYSTEM_CA if images.SYSTEM_CA.is_file() else None)


def test_run_as_root_of_a_rootless_engine_is_the_caller() -> None:
    rootless = machine(0, Engine(version="26.1", rootless=True))
    options = workloads.Options()
    place = workloads.Place(image=images.variant("cpu"))
    order = workloads.plan(workloads.workload("side_effects"), options, Path("/out"), place, rootless, 1 << 30)
    assert order.user == "0:0"
    assert workloads.plan(
        workloads.workload("side_effects"), options, Path("/out"), place, machine(0), 1 << 30
    ).user == (f"{os.environ.get('SUDO_UID', os.getuid())}:{os.environ.get('SUDO_GID', os.getgid())}")
