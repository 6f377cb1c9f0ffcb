"""Measures kit's training loop and data against the plain tutorial's, in turn, in one container. `make bench-train`."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TURNS = 5
EPOCHS = 30
HIDDEN, STEPS = 4096, 20  # of the large model
SAMPLES = 10_000_000


def main() -> None:
    from toolkit import paths
    from toolkit.engine.docker import Docker, EngineError
    from toolkit.engine.plan import Limits, Mount, RunPlan
    from toolkit.images.variants import variant

    try:
        engine = Docker()
    except EngineError as error:
        print(f"training: not measured, {error}")
        return
    plan = RunPlan(
        command=("/bench/bench_train.py", "inside"),
        environment={"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": "/workloads"},
        mounts=(Mount(paths.workloads(), "/workloads"), Mount(Path(__file__).parent, "/bench")),
        image=variant("cpu").tag,
        entrypoint=("python",),
        user="1000:1000",
        limits=Limits(memory_bytes=8 << 30),
        deadline_seconds=900,
    )
    print(f"\ntraining and data in one container of {plan.image}: medians of {TURNS} processes each, in turn")
    log: list[str] = []
    ended = engine.run(plan, lambda stream, line: print(line) if stream == "stdout" else log.append(line))
    if ended.code:
        sys.exit("\n".join(log[-20:]))
    whole_runs(plan.image)


def whole_runs(image: str) -> None:
    """Print what kit run workload takes over a bare container that only imports TensorFlow and NumPy, and where it goes."""
    bare = ["docker", "run", "--rm", "--network=none", image, "python", "-c", "import tensorflow, numpy"]
    seconds: dict[str, list[float]] = {"kit": [], "bare": []}
    phases: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as out:
        kit = [str(Path(sys.executable).with_name("kit")), "run", "workload", "--engine=docker", "--gpus=none"]
        kit += [f"--out={out}", "--json"]
        for _ in range(TURNS):
            for who, command in (("bare", bare), ("kit", kit)):
                began = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds[who].append(time.perf_counter() - began)
                if who == "kit":
                    phases.append(json.loads(done.stdout)["seconds"])
    middle = {who: statistics.median(each) for who, each in seconds.items()}
    print(
        f"{'kit run workload, to its record (s)':52} kit {middle['kit']:11,.3f}   bare  {middle['bare']:11,.3f}   "
        f"{middle['kit'] - middle['bare']:.2f} s over a container that imports TensorFlow and NumPy"
    )
    spent = {name: statistics.median(each[name] for each in phases) for name in phases[0]}
    print("of these seconds, by its record: " + "  ".join(f"{name} {value:.2f}" for name, value in spent.items()))


def inside() -> None:
    seen: dict[str, list[dict[str, float]]] = {}
    for _ in range(TURNS):
        for what in MEASURED:
            command = [sys.executable, __file__, what]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seen.setdefault(what, []).append(json.loads(answer.splitlines()[-1]))

    def row(name: str, what: str, value: str, better: str = "less") -> None:
        kit, plain = (statistics.median(each[value] for each in seen[f"{who} {what}"]) for who in ("kit", "plain"))
        ratio = kit / plain if better == "more" else plain / kit
        print(f"{name:52} kit {kit:11,.3f}   plain {plain:11,.3f}   kit is {ratio:7.2f} times as fast", flush=True)

    row("steps a second, first epoch apart", "course", "steps_per_second", "more")
    row(f"{EPOCHS} epochs of 2,100, compilation included (s)", "course", "seconds")
    row(f"hidden {HIDDEN}, batch 10: a step, first epoch apart (ms)", "large", "step_ms")
    row(f"hidden {HIDDEN}, batch 10: 4 epochs of {STEPS} steps (s)", "large", "seconds")
    row(f"generate, shuffle and scale {SAMPLES:,} samples (s)", "data", "seconds")


def trained(by_kit: bool, hidden: tuple[int, int], count: int, epochs: int) -> dict[str, float]:
    import keras
    from side_effects.data import samples, scaled

    ages, y = samples(0)
    x, y = scaled(ages)[:count], y[:count]
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Dense(units, activation="relu") for units in hidden]
    net = keras.Sequential([keras.layers.Input((1,)), *inner, keras.layers.Dense(2, activation="softmax")])
    net.compile(keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    began = time.perf_counter()
    told = {"batch_size": 10, "epochs": epochs, "callbacks": [Clock()], "verbose": 0}
    if by_kit:
        from training import fit

        fit(net, x, y, seed=0, **told)
    else:
        net.fit(x, y, **told)
    step = (ends[-1] - ends[0]) / (epochs - 1) / (count // 10)
    return {"seconds": time.perf_counter() - began, "steps_per_second": 1 / step, "step_ms": 1e3 * step}


def data_by_kit() -> dict[str, float]:
    from side_effects.data import samples, scaled

    samples(0)  # NumPy loads its random numbers when they are first asked for
    began = time.perf_counter()
    scaled(samples(0, SAMPLES)[0])
    return {"seconds": time.perf_counter() - began}


def data_by_the_tutorial() -> dict[str, float]:
    import numpy as np
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.utils import shuffle

    began = time.perf_counter()
    ages, labels = [], []
    for _ in range(SAMPLES // 42):
        ages.append(random.randint(13, 64))
        labels.append(1)
        ages.append(random.randint(65, 100))
        labels.append(0)
    for _ in range(SAMPLES * 20 // 42):
        ages.append(random.randint(13, 64))
        labels.append(0)
        ages.append(random.randint(65, 100))
        labels.append(1)
    _, x = shuffle(np.array(labels), np.array(ages))
    MinMaxScaler(feature_range=(0, 1)).fit_transform(x.reshape(-1, 1))
    return {"seconds": time.perf_counter() - began}


MEASURED = {
    "kit course": lambda: trained(True, (16, 32), 2100, EPOCHS),
    "plain course": lambda: trained(False, (16, 32), 2100, EPOCHS),
    "kit large": lambda: trained(True, (HIDDEN, HIDDEN), 10 * STEPS, 4),
    "plain large": lambda: trained(False, (HIDDEN, HIDDEN), 10 * STEPS, 4),
    "kit data": data_by_kit,
    "plain data": data_by_the_tutorial,
}

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inside"]:
            inside()
        case [what]:
            print(json.dumps(MEASURED[what]()))
        case _:
            main()
