# Removes from /opt/venv what compilers, debuggers and test runners need and programs do not.
# What is kept is tested in tests/inside; `kit build --full` leaves all of it.
set -eu
cd /opt/venv/lib/python3*/site-packages
# Headers and static archives: for building custom C++ ops and for linking against CUDA.
find . -name '*.a' -delete
find . -maxdepth 3 -type d -name include -prune -exec rm -rf {} +
# The packages' own tests.
find . \( -path './numpy/*' -o -path './scipy/*' -o -path './sklearn/*' -o -path './joblib/*' \) -type d \( -name tests -o -name test \) \
  -prune -exec rm -rf {} +
# Symbol tables, for debuggers. Not of repaired wheels (*.libs): strip breaks what patchelf wrote.
find . \( -path './tensorflow/*' -o -path './nvidia/nccl/*' \) -name '*.so*' -type f -size +1M -exec strip --strip-unneeded {} +
# CUDA's compiler for C++; XLA needs ptxas, nvlink and libdevice alone.
rm -rf nvidia/cuda_nvcc/nvvm/bin nvidia/cuda_nvcc/nvvm/lib64 nvidia/cuda_nvcc/bin/cudafe++ nvidia/cuda_nvcc/bin/nvcc
# Random numbers on the GPU are TensorFlow's own. A release that still knows cuRAND keeps it, and so do the newest
# libraries, which PyTorch shares.
case "$LOCK" in
  *-newest.txt) ;;
  *) grep -qs curand tensorflow/libtensorflow_cc.so.2 tensorflow/libtensorflow_framework.so.2 || rm -rf nvidia/curand/lib ;;
esac
# Linear algebra on several GPUs by one process, an interface that TensorFlow has no binding of.
rm -f nvidia/cusolver/lib/libcusolverMg.so.*
# Interposers for programs that were written for the CPU.
rm -f nvidia/cublas/lib/libnvblas.so.* nvidia/cufft/lib/libcufftw.so.*
# NVRTC for drivers without minor-version compatibility; libnvrtc.so is the one that cuDNN loads.
rm -f nvidia/cuda_nvrtc/lib/*.alt.so.*
# TensorFlow's metadata asks for libclang, which nothing of it imports.
rm -f clang/native/libclang.so
