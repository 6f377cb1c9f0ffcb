"""What workloads/compute computed on the first GPU, against the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.host import Host
from toolkit.model import Absent, Failed, NotAsked, Unknown, Value


@dataclass(frozen=True, slots=True)
class Product:
    """One precision's matrix product: its largest error relative to the exact result, and what is allowed."""

    error: float
    tolerance: float
    repeatable: bool  # all runs agree bit by bit


@dataclass(frozen=True, slots=True)
class Compute:
    """The proof of one GPU; `error` is TensorFlow's own where nothing could be computed."""

    error: str | None
    products: dict[str, Product]  # by precision: float32, float16
    step_difference: float | None
    step_tolerance: float | None
    teraflops: dict[str, float]


def proof(host: Host) -> Compute | Unknown:
    """Return the proof, unknown where there was no GPU to compute on.

    Sample: {"event": {"matmul": {"float32": {"error": 2.8e-06, "tolerance": 4.3e-05, "repeatable": true}},
    "training_step": {"difference": 0.0, "tolerance": 2.1e-04}, "teraflops": {"float32": 18.1}, "error": null}}.
    """
    match host.ask("container:compute"):
        case Value({"event": dict(event)}):
            step = event["training_step"] or {}
            error = event["error"]
            return Compute(
                error=None if error is None else str(error),
                products={str(kind): _product(product) for kind, product in event["matmul"].items()},
                step_difference=float(step["difference"]) if step else None,
                step_tolerance=float(step["tolerance"]) if step else None,
                teraflops={str(kind): float(rate) for kind, rate in (event["teraflops"] or {}).items()},
            )
        case NotAsked(reason) | Failed(reason):  # the engine's trouble or a slow compilation is not the GPU's fault
            return Unknown(reason)
        case Absent():
            return Unknown("the image is not built: kit build --variant gpu")
    return Unknown("the answer of the proof is not understood")


def _product(told: dict[str, object]) -> Product:
    return Product(float(str(told["error"])), float(str(told["tolerance"])), bool(told["repeatable"]))
