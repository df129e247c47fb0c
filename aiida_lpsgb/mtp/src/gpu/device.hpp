// What runs the kernels: a card through its driver, or the host for tests. What is asked for is done in order, and
// finished after synchronise().
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "parameters.h"

namespace mtp::gpu {

// Says why kernels cannot run here, or what went wrong with them.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Kernel = void*;

class Module {
 public:
  virtual ~Module() = default;
  virtual Kernel kernel(const std::string& name) = 0;
  // Sets an array of constant memory.
  virtual void set(const std::string& name, const void* data, std::size_t bytes) = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;
  virtual bool host() const = 0;
  virtual std::size_t shared_limit() const = 0;  // bytes of shared memory that a block may have

  // Compiles a source, or loads what an earlier run compiled.
  virtual std::unique_ptr<Module> load(const std::string& source) = 0;

  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) = 0;
  virtual void* allocate_pinned(std::size_t bytes) = 0;  // of the host, for fast copies
  virtual void release_pinned(void* memory) = 0;
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const void* from, std::size_t bytes) = 0;
  virtual void clear(void* memory, std::size_t bytes) = 0;
  virtual void launch(Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared,
                      const mtp_gpu::Parameters& parameters) = 0;
  virtual void synchronise() = 0;
  // Microseconds that the device takes for what a function asks of it.
  virtual double time(const std::function<void()>& work) = 0;
};

// The card of this number (modulo how many there are). Throws DeviceError.
std::unique_ptr<Device> open_card(int number);
// Compiles kernels with the host's C++ compiler: the environment's CXX, or c++.
std::unique_ptr<Device> open_host();
// "host", or the number of a card.
inline std::unique_ptr<Device> open_device(const std::string& name) {
  return name == "host" ? open_host() : open_card(std::stoi(name));
}

// Where NVRTC was found and its version. Throws DeviceError.
std::string nvrtc_description();
// Compiles for an architecture as NVRTC names it (sm_90, compute_90), with or without a card; returns the image.
// Throws DeviceError with the compiler's messages.
std::string compile(const std::string& source, const std::string& architecture);

// Images of kernels that were compiled before, in the folder for caches (XDG_CACHE_HOME, or .cache in the home).
class Cache {
 public:
  // key: all that an image depends on.
  Cache(const std::string& key, const char* extension);
  // Empty where nothing can be kept.
  const std::string& path() const { return path_; }
  // The image, or nothing.
  std::string read() const;
  // Appears under its name only when it is complete. That it cannot be kept is no error.
  void write(const std::string& image) const;
  // A name in the same folder that no other process uses.
  std::string temporary() const;

 private:
  std::string path_;
};

}  // namespace mtp::gpu
