"""kit run workload on a real engine with real TensorFlow, and on the local one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from toolkit import runs
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import variants

KIT = str(Path(sys.executable).with_name("kit"))
SECONDS = 300


def run_workload(*arguments: str, out: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [KIT, "run", "workload", "--json", "--out", str(out), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["status"] == "succeeded" else 1), done.stderr
    result: dict[str, Any] = document
    return result


def containers(engine: Docker, out: Path) -> list[Any]:
    """Return the containers of the runs in a folder; other tests have theirs."""
    found: list[Any] = engine._client.containers.list(all=True, filters={"label": "org.kit.run"}, ignore_removed=True)
    return [each for each in found if (out / each.labels["org.kit.run"]).exists()]


def started(arguments: list[str], wait_for: str) -> subprocess.Popen[str]:
    """Start kit and return it once its output says that the run has come so far."""
    kit = subprocess.Popen(
        [KIT, "run", "workload", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert kit.stdout
    for line in kit.stdout:
        if wait_for in line:
            return kit
    raise AssertionError("kit ended first")


@pytest.mark.engine
@pytest.mark.image
def test_a_folder_is_all_that_a_workload_takes(cpu_image: variants.Variant, tmp_path: Path) -> None:
    own = tmp_path / "own" / "coins"
    own.mkdir(parents=True)
    (own / "workload.toml").write_text('title = "Heads or tails"\nentry = "coins.py"\nbest_accuracy = 1.0\n')
    (own / "coins.py").write_text(
        "import keras, lesson, numpy, sys\n"
        "def data(seed):\n"
        "    y = numpy.random.default_rng(seed).integers(0, 2, 500)\n"
        "    x = y[:, None] * 2.0 - 1\n"
        "    return lesson.Data(x[:400], y[:400], (x[400:], y[400:]), 2, 'coins')\n"
        "def model(device):\n"
        "    net = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(2, 'softmax')])\n"
        "    net.compile(keras.optimizers.SGD(1.0), 'sparse_categorical_crossentropy', metrics=['accuracy'])\n"
        "    return net\n"
        "sys.exit(lesson.run(__doc__, data, model))\n"
    )
    record = run_workload("coins", "--workloads", str(own.parent), "--epochs", "2", "--gpus", "none", out=tmp_path)
    assert (record["workload"], record["results"]["val_accuracy"]) == ("coins", 1.0)
    listed = subprocess.run(
        [KIT, "run", "workload", "--list", "--json", "--workloads", str(own.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [each["name"] for each in json.loads(listed.stdout)["workloads"]]
    assert names == ["shapes", "side_effects", "coins"]


@pytest.mark.engine
@pytest.mark.image
def test_pictures_are_told_apart_after_augmentation(cpu_image: variants.Variant, tmp_path: Path) -> None:
    record = run_workload("shapes", "--epochs", "3", "--batch-size", "32", "--gpus", "none", out=tmp_path)
    assert record["results"]["val_accuracy"] > 0.6
    assert sum(map(sum, record["results"]["confusion_matrix"])) == 300


@pytest.mark.engine
@pytest.mark.image
def test_packaged_workload_in_a_container(cpu_image: variants.Variant, engine: Docker, tmp_path: Path) -> None:
    record = run_workload("--gpus", "none", out=tmp_path)
    assert record["engine"] == "docker"
    assert record["image"] == cpu_image.tag
    assert record["results"]["val_accuracy"] >= 0.90
    assert sum(map(sum, record["results"]["confusion_matrix"])) == 210
    assert (record["results"]["steps"], record["results"]["epochs"]) == (30 * 189, 30)
    assert record["gpus"]["tensorflow"] == 0
    assert record["device"] == "cpu"
    assert all(record["seconds"][name] > 0 for name in ("total", "start", "import", "data", "compile", "train", "save"))
    folder = tmp_path / record["run_id"]
    documented = {name for names in re.findall(r"^- ([^:]+):", runs.__doc__ or "", re.M) for name in names.split(", ")}
    assert set(record["artifacts"]) == documented - {"predictions.csv"}
    assert json.loads((folder / "result.json").read_text()) == record
    assert {file.stat().st_uid for file in folder.iterdir()} == {os.getuid()}
    assert containers(engine, tmp_path) == []


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as sudo does")
def test_under_sudo_everything_is_the_callers(cpu_image: variants.Variant, tmp_path: Path) -> None:
    out = tmp_path / "new" / "runs"
    record = run_workload("--gpus", "none", "--epochs", "1", out=out, SUDO_UID="4242", SUDO_GID="4243")
    assert record["status"] == "succeeded"
    made = [tmp_path / "new", out, out / record["run_id"], *map(Path, record["artifacts"].values())]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4242, 4243)}


@pytest.mark.engine
@pytest.mark.image
def test_a_seed_repeats_the_run_exactly(cpu_image: variants.Variant, tmp_path: Path) -> None:
    first, again = (
        run_workload("--gpus", "none", "--epochs", "2", "--seed", "7", out=tmp_path)["results"] for _ in range(2)
    )
    assert [first[name] for name in ("loss", "val_loss")] == [again[name] for name in ("loss", "val_loss")]


@pytest.mark.engine
@pytest.mark.image
def test_interrupt_stops_the_container_and_leaves_a_record(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    kit = started(["--gpus", "none", "--epochs", "5000", "--out", str(tmp_path)], "epoch   1/")
    kit.send_signal(signal.SIGINT)
    kit.communicate(timeout=SECONDS)
    assert kit.returncode == 1
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert containers(engine, tmp_path) == []


@pytest.mark.engine
@pytest.mark.image
def test_the_next_run_removes_what_a_killed_kit_left(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    kit = started(["--gpus", "none", "--epochs", "5000", "--out", str(tmp_path)], "epoch   1/")
    kit.kill()
    kit.communicate(timeout=SECONDS)
    assert len(containers(engine, tmp_path)) == 1
    run_workload("--gpus", "none", "--epochs", "1", out=tmp_path)
    assert containers(engine, tmp_path) == []


@pytest.mark.engine
@pytest.mark.image
def test_inside_there_is_no_privilege_no_network_and_no_root_to_write(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    code = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def works(action):
    try: action()
    except OSError: return False
    return True
print(json.dumps({
    "caps": int(status["CapEff"], 16), "bounding": int(status["CapBnd"], 16), "no_new_privs": int(status["NoNewPrivs"]),
    "uid": os.getuid(), "init": os.getppid() == 1, "interfaces": [name for _, name in socket.if_nameindex()],
    "writes": {path: works(lambda: open(path + "/x", "w")) for path in ("/", "/home/kit", "/opt/venv", "/tmp", "/out", "/in")},
}))
"""
    tmp_path.chmod(0o777)
    lines: list[str] = []
    order = RunPlan(
        ("python", "-c", code),
        {},
        (Mount(tmp_path, "/out", read_only=False), Mount(tmp_path, "/in")),
        image=cpu_image.tag,
        user="4242:4242",
        limits=Limits(1 << 30),
    )
    ended = engine.run(order, lambda _, line: lines.append(line))
    assert ended.code == 0, lines
    seen = json.loads(lines[-1])
    assert seen == {
        "caps": 0,
        "bounding": 0,
        "no_new_privs": 1,
        "uid": 4242,
        "init": True,
        "interfaces": ["lo"],
        "writes": {"/": False, "/home/kit": False, "/opt/venv": False, "/tmp": True, "/out": True, "/in": False},
    }


@pytest.mark.engine
@pytest.mark.image
def test_memory_limit_is_named_when_it_kills(cpu_image: variants.Variant, engine: Docker) -> None:
    order = RunPlan(
        ("python", "-c", "x = b'1' * (1 << 30)"), {}, image=cpu_image.tag, user="1000:1000", limits=Limits(64 << 20)
    )
    assert engine.run(order, lambda *_: None).out_of_memory


def test_local_engine_runs_the_same_lock_and_says_so(tmp_path: Path) -> None:
    nowhere = "unix:///nowhere/docker.sock"
    record = run_workload("--epochs", "2", out=tmp_path, DOCKER_HOST=nowhere)
    assert record["status"] == "succeeded"
    assert (record["engine"], record["image"]) == ("local", None)
    assert record["versions"]["tensorflow"] == variants.variant("cpu").tensorflow
    assert "no container was used" in record["notes"][0]
    assert "make engine" in record["notes"][0]


def test_local_engine_is_interrupted_too(tmp_path: Path) -> None:
    kit = started(["--engine", "local", "--epochs", "5000", "--out", str(tmp_path)], "epoch   1/")
    kit.send_signal(signal.SIGTERM)
    kit.communicate(timeout=SECONDS)
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    time.sleep(0.1)
    assert subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False).returncode == 1
