"""Rung libraries on native Windows: Visual C++ runtime, CUDA 11.2 and cuDNN 8.1, steps two to four to TensorFlow 2.10."""

from __future__ import annotations

from toolkit.facts import Facts, windows
from toolkit.faults import finding
from toolkit.model import Evidence, Finding, RungName, Sentence

RUNG: RungName = "libraries"

REDISTRIBUTABLE = "https://aka.ms/vs/17/release/vc_redist.x64.exe"
# Source: https://www.tensorflow.org/install/source_windows, tested build configurations of tensorflow_gpu-2.10.0.
LAST_WITH_GPU, CUDNN = "2.10", "8.1"
CUDA_ARCHIVE = "https://developer.nvidia.com/cuda-11.2.2-download-archive"
CUDNN_ARCHIVE = "https://developer.nvidia.com/rdp/cudnn-archive"


def msvc_redist_missing(facts: Facts) -> Finding | None:
    """The Visual C++ redistributable is installed"""
    missing = facts(windows.redistributable_missing)
    if not missing or not (facts(windows.native_way) or _any_tensorflow(facts)):
        return None
    return finding(
        "msvc-redist-missing",
        f"{', '.join(missing)} of the Visual C++ redistributable is not there, and TensorFlow does not import without.",
        [Sentence(f"Install the x64 package: {REDISTRIBUTABLE}")],
        [Evidence(f"{windows.SYSTEM}/{name}", "absent") for name in missing],
    )


def windows_cuda_toolkit(facts: Facts) -> Finding | None:
    """CUDA 11's runtime is in a folder of PATH"""
    cuda = facts(windows.cuda)
    if cuda.cudart or not facts(windows.native_way):
        return None
    toolkits = ", ".join(cuda.toolkits) or "none"
    evidence = [
        Evidence("PATH", f"no folder with {windows.CUDART}"),
        Evidence(windows.TOOLKITS, f"toolkits: {toolkits}"),
        Evidence("CUDA_PATH", cuda.cuda_path or "not set"),
    ]
    if windows.CUDA in cuda.toolkits:
        place = f"{windows.TOOLKITS}/v{windows.CUDA}".replace("/", "\\")
        return finding(
            "cuda-libs-missing",
            f"CUDA {windows.CUDA} is installed, and no folder of PATH holds its {windows.CUDART}.",
            [
                Sentence(f"In the environment variables of Windows: CUDA_PATH={place}, and add {place}\\bin to PATH"),
                Sentence("Open a new terminal"),
            ],
            evidence,
        )
    return finding(
        "cuda-libs-missing",
        f"TensorFlow {LAST_WITH_GPU} needs CUDA {windows.CUDA}; installed: {toolkits}. Other versions do not take its place.",
        [
            Sentence(f"Install CUDA {windows.CUDA} beside what there is: {CUDA_ARCHIVE}"),
            Sentence("Open a new terminal"),
        ],
        evidence,
    )


def windows_cudnn(facts: Facts) -> Finding | None:
    """cuDNN 8, and the zlib that its later versions need, are in folders of PATH"""
    cuda = facts(windows.cuda)
    if not cuda.cudart or not facts(windows.native_way):
        return None
    if cuda.cudnn is None:
        return finding(
            "cudnn-missing",
            f"CUDA is on PATH and {windows.CUDNN} of cuDNN 8 is not: TensorFlow then registers no GPU at all.",
            [
                Sentence(f"Download cuDNN {CUDNN} for CUDA 11.2: {CUDNN_ARCHIVE}"),
                Sentence(f"Copy its bin, include and lib into the folder over {cuda.cudart}"),
            ],
            [Evidence("PATH", f"no folder with {windows.CUDNN}")],
        )
    if cuda.cudnn_version is None or cuda.cudnn_version < (8, 3) or cuda.zlib:
        return None
    version = ".".join(str(number) for number in cuda.cudnn_version)
    return finding(
        "cudnn-missing",
        f"cuDNN {version} needs {windows.ZLIB}, as all from 8.3 on, and no folder of PATH holds it.",
        [
            Sentence(
                f"Install cuDNN {CUDNN}, which TensorFlow {LAST_WITH_GPU} was built with, in its place: {CUDNN_ARCHIVE}"
            )
        ],
        [Evidence("cudnn_version.h", version), Evidence("PATH", f"no folder with {windows.ZLIB}")],
    )


def _any_tensorflow(facts: Facts) -> bool:
    installed = facts.maybe(windows.tensorflow)
    return bool(installed and installed.version)
