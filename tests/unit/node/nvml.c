/* Stands in for libnvidia-ml.so.1: as much of NVML as the probe calls, made of a file that a test rewrites.
 *
 * The file NVML_STANDIN names holds the number of GPUs, then any of: "lost N", "bare N" (no memory or utilisation
 * figures), "block" (no call returns), "crash", "no driver".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

typedef struct { int index; } device;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } utilisation;

static device devices[64];

static void script(char *text, size_t size) {
    FILE *file = fopen(getenv("NVML_STANDIN"), "r");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = 0;
    if (file) fclose(file);
}

/* Whether the script says it; blocking and crashing happen here, in whatever call looks first. */
static int says(const char *words) {
    char text[256];
    script(text, sizeof text);
    if (strstr(text, "block")) for (;;) pause();
    if (strstr(text, "crash")) raise(SIGSEGV);
    return strstr(text, words) != NULL;
}

static int of(const char *what, const device *one) {
    char words[32];
    snprintf(words, sizeof words, "%s %d", what, one->index);
    return says(words);
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return says("no driver") ? DRIVER_NOT_LOADED : SUCCESS; }

const char *nvmlErrorString(int error) {
    return error == GPU_IS_LOST ? "GPU is lost" : error == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "some error";
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    char text[256];
    if (says("no driver")) return DRIVER_NOT_LOADED;
    script(text, sizeof text);
    *count = (unsigned int)atoi(text);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device **handle) {
    if (index >= 64) return INVALID_ARGUMENT;
    devices[index].index = (int)index;
    *handle = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(device *one, char *name, unsigned int length) {
    if (of("lost", one)) return GPU_IS_LOST;
    snprintf(name, length, "Stand-in %d", one->index);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device *one, memory *info) {
    if (of("bare", one)) return NOT_SUPPORTED;
    info->total = 24ULL << 30;
    info->free = (unsigned long long)(20 + one->index) << 30;
    info->used = info->total - info->free;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device *one, utilisation *rates) {
    if (of("bare", one)) return NOT_SUPPORTED;
    rates->gpu = 40 + (unsigned int)one->index;
    rates->memory = 1;
    return SUCCESS;
}
