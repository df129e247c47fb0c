// Libraries that are looked for when the program runs.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <dlfcn.h>

#include <string>
#include <vector>

#include "device.hpp"

namespace mtp::gpu {

class Library {
 public:
  // The first of these that can be opened. `what` is said where there is none.
  Library(const std::string& what, const std::vector<std::string>& names) {
    std::string reasons;
    for (const std::string& name : names) {
      handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle_ != nullptr) {
        name_ = name;
        return;
      }
      reasons += std::string("\n  ") + dlerror();
    }
    throw DeviceError(what + reasons);
  }

  const std::string& name() const { return name_; }

  template <typename Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (function == nullptr) throw DeviceError(name_ + " is too old: it has no " + name);
  }

 private:
  void* handle_ = nullptr;  // open until the program ends: what it started may still run
  std::string name_;
};

}  // namespace mtp::gpu
