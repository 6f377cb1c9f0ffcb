"""Checks of the rung nvml: is each GPU sound, cool, at full clocks, and in a mode that lets CUDA use it?"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.checks import log_evidence
from toolkit.checks.steps import as_root, reset_gpu
from toolkit.facts import Facts, health, kernel_log, platform, processes
from toolkit.facts.health import GpuHealth
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence, Step

RUNG: RungName = "nvml"

REASONS = json.loads(Path(__file__).with_name("throttle_reasons.json").read_text(encoding="utf-8"))
IDLE = 1  # the bit of GpuIdle

NEAR_SLOWDOWN_CELSIUS, NEAR_SHUTDOWN_CELSIUS = 3, 8
# GeForce fans stand still up to about 60 °C by design; a card that is this hot has a fan that should turn.
FAN_NEEDED_CELSIUS = 75
EXCLUSIVE, PROHIBITED = 3, 2  # nvmlComputeMode_t
# nvmlDeviceGpuRecoveryAction_t, https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/error-recovery-and-response-flags.html
RECOVERY = {
    1: "a reset of the GPU",
    2: "a reboot",
    3: "an end of all peer-to-peer programs",
    4: "an end of all programs and a reset of the GPU",
    5: "a recovery of the IMEX domain",
    6: "a reset of its PCIe bus",
    7: "a reboot",
}
COOL = Sentence("Look at fans, dust, airflow and room temperature; in a server, at the fan mode in its BMC")


def ecc_error(facts: Facts) -> Finding | None:
    """No GPU has uncorrectable memory errors or memory waiting to be remapped"""
    faulty = [gpu for gpu in _gpus(facts) if gpu.memory_fault]
    if not faulty:
        return None
    pending_only = not any(gpu.remap_failed or (gpu.ecc_uncorrected and gpu.recovery_action != 0) for gpu in faulty)
    parts = [f"{gpu.title}: {_memory(gpu)}" for gpu in faulty]
    steps = [*reset_gpu(facts, [gpu.index for gpu in faulty])]
    if any(gpu.remap_failed for gpu in faulty):
        steps = [
            Sentence("Take the card out of use and have it replaced: a failed remapping is a reason for its return")
        ]
    else:
        steps.append(Sentence("If the errors come back, have the card replaced"))
    cause = f"{'; '.join(parts)}. Results since then may be wrong, and programs that touch that memory end."
    if pending_only:
        cause = f"{'; '.join(parts)}. Programs go on meanwhile; the bad memory is replaced at the next reset or reboot."
    evidence = [Evidence(f"NVML, GPU {gpu.index}", _memory(gpu)) for gpu in faulty]
    evidence += log_evidence.at(facts, {gpu.address for gpu in faulty})
    return finding("ecc-error", cause, steps, evidence, "warning" if pending_only else "error")


def gpu_reset_required(facts: Facts) -> Finding | None:
    """No GPU waits for a reset or a reboot"""
    logged = {xid.address for xid in facts.maybe(kernel_log.xids) or ()}
    waiting = [
        gpu for gpu in _gpus(facts) if gpu.recovery_action and not gpu.memory_fault and gpu.address not in logged
    ]
    if not waiting:
        return None
    wants = [f"{gpu.title} needs {RECOVERY.get(gpu.recovery_action or 0, 'a recovery')}" for gpu in waiting]
    reboot = any(gpu.recovery_action in (2, 7) for gpu in waiting)
    return finding(
        "gpu-reset-required",
        f"{'; '.join(wants)} before CUDA can use it again.",
        [as_root(facts, "reboot")] if reboot else reset_gpu(facts, [gpu.index for gpu in waiting]),
        [Evidence(f"NVML, GPU {gpu.index}", f"recovery action {gpu.recovery_action}") for gpu in waiting],
    )


def compute_mode_prohibited(facts: Facts) -> Finding | None:
    """No GPU's compute mode forbids CUDA"""
    shut = [gpu for gpu in _gpus(facts) if gpu.compute_mode == PROHIBITED]
    if not shut:
        return None
    return finding(
        "compute-mode-prohibited",
        f"{_titles(shut)} is in compute mode Prohibited: CUDA may not start there.",
        [as_root(facts, f"nvidia-smi -i {_indexes(shut)} -c DEFAULT")],
        [Evidence(f"NVML, GPU {gpu.index}", "compute mode 2, prohibited") for gpu in shut],
    )


def gpu_exclusive_in_use(facts: Facts) -> Finding | None:
    """No GPU in exclusive mode is taken"""
    running = facts.maybe(processes.by_gpu) or {}
    taken = [gpu for gpu in _gpus(facts) if gpu.compute_mode == EXCLUSIVE and running.get(gpu.index)]
    if not taken:
        return None
    holders = {gpu.index: running[gpu.index][0].title for gpu in taken}
    return finding(
        "gpu-exclusive-in-use",
        f"{_titles(taken)} is in compute mode Exclusive Process and taken: another program gets no CUDA there.",
        [
            Sentence(f"Wait for its end: {'; '.join(dict.fromkeys(holders.values()))}; or let programs share it:"),
            as_root(facts, f"nvidia-smi -i {_indexes(taken)} -c DEFAULT"),
        ],
        [Evidence(f"NVML, GPU {index}", f"compute mode 3, exclusive process: {who}") for index, who in holders.items()],
        "warning",
    )


def mig_without_instances(facts: Facts) -> Finding | None:
    """Every GPU in MIG mode has MIG devices"""
    empty = [gpu for gpu in _gpus(facts) if gpu.mig_mode and gpu.mig_devices == 0]
    if not empty:
        return None
    return finding(
        "mig-without-instances",
        f"{_titles(empty)} is in MIG mode and has no MIG device: CUDA sees nothing of it.",
        [
            Sentence("To use the whole card, switch MIG off:"),
            as_root(facts, f"nvidia-smi -i {_indexes(empty)} -mig 0"),
            Sentence(
                "To use parts of it instead, list the profiles with nvidia-smi mig -lgip and create some with -cgi ... -C"
            ),
        ],
        [Evidence(f"NVML, GPU {gpu.index}", "MIG mode 1, 0 MIG devices") for gpu in empty],
    )


def gpu_fan_failed(facts: Facts) -> Finding | None:
    """Every GPU's fan turns when it should"""
    failed = [gpu for gpu in _gpus(facts) if _fan(gpu)]
    if not failed:
        return None
    return finding(
        "gpu-fan-failed",
        f"{'; '.join(f'{gpu.title}: {_fan(gpu)}' for gpu in failed)}. The card will slow down and may shut itself off.",
        [
            Sentence("Stop heavy programs, switch the machine off and look whether the fan is blocked or unplugged"),
            Sentence("If a fan curve of a tool holds it at 0 %, set it to automatic"),
        ],
        [Evidence(f"NVML, GPU {gpu.index}", _fan(gpu)) for gpu in failed],
        "warning",
    )


def gpu_throttled(facts: Facts) -> list[Finding]:
    """No GPU's clocks are lowered by heat or by the power supply"""
    found = []
    slowed = [gpu for gpu in _gpus(facts) if not _fan(gpu)]  # a dead fan is the cause, and named
    for fault in dict.fromkeys(row["fault"] for row in REASONS if row["fault"]):
        hit = {gpu: rows for gpu in slowed if (rows := _reasons(gpu)) and _fault(rows) == fault}
        if hit:
            found.append(_throttled(facts, fault, hit))
    return found


def gpu_near_thermal_limit(facts: Facts) -> Finding | None:
    """Every GPU is well below the temperature at which it slows down"""
    hot = [gpu for gpu in _gpus(facts) if _limit(gpu) and not _fan(gpu) and not _reasons(gpu)]
    if not hot:
        return None
    return finding(
        "gpu-near-thermal-limit",
        f"{'; '.join(f'{gpu.title} is at {gpu.temperature_celsius} °C, {_limit(gpu)}' for gpu in hot)}.",
        [COOL],
        [Evidence(f"NVML, GPU {gpu.index}", f"{gpu.temperature_celsius} °C, {_limit(gpu)}") for gpu in hot],
        "warning",
    )


def persistence_mode_off(facts: Facts) -> Finding | None:
    """A server's GPUs stay initialised between programs"""
    machine = facts(platform.machine)
    off = [gpu for gpu in _gpus(facts) if gpu.persistence_mode == 0 and "GeForce" not in gpu.name]
    if not off or machine.wsl or not machine.systemd or facts(health.persistence_daemon):
        return None
    return finding(
        "persistence-mode-off",
        f"Persistence mode is off on {len(off)} GPU(s) and nvidia-persistenced does not run: the driver starts each GPU"
        " anew for every program, which costs seconds, and forgets settings such as power limits.",
        [
            as_root(facts, "systemctl enable --now nvidia-persistenced"),
            Sentence("Where there is no such service: nvidia-smi -pm 1 as root, again after each boot"),
        ],
        [Evidence("NVML", "persistence mode 0"), Evidence(health.PERSISTENCED.removeprefix("file:"), "absent")],
        "info",
    )


def _gpus(facts: Facts) -> tuple[GpuHealth, ...]:
    """Return the GPUs that can still be read: of a lost one the rung's own check speaks."""
    return tuple(gpu for gpu in facts(health.gpus) if not gpu.lost)


def _titles(gpus: list[GpuHealth]) -> str:
    return ", ".join(gpu.title for gpu in gpus)


def _indexes(gpus: list[GpuHealth]) -> str:
    return ",".join(str(gpu.index) for gpu in gpus)


def _memory(gpu: GpuHealth) -> str:
    """Return what NVML counts of memory errors, in words."""
    return ", ".join(
        text
        for counted, text in (
            (gpu.remap_failed, "a row remapping failed"),
            (gpu.ecc_uncorrected, f"uncorrectable errors since the driver was loaded: {gpu.ecc_uncorrected}"),
            (gpu.ecc_uncorrected_ever, f"uncorrectable errors ever: {gpu.ecc_uncorrected_ever}"),
            (gpu.remap_pending, "a row remapping waits for a reset"),
            (gpu.retirement_pending, "a page retirement waits for a reboot"),
        )
        if counted
    )


def _fan(gpu: GpuHealth) -> str:
    """Return what is wrong with the fan, an empty text where nothing is."""
    if error := dict(gpu.errors).get("fan_percent"):
        return f"the fan cannot be read ({error})"
    hot = (gpu.temperature_celsius or 0) >= FAN_NEEDED_CELSIUS
    return f"the fan is at 0 % at {gpu.temperature_celsius} °C" if gpu.fan_percent == 0 and hot else ""


def _reasons(gpu: GpuHealth) -> list[dict[str, str]]:
    """Return the rows of what slows a GPU's clocks down and should not; an idle card's low clocks are none of it."""
    mask = gpu.clocks_event_reasons or 0
    rows = [row for row in REASONS if row["fault"] and mask & row["bit"]]
    # The driver's bit alone at idle, and the hardware's alone during a change of clocks, come and go.
    return [] if mask & IDLE and {row["name"] for row in rows} <= {"SwThermalSlowdown", "HwSlowdown"} else rows


def _fault(rows: list[dict[str, str]]) -> str:
    """Return the fault that the reasons of one GPU come from: HwSlowdown says only that another one is there."""
    named = [row["fault"] for row in rows if row["name"] != "HwSlowdown"]
    return named[0] if named else rows[0]["fault"]


def _throttled(facts: Facts, fault: str, hit: dict[GpuHealth, list[dict[str, str]]]) -> Finding:
    texts = {gpu: "; ".join(row["meaning"] for row in rows if row["fault"] == fault) for gpu, rows in hit.items()}
    power: list[Step] = [
        Sentence("Check the power supply's size, its redundancy alarms in the BMC and the card's power cables"),
    ]
    return finding(
        fault,
        f"{'; '.join(f'{gpu.title}: {text} ({_state(gpu)})' for gpu, text in texts.items())}.",
        [COOL] if fault == "gpu-thermal-throttling" else power,
        [
            Evidence(
                f"NVML, GPU {gpu.index}",
                f"clocks event reasons {gpu.clocks_event_reasons:#x}: {', '.join(row['name'] for row in rows)}",
            )
            for gpu, rows in hit.items()
        ],
        "warning",
    )


def _state(gpu: GpuHealth) -> str:
    watts = [f"{each / 1000:.0f}" for each in (gpu.power_milliwatts, gpu.power_limit_milliwatts) if each is not None]
    celsius = f"{gpu.temperature_celsius} °C" if gpu.temperature_celsius is not None else ""
    return ", ".join(filter(None, (celsius, f"{' of '.join(watts)} W" if watts else ""))) or "now"


def _limit(gpu: GpuHealth) -> str:
    """Return which limit a GPU's temperature is near to, an empty text where it is near none or none is known."""
    if gpu.temperature_celsius is None:
        return ""
    if gpu.shutdown_celsius and gpu.temperature_celsius >= gpu.shutdown_celsius - NEAR_SHUTDOWN_CELSIUS:
        return f"and shuts itself off at {gpu.shutdown_celsius} °C"
    if gpu.slowdown_celsius and gpu.temperature_celsius >= gpu.slowdown_celsius - NEAR_SLOWDOWN_CELSIUS:
        return f"and slows down at {gpu.slowdown_celsius} °C"
    return ""
