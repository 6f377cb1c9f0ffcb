"""kit run workload --backend: the same workload on the backends of Keras, side by side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.test_run import KIT, run_workload
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import locks, variants
from toolkit.images.verify import verified
from toolkit.model import UsageError
from toolkit.workloads.packaged import workload
from toolkit.workloads.plan import Options, checked
from toolkit.workloads.start import with_backend


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("theano", "Theano's development ended in 2017, and Keras 2.3 of 2019 was the last"),
        ("cntk", "CNTK ended with its release 2.7 of 2019"),
        ("mxnet", "--backend mxnet: take tensorflow, jax or torch"),
    ],
)
def test_what_no_image_has_is_refused_with_the_reason_and_what_there_is(backend: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"{words}.*"):
        checked(Options(backend=backend), workload("side_effects"))
    done = subprocess.run(
        [KIT, "run", "workload", "--backend", backend], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.strip().endswith("take tensorflow, jax or torch")


@pytest.mark.parametrize(
    ("extra", "hardware", "tensorflow", "flavour", "words"),
    [
        ("jax", "cpu", "2.17", "tested", "the extra jax is for TensorFlow 2.18 and newer, and not for 2.17.1"),
        (
            "jax",
            "gpu",
            "2.21",
            "tested",
            "needs the newest CUDA libraries: take --libraries newest, with TensorFlow 2.21 or 2.20",
        ),
        ("torch", "cpu", "2.21", "tested", "take --variant gpu --libraries newest, with TensorFlow 2.21 or 2.20"),
    ],
)
def test_an_extra_that_a_variant_cannot_have_is_refused(
    extra: str, hardware: str, tensorflow: str, flavour: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        variants.variant(hardware, tensorflow, flavour, extra)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_gpus_a_backend_shares_the_cuda_libraries_and_has_its_plugin_in_its_own_version(backend: str) -> None:
    rows = [row for row in variants.variants() if row.hardware == "gpu" and backend in variants.extras_of(row)]
    assert [row.core for row in rows] == ["2.21-gpu-newest", "2.20-gpu-newest"]
    for row in rows:
        core, layer = (locks.versions(lock.read_text()) for lock in variants.with_extra(row, backend).locks)
        assert not set(core) & set(layer)
        assert "nvidia-cudnn-cu12" in core
        assert not [name for name in layer if name.startswith("nvidia-") and not name.endswith("-cu12")]
        if backend == "jax":
            assert layer["jax"] == layer["jax-cuda12-plugin"] == layer["jax-cuda12-pjrt"]


def test_a_backend_for_gpus_alone_comes_on_the_gpu_image_where_there_are_none() -> None:
    assert with_backend(variants.variant("cpu"), "torch").tag == "kit/tensorflow:2.21.0-gpu-newest-torch"
    assert with_backend(variants.variant("cpu", "2.20"), "jax").tag == "kit/tensorflow:2.20.0-cpu-jax"
    assert with_backend(variants.variant("gpu"), "jax").tag == "kit/tensorflow:2.21.0-gpu-newest-jax"


@pytest.mark.engine
@pytest.mark.image
def test_the_same_workload_side_by_side(
    jax_image: variants.Variant, cpu_image: variants.Variant, engine: Docker, tmp_path: Path
) -> None:
    proof = verified((engine.image(jax_image.tag) or {})["Id"])
    assert proof
    assert proof["training"]["backend"] == "jax"
    ours, other = (run_workload("--gpus", "none", "--backend", each, out=tmp_path) for each in ("tensorflow", "jax"))
    assert (ours["image"], other["image"]) == (cpu_image.tag, jax_image.tag)
    assert other["results"]["val_accuracy"] >= 0.90
    assert other["options"]["backend"] == "jax"
    assert other["gpus"] == {"host": ours["gpus"]["host"], "container": 0, "tensorflow": None, "jax": 0}
    assert other["versions"]["jax"] == locks.versions(jax_image.locks[-1].read_text())["jax"]
    assert "tensorflow" not in other["versions"]
    folders = [str(tmp_path / each["run_id"]) for each in (ours, other)]
    compared = subprocess.run(
        [KIT, "runs", "compare", *folders, "--json"], capture_output=True, text=True, check=True, timeout=60
    )
    document = json.loads(compared.stdout)
    assert "data" in document["same"], "the same seed gives the same samples"
    told = {(each["part"], each["name"]): (each["a"], each["b"]) for each in document["differences"]}
    assert told["options", "backend"] == ("tensorflow", "jax")
    assert told["versions", "jax"] == (None, other["versions"]["jax"])
    # Another process, of the other image and its own backend, reads what the run saved.
    code = "import keras; net = keras.models.load_model('/run/model.keras'); print(net.count_params())"
    said: list[str] = []
    order = RunPlan(
        ("python", "-c", code),
        {"HOME": "/tmp"},
        (Mount(Path(folders[1]), "/run"),),
        image=cpu_image.tag,
        limits=Limits(4 << 30),
    )
    ended = engine.run(order, lambda stream, line: said.append(line) if stream == "stdout" else None)
    assert (ended.code, said) == (0, ["642"])
