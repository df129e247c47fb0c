// Which of the kernels compiled for several instruction sets run on this processor, and the choice among them.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace mtp {

#ifdef MTP_X86_KERNELS
inline bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

inline bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
#endif

// The kernel of a name among those known, best last; without a name the best (the environment's MTP_KERNEL overrides
// that). Throws std::invalid_argument for a name that is not known.
template <typename Kernel>
const Kernel* choose_kernel(const std::vector<const Kernel*>& known, std::string name) {
  if (name.empty())
    if (const char* variable = std::getenv("MTP_KERNEL")) name = variable;
  if (name.empty()) return known.back();
  std::string names;
  for (const Kernel* kernel : known) {
    if (name == kernel->name) return kernel;
    names += std::string(names.empty() ? "" : ", ") + kernel->name;
  }
  throw std::invalid_argument("no kernel '" + name + "' here; available: " + names);
}

}  // namespace mtp
