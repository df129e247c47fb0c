// NVRTC, the compiler that CUDA brings as a library, by the few of its functions that are needed.
//
// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <filesystem>

#include "library.hpp"

namespace mtp::gpu {
namespace {

// Where the wheels nvidia-cuda-nvrtc-cu12 and nvidia-cuda-nvrtc put it, beside this package.
std::vector<std::string> candidates() {
  std::vector<std::string> names;
  if (const char* given = std::getenv("MTP_NVRTC"); given != nullptr && *given != '\0') return {given};
  Dl_info own;
  if (dladdr(reinterpret_cast<const void*>(&nvrtc_description), &own) != 0 && own.dli_fname != nullptr) {
    std::error_code error;
    const auto packages = std::filesystem::absolute(own.dli_fname, error).parent_path().parent_path().parent_path();
    for (const char* name : {"cuda_nvrtc/lib/libnvrtc.so.12", "cu13/lib/libnvrtc.so.13"})
      if (const auto path = packages / "nvidia" / name; std::filesystem::exists(path, error))
        names.push_back(path.string());
  }
  for (const char* root : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* folder = std::getenv(root)) names.push_back(std::string(folder) + "/lib64/libnvrtc.so");
  names.insert(names.end(), {"libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"});
  return names;
}

struct Nvrtc {
  using Program = void*;
  int (*version)(int*, int*);
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*);
  int (*destroy)(Program*);
  int (*compile)(Program, int, const char* const*);
  int (*log_size)(Program, std::size_t*);
  int (*log)(Program, char*);
  int (*cubin_size)(Program, std::size_t*);
  int (*cubin)(Program, char*);
  int (*ptx_size)(Program, std::size_t*);
  int (*ptx)(Program, char*);
  const char* (*error_string)(int);
  Library library;

  Nvrtc()
      : library("NVRTC, which compiles the kernels, was not found: pip install 'aiida-lpsgb[gpu]', or give the path of "
                "libnvrtc.so in the environment variable MTP_NVRTC. Tried:",
                candidates()) {
    library.find(version, "nvrtcVersion");
    library.find(create, "nvrtcCreateProgram");
    library.find(destroy, "nvrtcDestroyProgram");
    library.find(compile, "nvrtcCompileProgram");
    library.find(log_size, "nvrtcGetProgramLogSize");
    library.find(log, "nvrtcGetProgramLog");
    library.find(cubin_size, "nvrtcGetCUBINSize");
    library.find(cubin, "nvrtcGetCUBIN");
    library.find(ptx_size, "nvrtcGetPTXSize");
    library.find(ptx, "nvrtcGetPTX");
    library.find(error_string, "nvrtcGetErrorString");
  }

  std::string text_of(Program program, int (*size_of)(Program, std::size_t*), int (*get)(Program, char*)) const {
    std::size_t size = 0;
    size_of(program, &size);
    std::string text(size, '\0');
    if (size > 0) get(program, text.data());
    return text;
  }
};

const Nvrtc& nvrtc() {
  static const Nvrtc found;
  return found;
}

}  // namespace

std::string nvrtc_description() {
  int major = 0, minor = 0;
  nvrtc().version(&major, &minor);
  return "NVRTC " + std::to_string(major) + "." + std::to_string(minor) + " in " + nvrtc().library.name();
}

std::string compile(const std::string& source, const std::string& architecture) {
  const Nvrtc& n = nvrtc();
  const std::string target = "--gpu-architecture=" + architecture;
  const char* options[] = {target.c_str(), "--std=c++17", "--disable-warnings"};
  Nvrtc::Program program = nullptr;
  int result = n.create(&program, source.c_str(), "mtp.cu", 0, nullptr, nullptr);
  if (result == 0) result = n.compile(program, 3, options);
  if (result != 0) {
    const std::string log = program != nullptr ? n.text_of(program, n.log_size, n.log) : "";
    n.destroy(&program);
    throw DeviceError("NVRTC did not compile the kernels for " + architecture + ": " + n.error_string(result) + "\n" +
                      log);
  }
  const bool binary = architecture.compare(0, 3, "sm_") == 0;
  std::string image = n.text_of(program, binary ? n.cubin_size : n.ptx_size, binary ? n.cubin : n.ptx);
  n.destroy(&program);
  return image;
}

}  // namespace mtp::gpu
