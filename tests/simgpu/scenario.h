// The simulated machine, as both stand-in libraries read it from the scenario file (README.md has its keys).
#pragma once
#define _POSIX_C_SOURCE 200809L
#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)  // one copy a library, never shared by chance

enum { MAX_GPUS = 64, NO_GPU = -1 };

typedef struct {
    int row;  // N of /dev/nvidiaN; what `fault <function>@<row>` names
    char name[96];
    int cc_major, cc_minor;
    unsigned long long memory_bytes;
    unsigned domain, bus, slot;
    char uuid[64];
    char settings[1024];  // "key=value|key=value", read by setting()
} Gpu;

typedef struct {
    char driver[32];
    int cuda_major, cuda_minor;
    int rows;
    Gpu gpu[MAX_GPUS];
} Machine;

// The whole machine of the scenario, node or no node. Read once, when the library is loaded.
extern const Machine *const machine;

// Fills `present` with the GPUs whose device node this process can open read-write, in row order; returns how many.
int gpus_present(const Gpu *present[MAX_GPUS]);

// 0, or the errno with which /dev/nvidiactl cannot be opened read-write.
int control_node_error(void);

// The number that the row gives for `key`, `healthy` where it gives none, -1 where it says `none` (not supported).
long long setting(const Gpu *gpu, const char *key, long long healthy);

// The n-th value (from 0) that the row gives for `key`, ended by '|' or NUL; NULL where there is none.
const char *setting_text(const Gpu *gpu, const char *key, int n);

// Hangs if the scenario says so; returns the error code that the scenario gives this call, else 0.
int obey(const char *function, int row);

// Whether `text` is the PCI address of this GPU, as 07:00.0, 0000:07:00.0 or 00000000:07:00.0.
bool is_at(const Gpu *gpu, const char *text);

#pragma GCC visibility pop
