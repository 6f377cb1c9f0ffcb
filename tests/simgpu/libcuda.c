// Stand-in for libcuda.so.1: counts, lists and describes the scenario's GPUs, and refuses whatever would compute.
#include "scenario.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API int  // a CUresult

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NOT_FOUND = 500,
    NOT_SUPPORTED = 801,
};

typedef int Device;

typedef struct {
    Device device;
    unsigned flags;
    bool primary;
    atomic_int users;
} Context;

static int device_count;
static const Gpu *devices[MAX_GPUS];
static Context primary[MAX_GPUS];

static _Thread_local Context *stack[32];  // stack[depth - 1] is current
static _Thread_local int depth;

// Every entry point first does what the scenario says of it.
#define OBEY(row) \
    do { \
        int error_ = obey(__func__, row); \
        if (error_) return error_; \
    } while (0)

// Declares `gpu`, the one behind an ordinal, or returns the error that the driver gives.
#define FIND(gpu, ordinal) \
    if (!device_count) return NOT_INITIALIZED; \
    if ((ordinal) < 0 || (ordinal) >= device_count) return INVALID_DEVICE; \
    const Gpu *gpu = devices[ordinal]; \
    OBEY(gpu->row)

#define WANT(pointer) \
    if (!(pointer)) return INVALID_VALUE

// --- which GPUs are visible -----------------------------------------------------------------------------------------

// The GPU that one entry of CUDA_VISIBLE_DEVICES names: an index (read as strtol does), or a UUID's unique beginning.
static const Gpu *named(const char *entry, const Gpu *const present[], int count) {
    while (*entry == ' ') entry++;
    size_t length = strcspn(entry, " ,");
    if (!strncmp(entry, "GPU-", 4)) {
        const Gpu *found = NULL;
        for (int i = 0; i < count; i++) {
            if (strncmp(present[i]->uuid, entry, length)) continue;
            if (found) return NULL;
            found = present[i];
        }
        return found;
    }
    char *end;
    long index = strtol(entry, &end, 10);
    return end != entry && index >= 0 && index < count ? present[index] : NULL;
}

// Entries count up to the first invalid one; a GPU named twice leaves none, as torch/cuda/__init__.py records.
// https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html
static void find_devices(void) {
    const Gpu *present[MAX_GPUS];
    int count = control_node_error() ? 0 : gpus_present(present);
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!list) {
        memcpy(devices, present, (size_t)count * sizeof *present);
        device_count = count;
        return;
    }
    int chosen = 0;
    for (const char *entry = list; entry; entry = strchr(entry, ',')) {
        entry += *entry == ',';
        const Gpu *gpu = named(entry, present, count);
        if (!gpu) break;
        for (int i = 0; i < chosen; i++) {
            if (devices[i] == gpu) return;
        }
        devices[chosen++] = gpu;
    }
    device_count = chosen;
}

API cuInit(unsigned flags) {
    OBEY(NO_GPU);
    if (flags) return INVALID_VALUE;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool found;
    pthread_mutex_lock(&lock);
    if (!found) find_devices();  // once a process: what it found, none included, stays
    found = true;
    pthread_mutex_unlock(&lock);
    return device_count ? SUCCESS : NO_DEVICE;
}

API cuDriverGetVersion(int *version) {
    OBEY(NO_GPU);
    WANT(version);
    *version = machine->cuda_major * 1000 + machine->cuda_minor * 10;
    return SUCCESS;
}

// --- what a GPU is --------------------------------------------------------------------------------------------------

API cuDeviceGetCount(int *count) {
    OBEY(NO_GPU);
    WANT(count);
    if (!device_count) return NOT_INITIALIZED;
    *count = device_count;
    return SUCCESS;
}

API cuDeviceGet(Device *device, int ordinal) {
    FIND(gpu, ordinal);
    WANT(device);
    *device = ordinal;
    return SUCCESS;
}

API cuDeviceGetName(char *name, int length, Device device) {
    FIND(gpu, device);
    if (!name || length <= 0) return INVALID_VALUE;
    snprintf(name, (size_t)length, "%s", gpu->name);
    return SUCCESS;
}

API cuDeviceGetUuid(unsigned char uuid[16], Device device) {
    FIND(gpu, device);
    WANT(uuid);
    const char *digit = gpu->uuid + strlen("GPU-");
    for (int i = 0; i < 16; i++, digit += 2) {
        digit += *digit == '-';
        unsigned byte = 0;
        sscanf(digit, "%2x", &byte);
        uuid[i] = (unsigned char)byte;
    }
    return SUCCESS;
}

API cuDeviceGetUuid_v2(unsigned char uuid[16], Device device) { return cuDeviceGetUuid(uuid, device); }

API cuDeviceTotalMem_v2(size_t *bytes, Device device) {
    FIND(gpu, device);
    WANT(bytes);
    *bytes = gpu->memory_bytes;
    return SUCCESS;
}

API cuDeviceComputeCapability(int *major, int *minor, Device device) {
    FIND(gpu, device);
    WANT(major && minor);
    *major = gpu->cc_major;
    *minor = gpu->cc_minor;
    return SUCCESS;
}

API cuDeviceGetPCIBusId(char *text, int length, Device device) {
    FIND(gpu, device);
    if (!text || length <= 0) return INVALID_VALUE;
    snprintf(text, (size_t)length, "%04X:%02X:%02X.0", gpu->domain, gpu->bus, gpu->slot);
    return SUCCESS;
}

API cuDeviceGetByPCIBusId(Device *device, const char *text) {
    OBEY(NO_GPU);
    WANT(device && text);
    if (!device_count) return NOT_INITIALIZED;
    for (int i = 0; i < device_count; i++) {
        if (is_at(devices[i], text)) return *device = i, SUCCESS;
    }
    return INVALID_DEVICE;
}

static int threads_per_sm(int cc) {
    if (cc == 75) return 1024;
    return cc == 86 || cc == 87 || cc == 89 || cc >= 120 ? 1536 : 2048;
}

// Numbers are CUdevice_attribute's; what is not listed is 0, as "no" or "none".
API cuDeviceGetAttribute(int *value, int attribute, Device device) {
    FIND(gpu, device);
    WANT(value);
    int cc = gpu->cc_major * 10 + gpu->cc_minor;
    switch (attribute) {
        case 1: case 2: case 3: *value = attribute == 3 ? 64 : 1024; break;  // threads per block; block x, y, z
        case 4: *value = 64; break;
        case 5: *value = INT_MAX; break;  // grid x, y, z
        case 6: case 7: *value = 65535; break;
        case 8: *value = 49152; break;                                    // shared memory per block
        case 9: *value = 65536; break;                                    // constant memory
        case 10: *value = 32; break;                                      // warp size
        case 11: *value = INT_MAX; break;                                 // pitch
        case 12: case 82: *value = 65536; break;                          // registers per block, per SM
        case 13: *value = (int)setting(gpu, "clock_khz", 1410000); break;
        case 14: *value = 512; break;                                     // texture alignment
        case 16: *value = (int)setting(gpu, "sms", 108); break;
        case 19: case 31: case 41: case 78: case 83: *value = 1; break;   // host mapping ... managed memory
        case 20: *value = (int)setting(gpu, "compute_mode", 0); break;
        case 32: *value = setting(gpu, "ecc", 1) > 0; break;
        case 33: *value = (int)gpu->bus; break;
        case 34: *value = (int)gpu->slot; break;
        case 36: *value = (int)setting(gpu, "memory_clock_khz", 1215000); break;
        case 37: *value = (int)setting(gpu, "memory_bus_bits", 5120); break;
        case 38: *value = (int)setting(gpu, "l2_bytes", 40 << 20); break;
        case 39: *value = threads_per_sm(cc); break;
        case 40: *value = 3; break;                                       // copy engines
        case 50: *value = (int)gpu->domain; break;
        case 75: *value = gpu->cc_major; break;
        case 76: *value = gpu->cc_minor; break;
        case 81: *value = 102400; break;                                  // shared memory per SM
        case 97: *value = 101376; break;                                  // and per block, opted in
        case 106: *value = 16; break;                                     // blocks per SM
        default:
            if (attribute <= 0) return INVALID_VALUE;
            *value = 0;
    }
    return SUCCESS;
}

API cuDeviceCanAccessPeer(int *can, Device device, Device peer) {
    FIND(gpu, device);
    WANT(can);
    if (peer < 0 || peer >= device_count) return INVALID_DEVICE;
    *can = 0;
    return SUCCESS;
}

API cuDeviceGetP2PAttribute(int *value, int attribute, Device device, Device peer) {
    (void)attribute;
    return cuDeviceCanAccessPeer(value, device, peer);
}

// --- contexts: they exist and name their GPU, no more ---------------------------------------------------------------

static Context *current(void) { return depth ? stack[depth - 1] : NULL; }

API cuDevicePrimaryCtxRetain(Context **context, Device device) {
    FIND(gpu, device);
    WANT(context);
    primary[device].device = device;
    primary[device].primary = true;
    primary[device].users++;
    *context = &primary[device];
    return SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(Device device) {
    FIND(gpu, device);
    if (!primary[device].users) return INVALID_CONTEXT;
    primary[device].users--;
    return SUCCESS;
}

API cuDevicePrimaryCtxReset_v2(Device device) {
    FIND(gpu, device);
    return SUCCESS;
}

API cuDevicePrimaryCtxSetFlags_v2(Device device, unsigned flags) {
    FIND(gpu, device);
    primary[device].flags = flags;
    return SUCCESS;
}

API cuDevicePrimaryCtxGetState(Device device, unsigned *flags, int *active) {
    FIND(gpu, device);
    if (flags) *flags = primary[device].flags;
    if (active) *active = primary[device].users > 0;
    return SUCCESS;
}

API cuCtxPushCurrent_v2(Context *context) {
    OBEY(NO_GPU);
    if (!context || depth == sizeof stack / sizeof *stack) return INVALID_CONTEXT;
    stack[depth++] = context;
    return SUCCESS;
}

API cuCtxPopCurrent_v2(Context **context) {
    OBEY(NO_GPU);
    if (!depth) return INVALID_CONTEXT;
    Context *popped = stack[--depth];
    if (context) *context = popped;
    return SUCCESS;
}

API cuCtxSetCurrent(Context *context) {
    OBEY(NO_GPU);
    if (depth) depth--;
    if (context) stack[depth++] = context;
    return SUCCESS;
}

API cuCtxGetCurrent(Context **context) {
    OBEY(NO_GPU);
    WANT(context);
    *context = current();
    return SUCCESS;
}

API cuCtxGetDevice(Device *device) {
    OBEY(NO_GPU);
    if (!current()) return INVALID_CONTEXT;
    WANT(device);
    *device = current()->device;
    return SUCCESS;
}

API cuCtxGetFlags(unsigned *flags) {
    OBEY(NO_GPU);
    if (!current()) return INVALID_CONTEXT;
    WANT(flags);
    *flags = current()->flags;
    return SUCCESS;
}

API cuCtxGetApiVersion(Context *context, unsigned *version) {
    (void)context;
    OBEY(NO_GPU);
    WANT(version);
    *version = 3020;
    return SUCCESS;
}

API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    OBEY(NO_GPU);
    if (!current()) return INVALID_CONTEXT;
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
}

API cuCtxSynchronize(void) {  // nothing was ever started, so all of it has ended
    OBEY(NO_GPU);
    return current() ? SUCCESS : INVALID_CONTEXT;
}

API cuCtxCreate_v2(Context **context, unsigned flags, Device device) {
    FIND(gpu, device);
    WANT(context);
    Context *made = calloc(1, sizeof *made);
    if (!made) return OUT_OF_MEMORY;
    made->device = device;
    made->flags = flags;
    *context = made;
    return cuCtxPushCurrent_v2(made);
}

API cuCtxDestroy_v2(Context *context) {
    OBEY(NO_GPU);
    if (!context || context->primary) return INVALID_CONTEXT;
    if (current() == context) depth--;
    free(context);
    return SUCCESS;
}

API cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    if (!current()) return INVALID_CONTEXT;
    FIND(gpu, current()->device);
    WANT(free_bytes && total_bytes);
    *total_bytes = gpu->memory_bytes;
    *free_bytes = gpu->memory_bytes - ((unsigned long long)setting(gpu, "used_mib", 0) << 20);
    return SUCCESS;
}

// --- names without a version, which older callers ask for -----------------------------------------------------------

#define ALSO(plain, versioned) extern __typeof__(versioned) plain __attribute__((alias(#versioned)))

ALSO(cuCtxCreate, cuCtxCreate_v2);
ALSO(cuCtxDestroy, cuCtxDestroy_v2);
ALSO(cuCtxPopCurrent, cuCtxPopCurrent_v2);
ALSO(cuCtxPushCurrent, cuCtxPushCurrent_v2);
ALSO(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2);
ALSO(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset_v2);
ALSO(cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags_v2);

// --- what would allocate, load, launch or wait: a simulated GPU never computes --------------------------------------

#define REFUSE(function) \
    API function(void) { \
        OBEY(NO_GPU); \
        return NOT_SUPPORTED; \
    }

REFUSE(cuMemAlloc_v2)
REFUSE(cuMemAllocAsync)
REFUSE(cuMemAllocFromPoolAsync)
REFUSE(cuMemAllocHost_v2)
REFUSE(cuMemAllocManaged)
REFUSE(cuMemAllocPitch_v2)
REFUSE(cuMemFree_v2)
REFUSE(cuMemFreeAsync)
REFUSE(cuMemFreeHost)
REFUSE(cuMemHostAlloc)
REFUSE(cuMemHostRegister_v2)
REFUSE(cuMemHostUnregister)
REFUSE(cuMemAddressReserve)
REFUSE(cuMemCreate)
REFUSE(cuMemMap)
REFUSE(cuMemPoolCreate)
REFUSE(cuDeviceGetDefaultMemPool)
REFUSE(cuMemcpy)
REFUSE(cuMemcpyAsync)
REFUSE(cuMemcpyDtoD_v2)
REFUSE(cuMemcpyDtoDAsync_v2)
REFUSE(cuMemcpyDtoH_v2)
REFUSE(cuMemcpyDtoHAsync_v2)
REFUSE(cuMemcpyHtoD_v2)
REFUSE(cuMemcpyHtoDAsync_v2)
REFUSE(cuMemsetD8_v2)
REFUSE(cuMemsetD8Async)
REFUSE(cuMemsetD32_v2)
REFUSE(cuMemsetD32Async)
REFUSE(cuPointerGetAttribute)
REFUSE(cuPointerGetAttributes)
REFUSE(cuModuleLoad)
REFUSE(cuModuleLoadData)
REFUSE(cuModuleLoadDataEx)
REFUSE(cuModuleLoadFatBinary)
REFUSE(cuModuleGetFunction)
REFUSE(cuModuleGetGlobal_v2)
REFUSE(cuTensorMapEncodeIm2col)
REFUSE(cuTensorMapEncodeTiled)
REFUSE(cuModuleUnload)
REFUSE(cuLibraryLoadData)
REFUSE(cuLibraryLoadFromFile)
REFUSE(cuLibraryGetKernel)
REFUSE(cuLibraryUnload)
REFUSE(cuKernelGetFunction)
REFUSE(cuLinkCreate_v2)
REFUSE(cuLinkAddData_v2)
REFUSE(cuLinkAddFile_v2)
REFUSE(cuLinkComplete)
REFUSE(cuLinkDestroy)
REFUSE(cuFuncGetAttribute)
REFUSE(cuFuncSetAttribute)
REFUSE(cuFuncSetCacheConfig)
REFUSE(cuOccupancyMaxActiveBlocksPerMultiprocessor)
REFUSE(cuLaunchKernel)
REFUSE(cuLaunchKernelEx)
REFUSE(cuLaunchCooperativeKernel)
REFUSE(cuLaunchHostFunc)
REFUSE(cuStreamCreate)
REFUSE(cuStreamCreateWithPriority)
REFUSE(cuStreamBeginCapture_v2)
REFUSE(cuStreamDestroy_v2)
REFUSE(cuStreamQuery)
REFUSE(cuStreamSynchronize)
REFUSE(cuStreamWaitEvent)
REFUSE(cuEventCreate)
REFUSE(cuEventDestroy_v2)
REFUSE(cuEventElapsedTime)
REFUSE(cuEventQuery)
REFUSE(cuEventRecord)
REFUSE(cuEventSynchronize)
REFUSE(cuGraphCreate)
REFUSE(cuGraphInstantiateWithFlags)
REFUSE(cuGraphLaunch)
REFUSE(cuCtxEnablePeerAccess)
REFUSE(cuCtxGetLimit)
REFUSE(cuCtxSetLimit)
REFUSE(cuGetExportTable)  // private tables, which the real CUDA runtime wants before its first call

// --- errors and entry points by name --------------------------------------------------------------------------------

static const struct {
    int code;
    const char *name, *text;
} errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
     "forward compatibility was attempted on non supported HW"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static int find_error(int code) {
    int i = (int)(sizeof errors / sizeof *errors) - 1;
    while (i >= 0 && errors[i].code != code) i--;
    return i;
}

API cuGetErrorName(int code, const char **name) {
    WANT(name);
    int i = find_error(code);
    *name = i < 0 ? NULL : errors[i].name;
    return i < 0 ? INVALID_VALUE : SUCCESS;
}

API cuGetErrorString(int code, const char **text) {
    WANT(text);
    int i = find_error(code);
    *text = i < 0 ? NULL : errors[i].text;
    return i < 0 ? INVALID_VALUE : SUCCESS;
}

// The newest entry point of that name: a caller asks for cuMemGetInfo and gets cuMemGetInfo_v2.
API cuGetProcAddress_v2(const char *symbol, void **function, int version, unsigned long long flags, int *status) {
    (void)version, (void)flags;
    OBEY(NO_GPU);
    WANT(symbol && function);
    static void *self;
    if (!self) self = dlopen("libcuda.so.1", RTLD_LAZY);  // already loaded under this name: only its handle
    char newer[128];
    snprintf(newer, sizeof newer, "%s_v2", symbol);
    *function = dlsym(self, newer);
    if (!*function) *function = dlsym(self, symbol);
    if (status) *status = *function ? 0 : 1;  // CU_GET_PROC_ADDRESS_SUCCESS or _SYMBOL_NOT_FOUND
    return *function ? SUCCESS : NOT_FOUND;
}

API cuGetProcAddress(const char *symbol, void **function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
