"""What of CUDA works without a GPU: every library loads, and the compilers that cuDNN and XLA call compile."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(importlib.util.find_spec("nvidia").submodule_search_locations[0])  # type: ignore[union-attr,index]
KERNEL = b'extern "C" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }'


def library(stem: str) -> ctypes.CDLL:
    (file,) = (file for file in ROOT.glob(f"*/lib/{stem}.so.*") if ".alt." not in file.name)
    return ctypes.CDLL(str(file))


def version(stem: str, function: str) -> int:
    number = ctypes.c_int(0)
    assert getattr(library(stem), function)(ctypes.byref(number)) == 0
    return number.value


def test_every_library_of_nvidia_loads() -> None:
    files = [str(file) for file in ROOT.rglob("*.so*") if file.is_file() and file.open("rb").read(4) == b"\x7fELF"]
    assert len(files) > 20, files
    # NVSHMEM's transports and bootstraps are for machines with the network or the launcher that they are named by.
    files = [file for file in files if "nvshmem_transport" not in file and "nvshmem_bootstrap" not in file]
    code = "import ctypes, sys\nfor file in sys.argv[1:]:\n    ctypes.CDLL(file)\n"
    subprocess.run([sys.executable, "-c", code, *files], check=True, timeout=120)


def test_nccl_cupti_and_the_jit_linker_say_their_versions() -> None:
    assert version("libnccl", "ncclGetVersion") > 20_000
    number = ctypes.c_uint32(0)
    assert library("libcupti").cuptiGetVersion(ctypes.byref(number)) == 0
    assert number.value > 0
    major, minor = ctypes.c_uint(0), ctypes.c_uint(0)
    assert library("libnvJitLink").nvJitLinkVersion(ctypes.byref(major), ctypes.byref(minor)) == 0
    assert major.value == 12


def ptx(architecture: bytes) -> bytes:
    """Return what NVRTC makes of a kernel: the compiler that cuDNN's runtime-compiled engines call."""
    nvrtc = library("libnvrtc")
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), KERNEL, b"twice.cu", 0, None, None) == 0
    options = (ctypes.c_char_p * 1)(b"--gpu-architecture=" + architecture)
    code = nvrtc.nvrtcCompileProgram(program, 1, options)
    assert code == 0, f"nvrtcCompileProgram: {code}"
    assert nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetPTX(program, text) == 0
    return text.value


def test_nvrtc_and_ptxas_compile_a_kernel_for_every_card() -> None:
    (binaries,) = ROOT.glob("cuda_nvcc/bin")
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ("60", "70", "75", "80", "86", "89", "90"):
            made = ptx(f"compute_{architecture}".encode())
            assert b".entry twice" in made
            source, cubin = Path(folder, "twice.ptx"), Path(folder, f"twice{architecture}.cubin")
            source.write_bytes(made)
            command = [binaries / "ptxas", f"-arch=sm_{architecture}", "-c", source, "-o", cubin]
            subprocess.run([*map(str, command)], check=True, timeout=60)
            assert cubin.read_bytes()[:4] == b"\x7fELF"


def test_xla_finds_its_compiler_and_libdevice() -> None:
    (bitcode,) = ROOT.rglob("libdevice.10.bc")
    assert bitcode.read_bytes()[:2] == b"BC"
    from tensorflow.python.platform import sysconfig

    assert sysconfig.get_build_info()["is_cuda_build"]
    (ptxas,) = ROOT.rglob("bin/ptxas")
    assert os.access(ptxas, os.X_OK)
    assert re.search(rb"release 1\d\.", subprocess.run([ptxas, "--version"], capture_output=True, check=True).stdout)


def test_cudnn_makes_a_handle_as_far_as_it_can_without_a_gpu() -> None:
    code = (
        "import ctypes; d = ctypes.CDLL('libcudnn.so.9'); h = ctypes.c_void_p()\n"
        "d.cudnnGetErrorString.restype = ctypes.c_char_p\n"
        "status = d.cudnnCreate(ctypes.byref(h)); print(status, d.cudnnGetErrorString(status).decode())\n"
        "t = ctypes.c_void_p(); assert d.cudnnCreateTensorDescriptor(ctypes.byref(t)) == 0\n"
        "assert d.cudnnSetTensor4dDescriptor(t, 0, 0, 1, 3, 8, 8) == 0\n"
        "r = ctypes.c_void_p(); assert d.cudnnCreateRNNDescriptor(ctypes.byref(r)) == 0\n"
        "c = ctypes.c_void_p(); assert d.cudnnCreateConvolutionDescriptor(ctypes.byref(c)) == 0\n"
        "for name in ('Graph', 'Ops', 'Cnn', 'Adv'):\n"
        "    assert getattr(d, f'cudnn{name}VersionCheck')() == 0, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "CUDNN_STATUS" in done.stdout


def test_tensorflow_counts_the_gpus_that_it_is_given() -> None:
    import tensorflow as tf

    assert len(tf.config.list_physical_devices("GPU")) == 2
