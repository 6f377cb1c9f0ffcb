"""The engine's facts: what keeps a daemon from starting, what a CDI spec names, and what the probe tells anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit import paths
from toolkit.facts import cdi, engine
from toolkit.host import Host, live
from toolkit.model import Absent, Answer, Unknown, Value

DOWN = {"docker:info": {"fault": "down", "text": "no answer", "Endpoint": "unix:///var/run/docker.sock"}}


def host(answers: dict[str, Any]) -> Host:
    def answer(key: str) -> Answer:
        return Value(answers[key]) if key in answers else Absent()

    return Host(answer)


@pytest.mark.parametrize(
    ("keys", "command", "duplicates"),
    [
        ('{"hosts": []}', "/usr/bin/dockerd -H fd://", ("hosts",)),
        ('{"insecure-registries": []}', "/usr/bin/dockerd --insecure-registry=a:5000", ("insecure-registries",)),
        ('{"log-driver": "json-file"}', "/usr/bin/dockerd -H fd:// --log-driver journald", ("log-driver",)),
        ('{"runtimes": {}}', "/usr/bin/dockerd --add-runtime nvidia=x", ("runtimes",)),
        ('{"dns": [], "debug": true}', "/usr/bin/dockerd -H fd://", ()),
    ],
)
def test_keys_that_the_unit_sets_too(keys: str, command: str, duplicates: tuple[str, ...]) -> None:
    unit = f"[Service]\nExecStart={command}\n"
    answers = {**DOWN, "file:/etc/docker/daemon.json": keys, "file:/usr/lib/systemd/system/docker.service": unit}
    config = engine.daemon_config(host(answers))
    assert not isinstance(config, Unknown)
    assert (config.error, config.duplicates) == (None, duplicates)


def test_the_folders_of_cdi_have_two_names() -> None:
    spec = json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all"}]})
    answers = {
        "docker:info": {"ServerVersion": "28.3.2", "CDISpecDirs": ["/etc/cdi", "/run/cdi"]},
        "list:/run/cdi": ["nvidia.json"],
        "list:/var/run/cdi": ["nvidia.json"],
        "file:/run/cdi/nvidia.json": spec,
        "file:/var/run/cdi/nvidia.json": spec,
    }
    specs = cdi.specs(host(answers))
    assert not isinstance(specs, Unknown)
    assert [(each.path, each.read_by_daemon) for each in specs] == [("/run/cdi/nvidia.json", True)]


def test_the_disk_is_measured(tmp_path: Path) -> None:
    answer = live.host().ask(f"disk:{tmp_path}")
    assert isinstance(answer, Value)
    assert 0 < answer.data["free_bytes"] <= answer.data["total_bytes"]
    assert isinstance(live.host().ask(f"disk:{tmp_path}/none"), Absent)


def test_the_probe_tells_which_driver_libraries_load(tmp_path: Path) -> None:
    probe = [sys.executable, str(paths.workloads() / "probe/run.py"), "--driver-libraries"]
    environment = {**os.environ, "PYTHONPATH": str(paths.workloads()), "LD_LIBRARY_PATH": str(tmp_path)}

    def told() -> dict[str, Any]:
        done = subprocess.run(probe, capture_output=True, text=True, check=True, env=environment, timeout=60)
        event: dict[str, Any] = json.loads(done.stdout)
        return event["driver_libraries"]  # type: ignore[no-any-return]

    if any(told().values()):
        pytest.skip("this machine has a driver")
    (tmp_path / "x.c").write_text("int x;\n")
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "x.c")], check=True)
    assert told() == {"libcuda.so.1": str(library), "libnvidia-ml.so.1": None}
