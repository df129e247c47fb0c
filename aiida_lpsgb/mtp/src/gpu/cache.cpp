// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "device.hpp"

namespace mtp::gpu {
namespace {

std::string hash(const std::string& text) {
  std::string out;
  for (std::uint64_t h : {0xcbf29ce484222325ull, 0x84222325cbf29ce4ull}) {  // twice FNV-1a, from two beginnings
    for (const unsigned char c : text) h = (h ^ c) * 0x100000001b3ull;
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(h));
    out += digits;
  }
  return out;
}

std::filesystem::path folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return std::filesystem::path(cache) / "aiida-lpsgb" / "kernels";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".cache" / "aiida-lpsgb" / "kernels";
  return {};
}

}  // namespace

Cache::Cache(const std::string& key, const char* extension) {
  const std::filesystem::path where = folder();
  std::error_code error;
  if (where.empty()) return;
  std::filesystem::create_directories(where, error);
  if (!error) path_ = (where / (hash(key) + extension)).string();
}

std::string Cache::read() const {
  std::ifstream file(path_, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Cache::temporary() const { return path_ + "." + std::to_string(getpid()) + ".tmp"; }

void Cache::write(const std::string& image) const {
  if (path_.empty()) return;
  std::error_code error;
  std::ofstream file(temporary(), std::ios::binary);
  file << image;
  file.close();
  if (file) std::filesystem::rename(temporary(), path_, error);
  if (!file || error) std::filesystem::remove(temporary(), error);
}

}  // namespace mtp::gpu
