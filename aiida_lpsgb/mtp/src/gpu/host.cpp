// The host in place of a card: kernels compiled by its C++ compiler and run by emulation.h.
//
// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <new>

#include "library.hpp"

namespace mtp::gpu {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Runs a command; what it says is the reason where it fails.
void run(const std::string& command, const std::string& what) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw DeviceError(what + ": cannot start " + command);
  char buffer[4096];
  while (const std::size_t n = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  if (pclose(pipe) != 0) throw DeviceError(what + ": " + command + "\n" + output.substr(0, 4000));
}

using Function = void(mtp_gpu::Parameters);
using Emulate = void(Function*, unsigned, unsigned, std::size_t, const mtp_gpu::Parameters*);

struct Emulated {
  Function* function;
  Emulate* emulate;
};

class HostModule : public Module {
 public:
  explicit HostModule(const std::string& path) : library_("The compiled kernels cannot be opened:", {path}) {
    library_.find(emulate_, "mtp_emulate");
  }

  Kernel kernel(const std::string& name) override {
    Function* function;
    library_.find(function, name.c_str());
    kernels_.push_back({function, emulate_});
    return &kernels_.back();
  }

  void set(const std::string& name, const void* data, std::size_t bytes) override {
    char* to;
    library_.find(to, name.c_str());
    std::memcpy(to, data, bytes);
  }

 private:
  Library library_;
  Emulate* emulate_;
  std::deque<Emulated> kernels_;  // keeps their addresses
};

class Host : public Device {
 public:
  std::string name() const override { return "the host in place of a card, for tests"; }
  bool host() const override { return true; }
  std::size_t shared_limit() const override { return 227 * 1024; }  // as an H100

  std::unique_ptr<Module> load(const std::string& source) override {
    const char* given = std::getenv("CXX");
    const std::string compiler = given != nullptr && *given != '\0' ? given : "c++";
    // Little optimisation: such code is compiled more often than run.
    const std::string command = compiler + " -std=c++17 -O1 -w -fPIC -shared -fno-strict-aliasing";
    const Cache cache(command + "\n" + source, ".so");
    if (cache.path().empty()) throw DeviceError("there is no folder for compiled kernels: set HOME or XDG_CACHE_HOME");
    std::error_code error;
    if (!std::filesystem::exists(cache.path(), error)) {
      const std::string temporary = cache.temporary(), text = temporary + ".cpp";
      std::ofstream(text) << source;
      run(command + " -o " + quoted(temporary) + " " + quoted(text), "the kernels were not compiled");
      std::filesystem::remove(text, error);
      std::filesystem::rename(temporary, cache.path());
    }
    return std::make_unique<HostModule>(cache.path());
  }

  void* allocate(std::size_t bytes) override {
    // Not zero, as a card's memory need not be.
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (memory == nullptr) throw std::bad_alloc();
    return std::memset(memory, 0xff, bytes);
  }
  void release(void* memory) override { std::free(memory); }
  void* allocate_pinned(std::size_t bytes) override { return allocate(bytes); }
  void release_pinned(void* memory) override { std::free(memory); }
  void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void clear(void* memory, std::size_t bytes) override { std::memset(memory, 0, bytes); }
  void synchronise() override {}

  void launch(Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared,
              const mtp_gpu::Parameters& parameters) override {
    const Emulated* emulated = static_cast<const Emulated*>(kernel);
    emulated->emulate(emulated->function, blocks, threads, shared, &parameters);
  }

  double time(const std::function<void()>& work) override {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
  }
};

}  // namespace

std::unique_ptr<Device> open_host() { return std::make_unique<Host>(); }

}  // namespace mtp::gpu
