// Energies, forces and virials by a device: buffers, neighbour lists, the order of kernels. Knows no LAMMPS, no CUDA.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../evaluator.hpp"
#include "device.hpp"
#include "source.hpp"

namespace mtp::gpu {

// Memory that grows, content not kept: of the device, or pinned.
template <typename T>
class Buffer {
 public:
  explicit Buffer(Device& device, bool pinned = false) : device_(device), pinned_(pinned) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  T* ensure(std::size_t count) {
    if (count <= size_) return memory_;
    release();
    const std::size_t more = count + count / 8;
    memory_ = static_cast<T*>(pinned_ ? device_.allocate_pinned(more * sizeof(T)) : device_.allocate(more * sizeof(T)));
    size_ = more;
    return memory_;
  }
  T* data() const { return memory_; }

 private:
  void release() {
    if (memory_ != nullptr) pinned_ ? device_.release_pinned(memory_) : device_.release(memory_);
    memory_ = nullptr;
    size_ = 0;
  }

  Device& device_;
  bool pinned_;
  T* memory_ = nullptr;
  std::size_t size_ = 0;
};

class DeviceEvaluator {
 public:
  // mixed: positions and sums over atoms in double precision, all else in single. Throws DeviceError,
  // std::invalid_argument.
  DeviceEvaluator(const Potential& potential, std::unique_ptr<Device> device, bool mixed);
  ~DeviceEvaluator();

  // For a new set of atoms, or of their neighbours: the first `centres` of `all` atoms have energies. Neighbours within
  // `reach` of each other at the next compute are kept until the next call.
  void assign(int centres, int all, const SpeciesView& species, double reach);
  // The same with given lists.
  void assign(const ListsView& lists, int all, const SpeciesView& species);

  // Adds to the results, of which coefficient derivatives and grades are not computed here. positions: [all][3].
  void compute(const double* positions, Results& results);

  // Microseconds of the kernels of a step without list, transfers and sums over all atoms: the median of some. After
  // compute.
  double time_step(int repeats);

  std::string device_name() const { return device_->name(); }

 private:
  struct Buffers;
  struct Kernels;

  void upload_coefficients();
  std::vector<int> by_species(const int* atoms, int count, const SpeciesView& species) const;
  void assign_atoms(const std::vector<int>& order, int all, const SpeciesView& species);
  Kernels& kernels(bool atom_virials);
  void upload_positions(const double* positions);
  void fit_cells(const double* positions);
  void build_list();
  void run_step(Kernels& kernels);
  bool made_room();
  void collect(Results& results);
  template <typename T>
  const T* upload(Buffer<T>& buffer, const std::vector<T>& values);

  CompiledProgram program_;
  std::unique_ptr<Device> device_;
  Source source_;
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<Kernels> kernels_[2];  // without and with virials of atoms
  mtp_gpu::Parameters parameters_{};
  double reach_ = 0.0;
  bool own_list_ = false, fresh_ = false;
};

}  // namespace mtp::gpu
