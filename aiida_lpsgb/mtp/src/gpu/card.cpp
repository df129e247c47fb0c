// A card through the functions of CUDA's driver, which is looked for when the program runs.
//
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "library.hpp"

namespace mtp::gpu {
namespace {

using Result = int;
using Address = unsigned long long;

enum Attribute {  // of cuda.h
  compute_capability_major = 75,
  compute_capability_minor = 76,
  max_shared_memory_per_block_optin = 97,
};
constexpr int max_dynamic_shared_size_bytes = 8;  // of a function

struct Driver {
  Library library{"The CUDA driver was not found: this machine has no NVIDIA card, or its driver is not installed. "
                  "Tried:",
                  {"libcuda.so.1"}};
  Result (*init)(unsigned);
  Result (*error_string)(Result, const char**);
  Result (*version)(int*);
  Result (*device_count)(int*);
  Result (*device_get)(int*, int);
  Result (*device_name)(char*, int, int);
  Result (*device_attribute)(int*, int, int);
  Result (*context_retain)(void**, int);
  Result (*context_release)(int);
  Result (*context_set)(void*);
  Result (*stream_create)(void**, unsigned);
  Result (*stream_synchronise)(void*);
  Result (*stream_destroy)(void*);
  Result (*module_load)(void**, const void*);
  Result (*module_unload)(void*);
  Result (*module_function)(void**, void*, const char*);
  Result (*module_global)(Address*, std::size_t*, void*, const char*);
  Result (*function_attribute)(void*, int, int);
  Result (*allocate)(Address*, std::size_t);
  Result (*release)(Address);
  Result (*host_allocate)(void**, std::size_t, unsigned);
  Result (*host_release)(void*);
  Result (*upload)(Address, const void*, std::size_t, void*);
  Result (*download)(void*, Address, std::size_t, void*);
  Result (*clear)(Address, unsigned char, std::size_t, void*);
  Result (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  Result (*event_create)(void**, unsigned);
  Result (*event_record)(void*, void*);
  Result (*event_elapsed)(float*, void*, void*);
  Result (*event_destroy)(void*);

  Driver() {
    library.find(init, "cuInit");
    library.find(error_string, "cuGetErrorString");
    library.find(version, "cuDriverGetVersion");
    library.find(device_count, "cuDeviceGetCount");
    library.find(device_get, "cuDeviceGet");
    library.find(device_name, "cuDeviceGetName");
    library.find(device_attribute, "cuDeviceGetAttribute");
    library.find(context_retain, "cuDevicePrimaryCtxRetain");
    library.find(context_release, "cuDevicePrimaryCtxRelease_v2");
    library.find(context_set, "cuCtxSetCurrent");
    library.find(stream_create, "cuStreamCreate");
    library.find(stream_synchronise, "cuStreamSynchronize");
    library.find(stream_destroy, "cuStreamDestroy_v2");
    library.find(module_load, "cuModuleLoadData");
    library.find(module_unload, "cuModuleUnload");
    library.find(module_function, "cuModuleGetFunction");
    library.find(module_global, "cuModuleGetGlobal_v2");
    library.find(function_attribute, "cuFuncSetAttribute");
    library.find(allocate, "cuMemAlloc_v2");
    library.find(release, "cuMemFree_v2");
    library.find(host_allocate, "cuMemHostAlloc");
    library.find(host_release, "cuMemFreeHost");
    library.find(upload, "cuMemcpyHtoDAsync_v2");
    library.find(download, "cuMemcpyDtoHAsync_v2");
    library.find(clear, "cuMemsetD8Async");
    library.find(launch, "cuLaunchKernel");
    library.find(event_create, "cuEventCreate");
    library.find(event_record, "cuEventRecord");
    library.find(event_elapsed, "cuEventElapsedTime");
    library.find(event_destroy, "cuEventDestroy_v2");
  }

  void check(Result result, const char* what) const {
    if (result == 0) return;
    const char* reason = nullptr;
    error_string(result, &reason);
    throw DeviceError(std::string("CUDA could not ") + what + ": " +
                      (reason != nullptr ? reason : "error " + std::to_string(result)));
  }
};

const Driver& driver() {
  static const Driver found;
  return found;
}

Address address(const void* memory) { return reinterpret_cast<Address>(memory); }

class CardModule : public Module {
 public:
  CardModule(const std::string& image, std::size_t shared_limit) : shared_limit_(shared_limit) {
    driver().check(driver().module_load(&module_, image.c_str()), "load the kernels");
  }
  ~CardModule() override { driver().module_unload(module_); }

  Kernel kernel(const std::string& name) override {
    void* function = nullptr;
    driver().check(driver().module_function(&function, module_, name.c_str()), ("find the kernel " + name).c_str());
    const int limit = static_cast<int>(shared_limit_);
    driver().check(driver().function_attribute(function, max_dynamic_shared_size_bytes, limit), "get shared memory");
    return function;
  }

  void set(const std::string& name, const void* data, std::size_t bytes) override {
    Address to = 0;
    std::size_t size = 0;
    driver().check(driver().module_global(&to, &size, module_, name.c_str()), ("find " + name).c_str());
    driver().check(driver().upload(to, data, std::min(bytes, size), nullptr), "copy coefficients");
    driver().check(driver().stream_synchronise(nullptr), "copy coefficients");
  }

 private:
  void* module_ = nullptr;
  std::size_t shared_limit_;
};

class Card : public Device {
 public:
  explicit Card(int number) {
    const Driver& d = driver();
    int count = 0;
    d.check(d.init(0), "start");
    d.check(d.device_count(&count), "count the cards");
    if (count == 0) throw DeviceError("CUDA sees no card; CUDA_VISIBLE_DEVICES may hide it");
    number_ = number % count;
    d.check(d.device_get(&device_, number_), "open the card");
    d.check(d.context_retain(&context_, device_), "make a context on the card");
    d.check(d.context_set(context_), "use the card");
    d.check(d.stream_create(&stream_, 1), "make a stream");
    if (attribute(compute_capability_major) < 6)
      throw DeviceError(name() + " is too old: compute capability 6.0 is needed");
  }

  ~Card() override {
    driver().stream_destroy(stream_);
    driver().context_release(device_);
  }

  std::string name() const override {
    char text[256] = "";
    driver().device_name(text, sizeof text - 1, device_);
    int version = 0;
    driver().version(&version);
    return std::string(text) + " (number " + std::to_string(number_) + ", compute capability " +
           std::to_string(attribute(compute_capability_major)) + "." +
           std::to_string(attribute(compute_capability_minor)) + ", driver for CUDA " +
           std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10) + ")";
  }

  bool host() const override { return false; }
  std::size_t shared_limit() const override { return attribute(max_shared_memory_per_block_optin); }

  std::unique_ptr<Module> load(const std::string& source) override {
    const std::string architecture =
        "sm_" + std::to_string(10 * attribute(compute_capability_major) + attribute(compute_capability_minor));
    // A run that finds its kernels compiled needs no NVRTC.
    const Cache cache(architecture + "\n" + source, ".cubin");
    if (const std::string image = cache.read(); !image.empty()) try {
        return std::make_unique<CardModule>(image, shared_limit());
      } catch (const DeviceError&) {  // of a damaged file: compile anew
      }
    const std::string image = compile(source, architecture);
    cache.write(image);
    return std::make_unique<CardModule>(image, shared_limit());
  }

  void* allocate(std::size_t bytes) override {
    Address memory = 0;
    driver().check(driver().allocate(&memory, bytes), "get memory on the card");
    return reinterpret_cast<void*>(memory);
  }
  void release(void* memory) override { driver().release(address(memory)); }

  void* allocate_pinned(std::size_t bytes) override {
    void* memory = nullptr;
    driver().check(driver().host_allocate(&memory, bytes, 0), "get pinned memory");
    return memory;
  }
  void release_pinned(void* memory) override { driver().host_release(memory); }

  void upload(void* to, const void* from, std::size_t bytes) override {
    driver().check(driver().upload(address(to), from, bytes, stream_), "copy to the card");
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    driver().check(driver().download(to, address(from), bytes, stream_), "copy from the card");
  }
  void clear(void* memory, std::size_t bytes) override {
    driver().check(driver().clear(address(memory), 0, bytes, stream_), "clear memory");
  }

  void launch(Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared,
              const mtp_gpu::Parameters& parameters) override {
    void* arguments[] = {const_cast<mtp_gpu::Parameters*>(&parameters)};
    const unsigned bytes = static_cast<unsigned>(shared);
    driver().check(driver().launch(kernel, blocks, 1, 1, threads, 1, 1, bytes, stream_, arguments, nullptr),
                   "start a kernel");
  }

  void synchronise() override { driver().check(driver().stream_synchronise(stream_), "finish its kernels"); }

  double time(const std::function<void()>& work) override {
    const Driver& d = driver();
    void *begin = nullptr, *end = nullptr;
    float milliseconds = 0.0f;
    d.check(d.event_create(&begin, 0), "make an event");
    d.check(d.event_create(&end, 0), "make an event");
    d.check(d.event_record(begin, stream_), "record an event");
    work();
    d.check(d.event_record(end, stream_), "record an event");
    synchronise();
    d.check(d.event_elapsed(&milliseconds, begin, end), "read its clock");
    d.event_destroy(begin);
    d.event_destroy(end);
    return 1e3 * milliseconds;
  }

 private:
  int attribute(Attribute which) const {
    int value = 0;
    driver().check(driver().device_attribute(&value, which, device_), "tell what the card is");
    return value;
  }

  int number_ = 0, device_ = 0;
  void *context_ = nullptr, *stream_ = nullptr;
};

}  // namespace

std::unique_ptr<Device> open_card(int number) { return std::make_unique<Card>(number); }

}  // namespace mtp::gpu
