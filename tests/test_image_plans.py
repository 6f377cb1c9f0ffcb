"""What images are made from: variants, their locks, the plan of a build, and which one a machine gets."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from toolkit.compat import tables
from toolkit.engine.docker import build_command
from toolkit.engine.downloads import network
from toolkit.facts import Facts, platform
from toolkit.facts.driver import Nvml, NvmlGpu, nvml
from toolkit.facts.engine import Engine, state
from toolkit.host import Host
from toolkit.images import locks, variants
from toolkit.images.choice import choose
from toolkit.images.plan import Sources, inputs_digest, locked_versions, plan
from toolkit.model import NotAsked, UsageError

ROWS = variants.variants()
NEWEST = ROWS[0].tensorflow
EXTRA_LOCKS = {row.extra_lock(extra): row for row in ROWS for extra in variants.extras().values()}


def sources(**changes: object) -> Sources:
    plain = Sources(Path("/uv"), Path("/wheels"), Path("/debs"), "debian:bookworm-slim", "sha256:0")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


# --- variants --------------------------------------------------------------------------------------------------------


def test_rows_are_tensorflow_2_15_to_2_21_for_gpu_and_cpu() -> None:
    there = {(row.minor, row.hardware) for row in ROWS if row.flavour == "tested"}
    assert there == {(f"2.{minor}", hardware) for minor in range(15, 22) for hardware in ("gpu", "cpu")}
    assert len({row.tag for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.core)
def test_every_row_stands_on_a_base_whose_python_it_supports(row: variants.Variant) -> None:
    python = next(base["python"] for base in variants.spec()["base"] if base["name"] == row.base)
    known = tables.build(row.tensorflow)
    assert known
    assert known.tensorflow == row.tensorflow, "the newest patch of its minor version"
    assert python in known.python
    with pytest.raises(UsageError, match=r"Python 3\.10" if "3.10" not in known.python else "there is no"):
        variants.on_base(row, "ubuntu:22.04") if "3.10" not in known.python else variants.variant("gpu", "9.9")


@pytest.mark.parametrize(
    ("arguments", "tag"),
    [
        (("gpu",), f"kit/tensorflow:{NEWEST}-gpu"),
        (("cpu", "2.19"), "kit/tensorflow:2.19.1-cpu"),
        (("cpu", "2.19.1"), "kit/tensorflow:2.19.1-cpu"),
        (("gpu", "2.21", "newest"), "kit/tensorflow:2.21.0-gpu-newest"),
        (("gpu", None, "tested", "notebook"), f"kit/tensorflow:{NEWEST}-gpu-notebook"),
    ],
)
def test_tags(arguments: tuple[str, ...], tag: str) -> None:
    assert variants.variant(*arguments).tag == tag


@pytest.mark.parametrize(
    "arguments", [("tpu",), ("gpu", "2.9"), ("gpu", "two"), ("gpu", "2.19", "newest"), ("cpu", None, "tested", "x")]
)
def test_what_is_not_there_is_refused_with_what_is(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="choose from"):
        variants.variant(*arguments)


def test_a_base_is_part_of_the_tag_and_a_python_without_wheels_is_refused() -> None:
    assert variants.on_base(variants.variant("cpu"), "registry.lab:5000/ubuntu:24.04").tag.endswith("-cpu-ubuntu24.04")
    with pytest.raises(UsageError, match=r"Python 3\.13"):
        variants.on_base(variants.variant("cpu", "2.15"), "debian:trixie-slim")


# --- locks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.core)
def test_a_lock_holds_what_is_asked_for_and_the_metadata_admits(row: variants.Variant) -> None:
    pinned = locks.versions(row.lock_file.read_text(encoding="utf-8"))
    for line in locks.requirements(row):
        name = re.match(r"[a-z0-9-]+", line)
        assert name
        if "platform_machine !=" not in line:
            assert name[0] in pinned
        if (exact := re.search(r"==([\d.]+)", line)) and "platform_machine !=" not in line:
            assert pinned[name[0]] == exact[1]
    known = tables.build(row.tensorflow)
    assert known
    if row.hardware == "gpu":
        from packaging.specifiers import SpecifierSet

        assert all(SpecifierSet(pin).contains(pinned[package]) for package, pin in known.pins.items())


@pytest.mark.parametrize("lock", [*(row.lock_file for row in ROWS), *EXTRA_LOCKS], ids=lambda file: file.stem)
def test_every_file_of_a_lock_has_hashes(lock: Path) -> None:
    for block in re.split(r"\n(?=[a-z])", lock.read_text(encoding="utf-8").strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_no_lock_is_left_that_nothing_asks_for() -> None:
    assert {lock.file for lock in locks.locks()} == set(ROWS[0].lock_file.parent.iterdir())


@pytest.mark.parametrize("minor", sorted({row.minor for row in ROWS}))
def test_gpu_and_cpu_differ_in_tensorflow_and_cuda_alone(minor: str) -> None:
    gpu, cpu = (locks.versions((ROWS[0].folder / f"locks/{minor}-{each}.txt").read_text()) for each in ("gpu", "cpu"))
    differing = {name for name in {*gpu, *cpu} if gpu.get(name) != cpu.get(name)}
    assert all(name.startswith(("nvidia-", "tensorflow")) for name in differing), differing


@pytest.mark.parametrize("lock", EXTRA_LOCKS, ids=lambda file: file.stem)
def test_a_layer_leaves_out_what_is_below_it(lock: Path) -> None:
    row = EXTRA_LOCKS[lock]
    core = locks.versions(row.lock_file.read_text(encoding="utf-8"))
    assert not set(locks.versions(lock.read_text(encoding="utf-8"))) & set(core)


def test_tested_libraries_are_older_than_cudnn_9_11_which_dropped_pascal_and_volta() -> None:
    for row in ROWS:
        if row.hardware == "gpu" and row.flavour == "tested":
            cudnn = locked_versions(row)["cudnn"]
            assert tuple(map(int, cudnn.split(".")[:2])) < (9, 11)
    assert locked_versions(variants.variant("gpu"))["cuda"] == "12.5.82"


@pytest.mark.parametrize(
    ("pin", "version"), [("==12.3.107", "12.3.107"), ("<13.0,>=12.5.82", "12.5.82"), (">=9.3.0.75,<10.0", "9.3.0.75")]
)
def test_the_tested_version_is_the_lower_bound(pin: str, version: str) -> None:
    assert locks.lowest(pin) == version


# --- the plan --------------------------------------------------------------------------------------------------------


def test_what_is_secret_is_in_no_argument_and_no_label() -> None:
    environment = {
        "HTTPS_PROXY": "http://user:pass word@proxy:3128",
        "PIP_INDEX_URL": "https://me:token@pypi.lab/simple",
        "HOME": "/root",
        "no_proxy": "",
    }
    order = plan(variants.variant("cpu"), sources(environment=environment, ca=Path("/ca.pem")))
    assert order.secrets == {"ca": Path("/ca.pem")}
    assert order.secret_texts["network"] == (
        "export HTTPS_PROXY='http://user:pass word@proxy:3128'\n"
        "export UV_DEFAULT_INDEX=https://me:token@pypi.lab/simple\n"
    )
    seen = " ".join([*order.arguments.values(), *order.labels.values(), *build_command(order, ["--load"], "default")])
    assert not any(secret in seen for secret in ("pass word", "token", "proxy:3128"))


def test_uvs_own_index_wins_over_pips() -> None:
    assert network({"UV_INDEX_URL": "a", "PIP_INDEX_URL": "b"}) == {"UV_INDEX_URL": "a"}
    assert network({"PIP_EXTRA_INDEX_URL": "c", "DEBIAN_MIRROR": "d"}) == {"UV_INDEX": "c", "DEBIAN_MIRROR": "d"}


def test_a_build_is_told_its_stage_its_locks_and_its_time() -> None:
    notebook = variants.unslimmed(variants.variant("gpu", extra="notebook"))
    order = plan(
        notebook, sources(base="debian:bookworm-slim@sha256:1", revision="abc", kit_version="1", no_cache=True)
    )
    assert order.target == "notebook"
    assert order.arguments == {
        "BASE": "debian:bookworm-slim@sha256:1",
        "SOURCE_DATE_EPOCH": str(variants.spec()["epoch"]),
        "LOCK": "2.21-gpu.txt",
        "FULL": "1",
        "SCRIPT_LOCK": "2.21-script.txt",
        "NOTEBOOK_LOCK": "2.21-notebook.txt",
    }
    labels = order.labels
    assert (labels["org.opencontainers.image.revision"], labels["org.kit.kit"]) == ("abc", "1")
    assert labels["org.opencontainers.image.base.digest"] == "sha256:0"
    command = build_command(order, ["--load"], "default")
    assert {"--load", "--no-cache", "default", "uv=/uv", "wheels=/wheels", "notebook"} <= set(command)


def test_inputs_are_the_recipe_the_locks_and_the_base(tmp_path: Path) -> None:
    own = tmp_path / "tensorflow"
    shutil.copytree(ROWS[0].folder, own)
    each = dataclasses.replace(variants.variant("cpu"), folder=own)
    before = inputs_digest(each)
    assert before == inputs_digest(variants.variant("cpu")), "the same content elsewhere"
    for file in (own / "Dockerfile", own / "slim.sh", own / "start/kit_start.py", each.lock_file):
        text = file.read_text()
        file.write_text(text + "# changed\n")
        assert inputs_digest(each) != before, file.name
        file.write_text(text)
    (own / "README.md").write_text("other words")
    assert inputs_digest(each) == before
    others = [
        variants.unslimmed(each),
        variants.with_extra(each, "script"),
        variants.on_base(each, "debian:trixie-slim"),
    ]
    assert len({before, *map(inputs_digest, others)}) == 4


# --- the choice ------------------------------------------------------------------------------------------------------


def machine(driver: str, *cards: tuple[str, str]) -> Facts:
    found = tuple(
        NvmlGpu(index, name, f"GPU-{index}", f"0000:0{index}:00.0", capability, 16 << 30)
        for index, (name, capability) in enumerate(cards)
    )
    given = {
        nvml: Nvml(driver_version=driver, gpus=found),
        state: Engine(version="26.1", cdi_devices=("all",)),
        platform.machine: platform.Platform(
            "linux", "6.1", "x86_64", "debian", (), None, False, True, True, None, True
        ),
    }
    return Facts(Host(lambda _: NotAsked("")), given)


@pytest.mark.parametrize(
    ("facts", "tag"),
    [
        (machine("535.104.05", ("NVIDIA GeForce RTX 3090", "8.6")), "2.21.0-gpu"),
        (machine("580.95.05", ("NVIDIA H100 80GB HBM3", "9.0"), ("NVIDIA A100", "8.0")), "2.21.0-gpu"),
        (machine("580.95.05", ("NVIDIA GeForce RTX 5090", "12.0")), "2.21.0-gpu-newest"),  # no cuDNN code before 9.7
        (machine("580.95.05", ("Tesla V100-SXM2-16GB", "7.0")), "2.21.0-gpu"),  # never the newest cuDNN
        (machine("535.104.05", ("NVIDIA GeForce GTX 970", "5.2")), "2.16.2-gpu"),  # the last with code for Maxwell
        (machine("535.104.05"), "2.21.0-cpu"),
    ],
)
def test_a_machine_gets_the_newest_that_runs_natively_on_all_of_its_cards(facts: Facts, tag: str) -> None:
    assert choose(facts).tag == f"kit/tensorflow:{tag}"


def test_what_cannot_work_is_refused_with_the_reason_unless_forced() -> None:
    old = machine("470.82.01", ("NVIDIA GeForce RTX 3090", "8.6"))
    with pytest.raises(UsageError, match=r"525\.60\.13"):
        choose(old)
    with pytest.raises(UsageError, match=r"--tf 2\.19 cannot work here: .*525\.60\.13.*--force"):
        choose(old, "gpu", "2.19")
    assert choose(old, "gpu", "2.19", force=True).tag == "kit/tensorflow:2.19.1-gpu"
    assert choose(old, "cpu").hardware == "cpu"


def test_without_gpus_an_image_is_for_another_machine() -> None:
    assert choose(machine("535.104.05"), "gpu").tag == f"kit/tensorflow:{NEWEST}-gpu"
