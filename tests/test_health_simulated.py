"""The NVML probe over simulated GPUs, run for real in a child: the readings come, and the health checks judge them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.simgpu import machine as simgpu
from toolkit import checks, facts, faults, paths
from toolkit.host import Host, live
from toolkit.model import NotAsked, Value

A100 = simgpu.A100


def probe(folder: Path, *gpus: simgpu.Gpu, rules: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the probe prints on a machine with these GPUs."""
    libraries = simgpu.compile(paths.cache() / "simgpu")
    root = simgpu.sysroot(simgpu.Machine(gpus=gpus, rules=rules), folder / "root")
    done = subprocess.run(
        [sys.executable, "-m", "toolkit.host.nvml"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, **simgpu.host_env(libraries, root)},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def findings(nvml: Any) -> list[tuple[str, str]]:
    """Return id and severity of what the rung nvml finds where NVML alone was asked, the processes known."""
    said = {"nvml": nvml, "file:/proc/modules": "nvidia 54308864 2 nvidia_uvm, Live 0x0000000000000000 (POE)\n"}
    who = {"user": "alice", "command": "python3", "seconds": 7300}

    def answer(key: str) -> Value | NotAsked:
        if key in said:
            return Value(said[key])
        return Value(who) if key.startswith("process:") else NotAsked("not asked")

    known = facts.collect(Host(answer))
    rule = next(rule for rule in checks.rules() if rule.rung == "nvml")
    found = []
    for check in rule.checks:
        try:
            result = check(known)
        except facts.UnknownFactError:
            continue
        found += result if isinstance(result, list) else [result] if result else []
    assert all(each.cause and each.fix and each.evidence for each in found)
    return [(each.id, each.severity) for each in found]


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (A100, []),
        (simgpu.RTX_3090, []),
        (simgpu.T4, []),
        (A100.having(throttle=0x4, power_mw=399_000, utilization=100), []),
        (A100.having(temperature=91, throttle=0x48), [("gpu-thermal-throttling", "warning")]),
        (A100.having(throttle=0x20, temperature=85), [("gpu-thermal-throttling", "warning")]),
        (A100.having(throttle=0x88), [("gpu-power-throttling", "warning")]),
        (simgpu.RTX_3090.having(fan=0, temperature=45), []),
        (simgpu.RTX_3090.having(fan=0, temperature=92, throttle=0x48), [("gpu-fan-failed", "warning")]),
        (A100.having(ecc_uncorrectable=3), [("ecc-error", "error")]),
        (A100.having(remap_uncorrectable=1, remap_pending=1), [("ecc-error", "warning")]),
        (A100.having(remap_failed=1), [("ecc-error", "error")]),
        (A100.having(compute_mode=2), [("compute-mode-prohibited", "error")]),
        (A100.having(compute_mode=3), []),
        (A100.having(compute_mode=3, process="4242:900", used_mib=900), [("gpu-exclusive-in-use", "warning")]),
        (A100.having(process="4242:38000", used_mib=38_000), [("gpu-memory-held", "warning")]),
        (A100.having(used_mib=30_000), [("gpu-memory-orphaned", "warning")]),
    ],
    ids=str,
)
def test_a_simulated_gpu_gets_its_findings(gpu: simgpu.Gpu, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    assert findings(probe(tmp_path, simgpu.A100, gpu)) == expected


def test_readings_come_with_their_units(tmp_path: Path) -> None:
    gpu = A100.having(temperature=77, power_mw=123_000, process="4242:100", used_mib=100, fan=40, ecc_uncorrectable=2)
    (described,) = probe(tmp_path, gpu)["gpus"]
    health = described["health"]
    assert (health["temperature_celsius"], health["power_milliwatts"], health["fan_percent"]) == (77, 123_000, 40)
    assert health["memory_used_bytes"] == 100 << 20
    assert health["processes"] == [{"pid": 4242, "memory_bytes": 100 << 20}]
    assert health["ecc_uncorrected"] == 2
    assert health["errors"] == {}
    assert health["slowdown_celsius"] is None, "a function that the library lacks is no reading, and no error"


def test_one_failing_reading_costs_no_other(tmp_path: Path) -> None:
    answer = probe(tmp_path, A100, rules=("fault nvmlDeviceGetFanSpeed = 999", "fault nvmlDeviceGetEccMode = 3"))
    (described,) = answer["gpus"]
    assert described["health"]["errors"] == {"fan_percent": "NVML_ERROR_UNKNOWN"}
    assert described["health"]["temperature_celsius"] == 33
    assert findings(answer) == [("gpu-fan-failed", "warning")]


def test_a_gpu_that_is_lost_while_it_is_read(tmp_path: Path) -> None:
    answer = probe(tmp_path, A100, A100, rules=("fault nvmlDeviceGetTemperature@1 = 15",))
    assert [gpu["health"]["errors"] for gpu in answer["gpus"]] == [
        {},
        {"temperature_celsius": "NVML_ERROR_GPU_IS_LOST"},
    ]
    assert findings(answer) == [("gpu-fell-off-bus", "error")]


ROWS: dict[str, dict[str, str]] = json.loads((Path(checks.__file__).with_name("nvml_errors.json")).read_text("utf-8"))


def test_every_code_of_nvml_has_its_row() -> None:
    import pynvml

    codes = {name for name in dir(pynvml) if name.startswith("NVML_ERROR_") and isinstance(getattr(pynvml, name), int)}
    assert codes == set(ROWS) - {"probe"}
    assert all(row["fault"] in faults.vocabulary() and row["cause"] and row["source"] for row in ROWS.values())


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"probe", "NVML_ERROR_LIBRARY_NOT_FOUND"}))
def test_nvml_codes_one_by_one(name: str, tmp_path: Path) -> None:
    import pynvml

    answer = probe(tmp_path, A100, rules=(f"fault nvmlInit = {getattr(pynvml, name)}",))
    assert answer == {"error": name}
    assert findings(answer) == [(ROWS[name]["fault"], "error")]


def test_the_use_of_gpus_comes_line_by_line_for_as_long_as_it_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = simgpu.compile(paths.cache() / "simgpu")
    gpus = (A100.having(utilization=70), A100.having(used_mib=4 << 10), A100)
    lost = "fault nvmlDeviceGetHandleByIndex@2 = 15"
    root = simgpu.sysroot(simgpu.Machine(gpus=gpus, rules=(lost,)), tmp_path / "root")
    for name, value in simgpu.host_env(libraries, root).items():
        monkeypatch.setenv(name, value)
    told: list[list[dict[str, Any]]] = []
    two = threading.Event()

    def on_use(uses: list[dict[str, Any]]) -> None:
        told.append(uses)
        if len(told) == 2:
            two.set()

    with live.gpu_use(on_use, seconds=0.01):
        assert two.wait(30)
    came = len(told)
    first, second, third = told[0]
    assert (first["utilization"], first["memory_total_bytes"]) == (0.7, A100.memory_mib << 20)
    assert second["memory_bytes"] == 4 << 30
    assert third == {"index": 2, "memory_bytes": None, "memory_total_bytes": None, "utilization": None}
    assert len(told) == came


def test_xids_have_meaning_kind_action_and_source() -> None:
    from toolkit.checks import xid

    assert {"13", "31", "43", "45", "48", "63", "64", "74", "79", "94", "95", "119", "154"} < set(xid.XIDS)
    assert all(row["meaning"] and row["action"] and row["source"] for row in xid.XIDS.values())
    assert {row["kind"] for row in xid.XIDS.values()} == {*xid.KINDS, "note", "recovery"} - {"undocumented"}


def test_the_kernel_log_comes_from_dmesg_else_from_the_journal_else_is_unknown() -> None:
    from toolkit.host import proc
    from toolkit.model import Answer, Failed

    xid = "[    1.5] NVRM: Xid (PCI:0000:07:00): 31, Ch 1"
    refused = Value({"code": 1, "stdout": "", "stderr": "dmesg: read kernel buffer failed: Operation not permitted\n"})

    def read(dmesg: Answer, journal: Answer) -> Answer:
        return proc.kernel_log(lambda command: dmesg if command == "dmesg" else journal, "NVRM: Xid")

    def said(code: int, stdout: str, stderr: str = "") -> Value:
        return Value({"code": code, "stdout": stdout, "stderr": stderr})

    noise = "[ 0.1] usb 1-1: SerialNumber: X\n[ 0.2] NVRM: GPU Board Serial Number: 165\n"
    assert read(said(0, noise + xid), refused) == Value(xid)
    assert read(said(0, noise), refused) == Value("")
    assert read(refused, said(0, f"{xid}\n")) == Value(xid)
    assert read(refused, said(1, "-- No entries --\n")) == Value("")
    hint = "Hint: You are currently not seeing messages from other users and the system.\n"
    assert isinstance(read(refused, said(1, "-- No entries --\n", hint)), Failed)
    assert isinstance(read(refused, said(1, "-- No entries --\n", "No journal files were found.\n")), Failed)
    assert isinstance(read(refused, said(1, "", "Compiled without pattern matching support\n")), Failed)


def test_a_process_is_told_by_name_user_and_age_and_by_what_it_holds(tmp_path: Path) -> None:
    held = tmp_path / "nvidia-uvm"
    held.touch()
    with held.open() as file:
        child = subprocess.Popen(["sleep", "30"], stdin=file)
        try:
            time.sleep(0.1)
            host = live.host()
            process, holders = host.ask(f"process:{child.pid}"), host.ask(f"holders:{tmp_path}")
        finally:
            child.kill()
            child.wait()
    assert isinstance(process, Value)
    assert isinstance(holders, Value)
    assert process.data["command"] == "sleep"
    assert 0 <= process.data["seconds"] < 30
    mine = [each for each in holders.data["holders"] if each["pid"] == child.pid]
    assert [each["files"] for each in mine] == [[str(held)]]
