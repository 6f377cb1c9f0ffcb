"""What images are made from: variants, their locks, the plan of a build, and which one a machine gets."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from toolkit.compat import tables
from toolkit.engine.docker import build_command
from toolkit.engine.downloads import network
from toolkit.facts import Facts, collect, platform
from toolkit.facts.driver import Nvml, NvmlGpu, nvml
from toolkit.facts.engine import Engine, state
from toolkit.host import Host, capture
from toolkit.images import locks, variants
from toolkit.images.choice import choose, fitting
from toolkit.images.plan import Sources, inputs_digest, locked_versions, plan
from toolkit.images.sources import Options, checked
from toolkit.model import NotAsked, UsageError

ROWS = variants.variants()
NEWEST = ROWS[0].tensorflow
EXTRA_LOCKS = {row.extra_lock(extra): row for row in ROWS for extra in variants.extras_of(row).values()}


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
    ("arguments", "words"),
    [
        (("tpu",), "no variant 'tpu'; choose from gpu and cpu"),
        (("gpu", "2.9"), f"no gpu image of TensorFlow 2.9; choose from the gpu images of TensorFlow {NEWEST}, "),
        (("gpu", "two"), "no gpu image of TensorFlow two; choose from"),
        (("gpu", "2.21.0rc1"), "no gpu image of TensorFlow 2.21.0rc1; choose from"),
        (("gpu", "2"), "no gpu image of TensorFlow 2; choose from"),
        (("gpu", ""), "no gpu image of TensorFlow (nothing); choose from"),
        (
            ("gpu", "2.19", "newest"),
            f"no gpu image of TensorFlow 2.19 with the newest CUDA libraries; "
            f"choose from the gpu images of TensorFlow {NEWEST}, 2.20.0",
        ),
        (
            ("cpu", None, "newest"),
            f"no cpu image with the newest CUDA libraries; choose from the gpu images of TensorFlow {NEWEST}, 2.20.0",
        ),
        (("cpu", None, "tested", "x"), "no extra 'x'; choose from script, notebook"),
        (("cpu", None, "tested", ""), "no extra ''; choose from script, notebook"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        variants.variant(*arguments)


@pytest.mark.parametrize(
    ("tensorflow", "base", "words"),
    [
        ("2.15", "debian:trixie-slim", "has Python 3.13, and the packages of TensorFlow 2.15.1 are locked for Python 3.11"),
        ("2.15", "lab/old:1", "has Python 3.10, and the packages of TensorFlow 2.15.1 are locked for Python 3.11"),
        ("2.21", "", "--base: give an image's name"),
    ],
)  # fmt: skip
def test_a_base_that_no_lock_works_on_is_refused(
    monkeypatch: pytest.MonkeyPatch, tensorflow: str, base: str, words: str
) -> None:
    rows = [*variants.spec()["base"], {"name": "lab/old:1", "python": "3.10"}]
    monkeypatch.setitem(variants.spec(), "base", rows)
    with pytest.raises(UsageError, match=re.escape(words)):
        variants.on_base(variants.variant("cpu", tensorflow), base)


def test_every_base_of_the_table_takes_the_newest() -> None:
    for row in variants.spec()["base"]:
        assert row["python"] in variants.pythons(ROWS[0]), row["name"]


def test_a_base_is_part_of_the_tag() -> None:
    assert variants.on_base(variants.variant("cpu"), "registry.lab:5000/ubuntu:24.04").tag.endswith("-cpu-ubuntu24.04")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca": Path("/tmp")}, "--ca-bundle /tmp: give a file"),
        ({"ca": Path("/etc/passwd")}, "--ca-bundle /etc/passwd: give a file"),
        ({"ca": Path("/no/such")}, "--ca-bundle /no/such: give a file"),
        ({"wheelhouse": Path("/etc/passwd")}, "--wheelhouse /etc/passwd: give a folder"),
        ({"wheelhouse": Path("/no/such")}, "--wheelhouse /no/such: give a folder"),
        ({"debian_mirror": ""}, "--debian-mirror : give a URL"),
        ({"debian_mirror": "deb.debian.org"}, "--debian-mirror deb.debian.org: give a URL"),
    ],
)
def test_what_a_build_cannot_take_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        checked(Options(**options))


def test_what_a_build_can_take_is_taken(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("# of the lab\n-----BEGIN CERTIFICATE-----\n")
    options = Options(ca, tmp_path, debian_mirror="file:///srv/debian")
    assert checked(options) is options


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
    assert fitting(facts) == (choose(facts, "gpu" if facts(nvml).gpus else "cpu"), None)
    assert fitting(facts)[0].tag == f"kit/tensorflow:{tag}"


def test_what_cannot_work_is_refused_with_the_reason_unless_forced() -> None:
    old = machine("470.82.01", ("NVIDIA GeForce RTX 3090", "8.6"))
    for libraries in (None, "newest"):
        with pytest.raises(UsageError, match=r"cannot be used: no TensorFlow that kit builds .*525\.60\.13"):
            fitting(old, "gpu" if libraries is None else None, None, libraries)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--tf 2\.19 cannot work here: .*525\.60\.13.*--variant cpu, or --force"):
        fitting(old, None, "2.19")
    assert fitting(old, None, "2.19", force=True)[0].tag == "kit/tensorflow:2.19.1-gpu"
    assert fitting(old, force=True)[0].tag == f"kit/tensorflow:{NEWEST}-gpu"
    assert fitting(old, "cpu") == (variants.variant("cpu"), None)
    maxwell = machine("535.104.05", ("NVIDIA GeForce GTX 970", "5.2"))
    with pytest.raises(UsageError, match=r"take --tf 2\.16\.2, or --force"):
        choose(maxwell, "gpu", "2.21")
    with pytest.raises(UsageError, match=r"no gpu image of TensorFlow \(nothing\)"):
        fitting(old, tensorflow="", force=True)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("arm-server", "is built without CUDA"),
        ("jetson-orin-nano", "is built without CUDA"),
        ("driver-too-old-for-cuda", "470.256.02 is older than 525.60.13"),
        ("forward-compatibility-works", "470.256.02 is older than 525.60.13"),
        ("wsl2-driver-too-old", "516.94 is older than 527.41"),
        ("cdi-off", "the container engine has no way to hand them over"),
        ("cdi-healthy", None),
        ("no-gpu-physical", None),
    ],
)
def test_a_machine_whose_gpus_cannot_be_used_gets_the_cpu_image_and_the_reason(host: str, why: str | None) -> None:
    facts = collect(capture.replay(Path(__file__).parent / f"hosts/{host}.json"))
    each, note = fitting(facts)
    assert (note is None) == (why is None), note
    if why:
        assert each == variants.variant("cpu")
        assert why in str(note)
        assert "kit doctor" in str(note)


def test_without_gpus_an_image_is_for_another_machine() -> None:
    assert choose(machine("535.104.05"), "gpu").tag == f"kit/tensorflow:{NEWEST}-gpu"
