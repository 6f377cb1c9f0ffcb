"""The plan of a run: its command, mounts, GPUs and limits, from what the user asked and what the machine has."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from toolkit import paths
from toolkit.engine import local
from toolkit.engine.docker import Docker
from toolkit.engine.plan import LABEL, GpuRequest, Limits, Mount, RunPlan
from toolkit.facts import Facts, driver
from toolkit.images.machine import all_gpus, container_user, selinux
from toolkit.images.variants import Variant
from toolkit.model import KitError, UsageError
from toolkit.workloads import data
from toolkit.workloads.packaged import Workload

BACKENDS = ("tensorflow", "jax", "torch")
# The other backends that Keras has or had, and why no image has them.
# https://github.com/keras-team/keras/releases/tag/2.3.0 https://learn.microsoft.com/cognitive-toolkit/releasenotes/
NOT_BACKENDS = {
    "theano": "Theano's development ended in 2017, and Keras 2.3 of 2019 was the last that ran on it",
    "cntk": "CNTK ended with its release 2.7 of 2019, and Keras 2.3 of that year was the last that ran on it",
}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a run. `data` and what follows is of a table of the user's own: its file, target, features…"""

    epochs: int = 30
    batch_size: int = 10
    seed: int = 0
    device: str = "auto"
    gpus: str = "auto"
    input: str = "numpy"
    mixed_precision: bool = False
    deterministic: bool = False
    backend: str = "tensorflow"
    data: str | None = None
    target: str | None = None
    features: str | None = None  # separated by commas
    impute: str | None = None
    stream: bool = False
    data_sha256: str | None = None


def check_device(device: str) -> None:
    """Raise UsageError unless a device is one that --device takes."""
    if not re.fullmatch(r"auto|cpu|gpu(:\d+)?", device):
        raise UsageError(f"--device {device}: give auto, cpu, gpu, or one GPU as in gpu:1")


def checked(options: Options, work: Workload) -> Options:
    """Return the options of a workload's run as they are; UsageError where one has a value that cannot be."""
    check_device(options.device)
    if options.input not in work.inputs:
        raise UsageError(f"--input {options.input}: {work.name} takes {', '.join(work.inputs)}")
    if options.backend not in BACKENDS:
        why = f"{reason}; " if (reason := NOT_BACKENDS.get(options.backend)) else ""
        raise UsageError(f"--backend {options.backend}: {why}take {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    return options


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: in a container of an image, or by the Python of a local environment.

    `layer` is the tag of an image that has more packages than the variant.
    """

    engine: Docker | None = None
    image: Variant | None = None
    python: Path | None = None
    layer: str | None = None

    @property
    def tag(self) -> str | None:
        return self.layer or (self.image.tag if self.image else None)


def chosen_gpus(asked: str, there: tuple[int, ...]) -> tuple[int, ...]:
    """Return the indices that `--gpus auto|all|none|N|0,2` means on a machine with GPUs of these indices.

    Raises UsageError where the value is none of these, or asks for GPUs that are not there.
    """
    if asked == "all" and not there:
        raise UsageError("--gpus all: this machine has no GPU that its driver can use; kit doctor tells why")
    if asked in ("auto", "all"):
        return there
    if asked == "none":
        return ()
    parts = asked.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--gpus {asked}: give auto, all, none, a number of GPUs, or their indices as in 0,2")
    wanted = tuple(sorted({int(part) for part in parts})) if len(parts) > 1 else there[: int(asked)]
    if (len(parts) == 1 and int(asked) > len(there)) or any(index not in there for index in wanted):
        raise UsageError(f"--gpus {asked}: this machine has {len(there)} GPU(s); kit doctor shows them")
    return wanted


def gpu_request(asked: str, facts: Facts) -> GpuRequest | None:
    """Return what to ask the engine for; None for no GPU, as `auto` is where the engine cannot hand GPUs over.

    Raises UsageError as chosen_gpus does, KitError where GPUs were asked for that the engine cannot hand over.
    """
    there = gpu_indices(facts)
    wanted = chosen_gpus(asked, there)
    every = all_gpus(facts)
    if not wanted or (every is None and asked == "auto"):
        return None
    if every is None:
        raise KitError(f"--gpus {asked}: the container engine has no way to hand GPUs over; kit doctor tells why")
    return every if wanted == there else GpuRequest(every.way, tuple(map(str, wanted)))


def gpu_indices(facts: Facts) -> tuple[int, ...]:
    """Return the NVML indices of the GPUs that the host's driver can use; a lost one leaves a gap."""
    nvml = facts.maybe(driver.nvml)
    return tuple(gpu.index for gpu in nvml.gpus) if nvml else ()


def plan(
    work: Workload,
    options: Options,
    run_folder: Path,
    place: Place,
    facts: Facts,
    memory_bytes: int,
    *,
    resume: bool = False,
) -> RunPlan:
    """Return the process of a run at a place, as the caller, with what it may use.

    With `resume` it goes on from the checkpoint in its folder.
    """
    # The user's own modules come before kit's of the same names.
    roots = (
        {paths.workloads(): "/workloads", work.folder.parent: "/own"} if work.own else {paths.workloads(): "/workloads"}
    )
    environment = {**QUIET, "KERAS_BACKEND": options.backend}  # read when Keras is imported
    if place.image is None:
        assert place.python is not None
        return RunPlan(
            (
                str(place.python),
                str(work.folder / work.entry),
                *arguments(options, str(run_folder), options.data, resume),
            ),
            {
                **environment,
                "PYTHONPATH": ":".join(map(str, reversed(roots))),
                **_local_gpus(place.python, options.gpus, facts),
            },
        )
    root = roots[work.folder.parent]
    return RunPlan(
        command=(
            *("python", "/workloads/watched.py", f"{root}/{work.name}/{work.entry}"),
            *arguments(options, "/out", options.data and data.inside(options.data), resume),
        ),
        environment={**environment, "PYTHONPATH": ":".join(reversed(roots.values())), "HOME": "/tmp"},
        mounts=(
            *(Mount(*each) for each in roots.items()),
            *data.mount(options.data),
            Mount(run_folder, "/out", read_only=False),
        ),
        image=place.tag,
        user=container_user(facts),
        gpus=gpu_request(options.gpus, facts),
        limits=Limits(memory_bytes=memory_bytes),
        labels={f"{LABEL}.workload": work.name, f"{LABEL}.run": run_folder.name},
        selinux=selinux(facts),
    )


def arguments(options: Options, out: str, table: str | None, resume: bool) -> list[str]:
    """Return what a workload is told: every one takes these (workloads/runtime.py)."""
    told = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--seed", options.seed]
    told += ["--device", options.device, "--input", options.input, "--out", out]
    flags = {"--mixed-precision": options.mixed_precision, "--deterministic": options.deterministic}
    flags |= {"--stream": options.stream, "--resume": resume}
    own = {"--data": table, "--target": options.target, "--features": options.features, "--impute": options.impute}
    told += [f"{option}={value}" for option, value in own.items() if value]  # a column's name may begin with a dash
    return [*map(str, told), *(flag for flag, asked in flags.items() if asked)]


def _local_gpus(python: Path, asked: str, facts: Facts) -> dict[str, str]:
    """Return the environment that gives a local process its CUDA libraries, and the chosen GPUs alone."""
    folders = [local.library_path(python), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {"LD_LIBRARY_PATH": ":".join(filter(None, folders))}
    if asked not in ("auto", "all"):
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order, else the fastest card is first
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, chosen_gpus(asked, gpu_indices(facts)))) or "-1"
    return environment


def memory_limit(meminfo: str) -> int:
    """Return three quarters of the machine's memory in bytes. Sample of /proc/meminfo: 'MemTotal: 24617232 kB'."""
    total_kib = int(meminfo.split("MemTotal:")[1].split(maxsplit=1)[0])
    return total_kib * 1024 * 3 // 4
