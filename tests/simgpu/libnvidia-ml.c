// Stand-in for libnvidia-ml.so.1: tells of the scenario's GPUs what nvidia-smi and nvidia-ml-py ask.
#include "scenario.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define API int  // an nvmlReturn_t

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    ARGUMENT_VERSION_MISMATCH = 25,
    UNKNOWN = 999,
};

typedef const Gpu *Device;  // an nvmlDevice_t

typedef struct {  // nvmlPciInfo_t
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
} PciInfo;

typedef struct {  // nvmlProcessInfo_t
    unsigned pid;
    unsigned long long used_bytes;
    unsigned gpu_instance, compute_instance;
} Process;

typedef struct {  // nvmlTemperature_t
    unsigned version;
    int sensor, celsius;
} Temperature;

typedef struct {  // nvmlUtilization_t
    unsigned gpu_percent, memory_percent;
} Utilization;

typedef struct {  // nvmlMemory_t
    unsigned long long total, free, used;
} Memory;

typedef struct {  // nvmlMemory_v2_t
    unsigned version;
    unsigned long long total, reserved, free, used;
} Memory2;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users, device_count;
static Device devices[MAX_GPUS];

// Every entry point first does what the scenario says of it, then wants nvmlInit to have succeeded.
#define ENTER(row) \
    do { \
        int error_ = obey(__func__, row); \
        if (error_) return error_; \
        if (!users) return UNINITIALIZED; \
    } while (0)

#define WANT(pointer) \
    if (!(pointer)) return INVALID_ARGUMENT

#define ENTER_DEVICE(gpu) \
    WANT(gpu); \
    ENTER((gpu)->row)

// --- library and system ---------------------------------------------------------------------------------------------

// What the real library answers where /dev/nvidiactl cannot be opened; EPERM is a device cgroup that lost its rule:
// https://github.com/NVIDIA/nvidia-container-toolkit/issues/48
static int without_control_node(int error) {
    return error == EACCES ? NO_PERMISSION : error == EPERM ? UNKNOWN : DRIVER_NOT_LOADED;
}

static int start(void) {
    pthread_mutex_lock(&lock);
    int error = control_node_error();
    if (!error && !users++) device_count = gpus_present(devices);
    pthread_mutex_unlock(&lock);
    return error ? without_control_node(error) : SUCCESS;
}

API nvmlInit_v2(void) {
    int error = obey(__func__, NO_GPU);
    return error ? error : start();
}

API nvmlInit(void) { return nvmlInit_v2(); }

API nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int error = obey(__func__, NO_GPU);
    return error ? error : nvmlInit_v2();
}

API nvmlShutdown(void) {
    ENTER(NO_GPU);
    pthread_mutex_lock(&lock);
    users--;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    static const char *const texts[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power",
        "Driver Not Loaded", "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found",
        "Function Not Found", "Corrupted infoROM", "GPU is lost", "GPU requires reset",
        "GPU access blocked by the operating system", "Driver/library version mismatch", "In use by another client",
        "Insufficient Memory", "No data", "The requested vgpu operation is not available on target device",
        "Insufficient Resources", "Frequency not supported", "Argument version mismatch",
    };
    return code >= 0 && code < (int)(sizeof texts / sizeof *texts) ? texts[code] : "Unknown Error";
}

static int copy(char *into, unsigned room, const char *text) {
    WANT(into);
    if (strlen(text) >= room) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

API nvmlSystemGetDriverVersion(char *version, unsigned length) {
    ENTER(NO_GPU);
    return copy(version, length, machine->driver);
}

API nvmlSystemGetNVMLVersion(char *version, unsigned length) {  // "12.550.54.15"
    ENTER(NO_GPU);
    char text[64];
    snprintf(text, sizeof text, "%d.%s", machine->cuda_major, machine->driver);
    return copy(version, length, text);
}

API nvmlSystemGetCudaDriverVersion_v2(int *version) {
    ENTER(NO_GPU);
    WANT(version);
    *version = machine->cuda_major * 1000 + machine->cuda_minor * 10;
    return SUCCESS;
}

API nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

// --- finding a GPU --------------------------------------------------------------------------------------------------

API nvmlDeviceGetCount_v2(unsigned *count) {
    ENTER(NO_GPU);
    WANT(count);
    *count = (unsigned)device_count;
    return SUCCESS;
}

API nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

API nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    ENTER(index < (unsigned)device_count ? devices[index]->row : NO_GPU);
    WANT(device && index < (unsigned)device_count);
    *device = devices[index];
    return SUCCESS;
}

API nvmlDeviceGetHandleByIndex(unsigned index, Device *device) { return nvmlDeviceGetHandleByIndex_v2(index, device); }

API nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, Device *device) {
    WANT(bus_id && device);
    int i = device_count - 1;
    while (i >= 0 && !is_at(devices[i], bus_id)) i--;
    ENTER(i < 0 ? NO_GPU : devices[i]->row);
    if (i < 0) return NOT_FOUND;
    *device = devices[i];
    return SUCCESS;
}

API nvmlDeviceGetHandleByPciBusId(const char *bus_id, Device *device) {
    return nvmlDeviceGetHandleByPciBusId_v2(bus_id, device);
}

API nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    WANT(uuid && device);
    int i = device_count - 1;
    while (i >= 0 && strcasecmp(devices[i]->uuid, uuid)) i--;
    ENTER(i < 0 ? NO_GPU : devices[i]->row);
    if (i < 0) return NOT_FOUND;
    *device = devices[i];
    return SUCCESS;
}

// --- what a GPU is --------------------------------------------------------------------------------------------------

API nvmlDeviceGetIndex(Device device, unsigned *index) {
    ENTER_DEVICE(device);
    WANT(index);
    for (*index = 0; devices[*index] != device; ++*index) {}
    return SUCCESS;
}

API nvmlDeviceGetMinorNumber(Device device, unsigned *minor) {
    ENTER_DEVICE(device);
    WANT(minor);
    *minor = (unsigned)device->row;
    return SUCCESS;
}

API nvmlDeviceGetName(Device device, char *name, unsigned length) {
    ENTER_DEVICE(device);
    return copy(name, length, device->name);
}

API nvmlDeviceGetUUID(Device device, char *uuid, unsigned length) {
    ENTER_DEVICE(device);
    return copy(uuid, length, device->uuid);
}

API nvmlDeviceGetSerial(Device device, char *serial, unsigned length) {
    ENTER_DEVICE(device);
    long long number = setting(device, "serial", 1650000000001 + device->row);
    if (number < 0) return NOT_SUPPORTED;
    char text[32];
    snprintf(text, sizeof text, "%lld", number);
    return copy(serial, length, text);
}

API nvmlDeviceGetPciInfo_v2(Device device, PciInfo *pci) {  // the first part of _v3
    ENTER_DEVICE(device);
    WANT(pci);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%04X:%02X:%02X.0", device->domain & 0xffff,
             device->bus & 0xff, device->slot & 0xff);
    pci->domain = device->domain;
    pci->bus = device->bus;
    pci->device = device->slot;
    pci->device_id = (unsigned)setting(device, "pci_id", 0x20b010de);
    pci->subsystem_id = (unsigned)setting(device, "pci_subsystem_id", 0x134f10de);
    return SUCCESS;
}

API nvmlDeviceGetPciInfo_v3(Device device, PciInfo *pci) {
    ENTER_DEVICE(device);
    int error = nvmlDeviceGetPciInfo_v2(device, pci);
    if (error) return error;
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", device->domain, device->bus, device->slot);
    return SUCCESS;
}

API nvmlDeviceGetPciInfo(Device device, PciInfo *pci) { return nvmlDeviceGetPciInfo_v2(device, pci); }

API nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
    ENTER_DEVICE(device);
    WANT(major && minor);
    *major = device->cc_major;
    *minor = device->cc_minor;
    return SUCCESS;
}

API nvmlDeviceGetArchitecture(Device device, unsigned *architecture) {  // NVML_DEVICE_ARCH_KEPLER = 2 ... BLACKWELL = 10
    ENTER_DEVICE(device);
    WANT(architecture);
    int cc = device->cc_major * 10 + device->cc_minor;
    *architecture = cc >= 100 ? 10 : cc >= 90 ? 9 : cc == 89 ? 8 : cc >= 80 ? 7 : cc >= 75 ? 6 : cc >= 70 ? 5
                  : cc >= 60 ? 4 : cc >= 50 ? 3 : 2;
    return SUCCESS;
}

API nvmlDeviceGetBrand(Device device, unsigned *brand) {
    ENTER_DEVICE(device);
    WANT(brand);
    *brand = strstr(device->name, "GeForce RTX") ? 15 : strstr(device->name, "GeForce") ? 5
           : strstr(device->name, "TITAN") ? 6 : strstr(device->name, "Tesla") ? 2
           : strstr(device->name, "RTX") ? 13 : 14;
    return SUCCESS;
}

// --- how a GPU is: the row's value, else a healthy A100's; `none` is "not supported" --------------------------------

#define READING(function, type, key, healthy) \
    API function(Device device, type *value) { \
        ENTER_DEVICE(device); \
        WANT(value); \
        long long number = setting(device, key, healthy); \
        if (number < 0) return NOT_SUPPORTED; \
        *value = (type)number; \
        return SUCCESS; \
    }

READING(nvmlDeviceGetPersistenceMode, unsigned, "persistence", 0)
READING(nvmlDeviceGetComputeMode, unsigned, "compute_mode", 0)  // 0 default, 2 prohibited, 3 exclusive process
READING(nvmlDeviceGetPerformanceState, unsigned, "pstate", 0)
READING(nvmlDeviceGetFanSpeed, unsigned, "fan", -1)                               // percent
READING(nvmlDeviceGetPowerUsage, unsigned, "power_mw", 50000)                     // milliwatts
READING(nvmlDeviceGetEnforcedPowerLimit, unsigned, "power_limit_mw", 400000)      // milliwatts
READING(nvmlDeviceGetPowerManagementLimit, unsigned, "power_limit_mw", 400000)
READING(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, "pcie_gen", setting(device, "pcie_max_gen", 4))
READING(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, "pcie_max_gen", 4)
READING(nvmlDeviceGetGpuMaxPcieLinkGeneration, unsigned, "pcie_max_gen", 4)
READING(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "pcie_width", setting(device, "pcie_max_width", 16))
READING(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "pcie_max_width", 16)
READING(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "throttle", 1)  // a bit mask; 1 is "idle"
READING(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "throttle", 1)

API nvmlDeviceGetTemperature(Device device, int sensor, unsigned *celsius) {
    ENTER_DEVICE(device);
    WANT(celsius && sensor == 0);
    *celsius = (unsigned)setting(device, "temperature", 33);
    return SUCCESS;
}

API nvmlDeviceGetTemperatureV(Device device, Temperature *reading) {
    ENTER_DEVICE(device);
    WANT(reading && reading->sensor == 0);
    if (reading->version != (sizeof *reading | 1u << 24)) return ARGUMENT_VERSION_MISMATCH;
    reading->celsius = (int)setting(device, "temperature", 33);
    return SUCCESS;
}

API nvmlDeviceGetUtilizationRates(Device device, Utilization *rates) {
    ENTER_DEVICE(device);
    WANT(rates);
    rates->gpu_percent = (unsigned)setting(device, "utilization", 0);
    rates->memory_percent = 0;
    return SUCCESS;
}

static unsigned long long bytes_used(Device device) { return (unsigned long long)setting(device, "used_mib", 0) << 20; }

API nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    ENTER_DEVICE(device);
    WANT(memory);
    memory->total = device->memory_bytes;
    memory->used = bytes_used(device);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

API nvmlDeviceGetMemoryInfo_v2(Device device, Memory2 *memory) {
    ENTER_DEVICE(device);
    WANT(memory);
    if (memory->version != (sizeof *memory | 2u << 24)) return ARGUMENT_VERSION_MISMATCH;
    memory->total = device->memory_bytes;
    memory->reserved = 0;
    memory->used = bytes_used(device);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

API nvmlDeviceGetMigMode(Device device, unsigned *now, unsigned *pending) {
    ENTER_DEVICE(device);
    WANT(now && pending);
    long long mig = setting(device, "mig", 0);
    if (mig < 0) return NOT_SUPPORTED;
    *now = (unsigned)mig;
    *pending = (unsigned)setting(device, "mig_pending", mig);
    return SUCCESS;
}

API nvmlDeviceGetEccMode(Device device, unsigned *now, unsigned *pending) {
    ENTER_DEVICE(device);
    WANT(now && pending);
    long long ecc = setting(device, "ecc", 1);
    if (ecc < 0) return NOT_SUPPORTED;
    *now = (unsigned)ecc;
    *pending = (unsigned)setting(device, "ecc_pending", ecc);
    return SUCCESS;
}

// Kinds: 0 corrected, 1 uncorrected. The same number answers for "since boot" and "ever".
API nvmlDeviceGetTotalEccErrors(Device device, int kind, int counter, unsigned long long *errors) {
    ENTER_DEVICE(device);
    WANT(errors && (kind == 0 || kind == 1) && (counter == 0 || counter == 1));
    if (setting(device, "ecc", 1) <= 0) return NOT_SUPPORTED;
    *errors = (unsigned long long)setting(device, kind ? "ecc_uncorrectable" : "ecc_corrected", 0);
    return SUCCESS;
}

API nvmlDeviceGetRemappedRows(Device device, unsigned *corrected, unsigned *uncorrected, unsigned *pending,
                              unsigned *failed) {
    ENTER_DEVICE(device);
    WANT(corrected && uncorrected && pending && failed);
    long long rows = setting(device, "remap_uncorrectable", 0);
    if (rows < 0) return NOT_SUPPORTED;
    *corrected = (unsigned)setting(device, "remap_corrected", 0);
    *uncorrected = (unsigned)rows;
    *pending = (unsigned)setting(device, "remap_pending", 0);
    *failed = (unsigned)setting(device, "remap_failed", 0);
    return SUCCESS;
}

API nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *processes) {
    ENTER_DEVICE(device);
    WANT(count);
    unsigned room = *count;
    const char *text;
    for (*count = 0; (text = setting_text(device, "process", (int)*count)); ++*count) {  // process=<pid>:<MiB>
        if (*count >= room) continue;
        unsigned pid = 0;
        unsigned long long mib = 0;
        sscanf(text, "%u:%llu", &pid, &mib);
        processes[*count] = (Process){pid, mib << 20, ~0u, ~0u};
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

// --- NVLink and fabric, which TensorFlow asks of every GPU that it lists: none --------------------------------------

#define REFUSE(function) \
    API function(Device device) { \
        ENTER_DEVICE(device); \
        return NOT_SUPPORTED; \
    }

REFUSE(nvmlDeviceGetNvLinkState)
REFUSE(nvmlDeviceGetGpuFabricInfo)
REFUSE(nvmlDeviceGetGpuFabricInfoV)
