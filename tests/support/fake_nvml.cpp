// A libnvidia-ml for tests: four GPUs as nvml.h of NVIDIA's driver 535 and later would tell of them. 0 and 1 are joined by four NVLinks, 2 and
// 3 by two links each to switches, one of 3's is down; 2 sits in an x8 slot; processes 4242 and 4243 are on 1; 3 is in MIG mode and,
// as an older device, has no ECC. Structs as in nvml.h, written down once more so that a slip in src/device/nvml.cpp shows.
#include <cstdio>
#include <cstring>

extern "C" {

typedef struct {
    char busIdLegacy[16];
    unsigned int domain;
    unsigned int bus;
    unsigned int device;
    unsigned int pciDeviceId;
    unsigned int pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned int version;
    unsigned long long total;
    unsigned long long reserved;
    unsigned long long free;
    unsigned long long used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId;
    unsigned int computeInstanceId;
} nvmlProcessInfo_v2_t;

static_assert(sizeof(nvmlPciInfo_t) == 68 && sizeof(nvmlMemory_v2_t) == 40 && sizeof(nvmlProcessInfo_v2_t) == 24);

static int fake_devices[4] = {0, 1, 2, 3};
static int index_of(void* device) { return *static_cast<int*>(device); }
static void fill(nvmlPciInfo_t* pci, unsigned bus) {
    std::memset(pci, 0, sizeof(*pci));
    pci->bus = bus;
    std::snprintf(pci->busId, sizeof(pci->busId), "00000000:%02X:00.0", bus);
}
static unsigned bus_of(int index) { return 0x1Bu + 0x10u * static_cast<unsigned>(index); }

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int status) { return status == 6 ? "Not Found" : "Unknown Error"; }
int nvmlSystemGetDriverVersion(char* text, unsigned length) {
    std::snprintf(text, length, "535.104.05");
    return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
    *count = 4;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
    if (index > 3) return 2;
    *device = &fake_devices[index];
    return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* text, void** device) {
    unsigned domain = 0, bus = 0;
    if (std::sscanf(text, "%x:%x", &domain, &bus) != 2) return 2;
    for (int& index : fake_devices)
        if (bus_of(index) == bus) {
            *device = &index;
            return 0;
        }
    return 6;
}
int nvmlDeviceGetPciInfo_v3(void* device, nvmlPciInfo_t* pci) {
    fill(pci, bus_of(index_of(device)));
    return 0;
}
int nvmlDeviceGetName(void*, char* text, unsigned length) {
    std::snprintf(text, length, "NVIDIA Test 80GB");
    return 0;
}
int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* active) {
    const unsigned links = index_of(device) < 2 ? 4 : 2;
    if (link >= links) return 2;
    *active = index_of(device) == 3 && link == 1 ? 0 : 1;
    return 0;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* device, unsigned link, nvmlPciInfo_t* pci) {
    const int index = index_of(device);
    fill(pci, index < 2 ? bus_of(1 - index) : 0xC0u + link);
    return 0;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(void* device, unsigned, int* type) {
    *type = index_of(device) < 2 ? 0 : 2;
    return 0;
}
int nvmlDeviceGetMemoryInfo_v2(void* device, nvmlMemory_v2_t* memory) {
    if (memory->version != (40u | 2u << 24)) return 25;
    memory->total = 80ULL << 30;
    memory->reserved = 1ULL << 30;
    memory->used = index_of(device) == 1 ? 3ULL << 30 : 4ULL << 20;
    memory->free = memory->total - memory->reserved - memory->used;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, nvmlProcessInfo_v2_t* processes) {
    const unsigned there = index_of(device) == 1 ? 2 : 0;
    if (*count < there) {
        *count = there;
        return 7;
    }
    *count = there;
    if (there == 0) return 0;
    processes[0] = {4242, 2ULL << 30, ~0u, ~0u};
    processes[1] = {4243, ~0ULL, ~0u, ~0u};
    return 0;
}
int nvmlDeviceGetCurrPcieLinkWidth(void* device, unsigned* width) {
    *width = index_of(device) == 2 ? 8 : 16;
    return 0;
}
int nvmlDeviceGetMaxPcieLinkWidth(void*, unsigned* width) {
    *width = 16;
    return 0;
}
int nvmlDeviceGetCurrPcieLinkGeneration(void*, unsigned* generation) {
    *generation = 1;
    return 0;
}
int nvmlDeviceGetMaxPcieLinkGeneration(void*, unsigned* generation) {
    *generation = 4;
    return 0;
}
int nvmlDeviceGetPersistenceMode(void* device, int* mode) {
    *mode = index_of(device) != 0;
    return 0;
}
int nvmlDeviceGetEccMode(void* device, int* current, int* pending) {
    if (index_of(device) == 3) return 3;
    *current = *pending = 1;
    return 0;
}
int nvmlDeviceGetMigMode(void* device, unsigned* current, unsigned* pending) {
    *current = *pending = index_of(device) == 3;
    return 0;
}
int nvmlDeviceGetP2PStatus(void* from, void* to, int capability, int* status) {
    if (capability > 1) return 2;
    *status = index_of(from) / 2 == index_of(to) / 2 ? 0 : 1;
    return 0;
}
}
