"""Runs at their limits: no memory, no room on the disk; and what every run leaves, read by others in a fresh process."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.test_run import KIT, SECONDS, run_workload
from toolkit import doctor, records
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import variants
from toolkit.model import Command, KitError
from toolkit.runs import folders, tensorboard
from toolkit.workloads.packaged import workload
from toolkit.workloads.plan import Options, Place
from toolkit.workloads.run import run

EPOCHS = 20
READ = """
import keras, numpy as np, tensorflow as tf
net = keras.models.load_model("/run/model.keras")
assert np.asarray(net(np.ones((1, 1)))).argmax() == 1, "people of 100 have side effects"
for event in tf.compat.v1.train.summary_iterator("/run/events.out.tfevents.kit"):
    for value in event.summary.value:
        print(value.tag, event.step, value.simple_value)
"""


@pytest.mark.engine
@pytest.mark.image
def test_what_a_run_leaves_is_read_in_a_fresh_process(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    record = run_workload("--gpus", "none", "--epochs", str(EPOCHS), out=tmp_path)
    assert {"metrics.csv", "model.keras", tensorboard.NAME} <= set(record["artifacts"])
    said: list[str] = []
    order = RunPlan(
        ("python", "-c", READ),
        {"HOME": "/tmp"},
        (Mount(tmp_path / record["run_id"], "/run"),),
        image=cpu_image.tag,
        limits=Limits(4 << 30),
    )
    ended = engine.run(order, lambda stream, line: said.append(line) if stream == "stdout" else None)
    assert (ended.code, len(said)) == (0, 4 * EPOCHS)
    told = {(tag, int(step)): float(value) for tag, step, value in map(str.split, said)}
    assert told["loss/validation", EPOCHS] == pytest.approx(record["results"]["val_loss"])
    assert told["accuracy/training", EPOCHS] == pytest.approx(record["results"]["accuracy"])


@pytest.mark.engine
@pytest.mark.image
def test_a_run_that_wants_too_much_memory_is_told_the_limit_and_its_peak(
    cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    limit = 200 << 20  # TensorFlow alone takes more
    work, options = workload("side_effects"), Options(epochs=1, gpus="none")
    folder, place = records.new_run(work.name, tmp_path), Place(engine, cpu_image)
    record = run(work, options, folder, doctor.this_machine(), place, lambda _: None, memory_bytes=limit)
    (found,) = record.findings
    assert (record.status, found.id) == ("failed", "host-out-of-memory")
    (told,) = [event for event in folders.events(folder.path) if event["event"] == "memory"]
    assert 0.9 * limit < told["peak_bytes"] <= limit
    assert f"may use, 0.21 GB; at its peak it had used {told['peak_bytes'] / 1e9:.2f} GB" in found.cause


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Give a function that makes a disk of so many bytes, or makes it larger, and returns where it is."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a disk")
    disk = tmp_path / "disk"

    def sized(size: int) -> Path:
        how = f"{'remount,' if disk.exists() else ''}size={size}"
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", str(disk)], check=True)
        return disk

    yield sized
    subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize(("room_kib", "checkpoint"), [(8, False), (50, None), (80, True)])
def test_a_disk_that_gets_full_leaves_a_checkpoint_that_loads_and_a_true_record(
    cpu_image: variants.Variant, small_disk: Callable[[int], Path], room_kib: int, checkpoint: bool | None
) -> None:
    out = small_disk(records.RESERVE_BYTES + (room_kib << 10))
    record = run_workload("--gpus", "none", "--epochs", str(EPOCHS), out=out)
    (found,) = record["findings"]
    assert (record["status"], found["id"]) == ("failed", "disk-full")
    folder = out / record["run_id"]
    assert json.loads((folder / "result.json").read_text()) == record
    assert all(Path(file).exists() for file in record["artifacts"].values())
    assert "model.keras" not in record["artifacts"]
    assert not [file for file in folder.iterdir() if file.name.startswith(".")], "what is not whole gives its room back"
    there = (folder / "checkpoint.npz").exists()
    assert checkpoint in (None, there), "the rooms shall meet moments before the first one and after the last"
    if there:
        with np.load(folder / "checkpoint.npz") as kept:
            assert 1 <= json.loads(kept["told"].tobytes())["epochs"] <= EPOCHS
    small_disk(64 << 20)
    go_on = shlex.split(Command(**found["fix"][1]).command)
    done = subprocess.run([KIT, *go_on[1:], "--json"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["epochs"] == EPOCHS


def test_a_disk_without_room_for_a_record_is_refused_before_the_run(small_disk: Callable[[int], Path]) -> None:
    out = small_disk(records.RESERVE_BYTES - 4096)
    with pytest.raises(KitError, match="No space left on device; choose another with --out"):
        records.new_run("side_effects", out)
    assert list(out.iterdir()) == []
