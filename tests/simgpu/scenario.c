// Reads the scenario file into a Machine, and answers what both libraries ask of it.
#include "scenario.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char function[64];  // exact, without its _vN, or a prefix that ends in '*'
    int row;            // NO_GPU: every GPU
    bool hangs;
    double seconds;  // < 0: forever
    int code;
} Rule;

static Machine loaded = {.driver = "550.54.15", .cuda_major = 12, .cuda_minor = 4};
const Machine *const machine = &loaded;

static Rule rules[128];
static int rule_count;
static bool traced;

static void refuse(const char *path, int number, const char *why) {
    fprintf(stderr, "simgpu: %s:%d: %s\n", path, number, why);
    abort();  // a scenario that is half understood would prove nothing
}

static char *trim(char *text) {
    while (isspace((unsigned char)*text)) text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1])) *--end = 0;
    return text;
}

// "NVIDIA A100-SXM4-40GB | 8.0 | 40960 | 0000:07:00.0 | GPU-... | temperature=91 | ecc=none"
static bool read_gpu(char *value) {
    if (loaded.rows == MAX_GPUS) return false;
    Gpu *gpu = &loaded.gpu[loaded.rows];
    *gpu = (Gpu){.row = loaded.rows};
    int field = 0;
    for (char *part = strtok(value, "|"); part; part = strtok(NULL, "|"), field++) {
        part = trim(part);
        bool ok = true;
        if (field == 0) {
            ok = snprintf(gpu->name, sizeof gpu->name, "%s", part) < (int)sizeof gpu->name;
        } else if (field == 1) {
            ok = sscanf(part, "%d.%d", &gpu->cc_major, &gpu->cc_minor) == 2;
        } else if (field == 2) {
            gpu->memory_bytes = strtoull(part, NULL, 10) << 20;
            ok = gpu->memory_bytes > 0;
        } else if (field == 3) {
            ok = sscanf(part, "%x:%x:%x", &gpu->domain, &gpu->bus, &gpu->slot) == 3;
        } else if (field == 4) {
            ok = snprintf(gpu->uuid, sizeof gpu->uuid, "%s", part) == 40 && !strncmp(part, "GPU-", 4);
        } else {
            size_t used = strlen(gpu->settings), room = sizeof gpu->settings - used;
            ok = strchr(part, '=') && snprintf(gpu->settings + used, room, "|%s", part) < (int)room;
        }
        if (!ok) return false;
    }
    loaded.rows++;
    return field >= 5;
}

// "fault nvmlDeviceGetName@2 = 15" and "hang cuInit = forever"
static bool read_rule(char *key, const char *value, bool hangs) {
    if (rule_count == (int)(sizeof rules / sizeof *rules)) return false;
    Rule *rule = &rules[rule_count++];
    *rule = (Rule){.row = NO_GPU, .hangs = hangs, .seconds = -1};
    char *at = strchr(key, '@');
    if (at) *at++ = 0;
    bool ok = !at || sscanf(at, "%d", &rule->row) == 1;
    ok &= snprintf(rule->function, sizeof rule->function, "%s", trim(key)) < (int)sizeof rule->function;
    if (!hangs) return ok && sscanf(value, "%d", &rule->code) == 1;
    return ok && (!strcmp(value, "forever") || sscanf(value, "%lf", &rule->seconds) == 1);
}

static bool read_line(char *line) {
    char *value = strchr(line, '=');
    if (!value) return false;
    *value++ = 0;
    char *key = trim(line);
    value = trim(value);
    if (!strcmp(key, "driver")) return snprintf(loaded.driver, sizeof loaded.driver, "%s", value) < 32;
    if (!strcmp(key, "cuda")) return sscanf(value, "%d.%d", &loaded.cuda_major, &loaded.cuda_minor) == 2;
    if (!strcmp(key, "gpu")) return read_gpu(value);
    if (!strncmp(key, "fault ", 6)) return read_rule(key + 6, value, false);
    if (!strncmp(key, "hang ", 5)) return read_rule(key + 5, value, true);
    return false;
}

__attribute__((constructor)) static void load(void) {
    traced = getenv("SIMGPU_TRACE") != NULL;
    const char *named = getenv("SIMGPU_SCENARIO"), *path = named ? named : "/etc/simgpu.conf";
    FILE *file = fopen(path, "re");
    if (!file) {
        if (named) refuse(path, 0, strerror(errno));
        char one[] = "NVIDIA A100-SXM4-40GB|8.0|40960|0000:07:00.0|GPU-5a100000-0000-4000-8000-000000000000";
        read_gpu(one);
        return;
    }
    char line[2048];
    for (int number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "#")] = 0;
        char *text = trim(line);
        if (*text && !read_line(text)) refuse(path, number, "cannot be understood");
    }
    fclose(file);
}

static int node_error(const char *name) {
    const char *folder = getenv("SIMGPU_DEV");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/dev", name);
    int node = open(path, O_RDWR | O_CLOEXEC);
    if (node < 0) return errno;
    close(node);
    return 0;
}

int control_node_error(void) { return node_error("nvidiactl"); }

int gpus_present(const Gpu *present[MAX_GPUS]) {
    int count = 0;
    for (int row = 0; row < machine->rows; row++) {
        char name[32];
        snprintf(name, sizeof name, "nvidia%d", row);
        if (!node_error(name)) present[count++] = &machine->gpu[row];
    }
    return count;
}

const char *setting_text(const Gpu *gpu, const char *key, int n) {
    size_t length = strlen(key);
    for (const char *at = gpu->settings; (at = strchr(at, '|')); ) {
        if (!strncmp(++at, key, length) && at[length] == '=' && n-- == 0) return at + length + 1;
    }
    return NULL;
}

long long setting(const Gpu *gpu, const char *key, long long healthy) {
    const char *text = setting_text(gpu, key, 0);
    if (!text) return healthy;
    return strncmp(text, "none", 4) ? strtoll(text, NULL, 0) : -1;
}

static bool concerns(const Rule *rule, const char *function, int row) {
    if (rule->row != NO_GPU && rule->row != row) return false;
    size_t length = strlen(rule->function);
    if (length && rule->function[length - 1] == '*') return !strncmp(rule->function, function, length - 1);
    if (strncmp(rule->function, function, length)) return false;
    const char *rest = function + length;
    return !*rest || (rest[0] == '_' && rest[1] == 'v' && isdigit((unsigned char)rest[2]) && !rest[3]);
}

int obey(const char *function, int row) {
    if (traced && row == NO_GPU) fprintf(stderr, "simgpu: %s\n", function);
    if (traced && row != NO_GPU) fprintf(stderr, "simgpu: %s@%d\n", function, row);
    for (int i = 0; i < rule_count; i++) {
        if (!rules[i].hangs || !concerns(&rules[i], function, row)) continue;
        if (rules[i].seconds < 0) for (;;) pause();
        struct timespec left = {.tv_sec = (time_t)rules[i].seconds};
        left.tv_nsec = (long)((rules[i].seconds - (double)left.tv_sec) * 1e9);
        while (nanosleep(&left, &left) && errno == EINTR) {}
    }
    for (int i = 0; i < rule_count; i++) {
        if (!rules[i].hangs && concerns(&rules[i], function, row)) return rules[i].code;
    }
    return 0;
}

bool is_at(const Gpu *gpu, const char *text) {
    unsigned domain = 0, bus, slot;
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        if (sscanf(text, "%x:%x", &bus, &slot) != 2) return false;
    }
    return domain == gpu->domain && bus == gpu->bus && slot == gpu->slot;
}
