// Writes the source of the kernels for a potential. Its shape (level, numbers of species and of radial functions) goes
// into the text, its coefficients are data.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../program.hpp"
#include "parameters.h"

namespace mtp::gpu {

// The products as data, for levels at which code would be too long.
struct Tables {
  std::vector<mtp_gpu::Int4> starts;   // [stage][group] first task, linear, product; and where the last ones end
  std::vector<mtp_gpu::Int4> headers;  // [task] see kernels.cuh
  std::vector<double> constants;       // [task]
  std::vector<int> linear_slots;
  std::vector<double> linear_weights;
  std::vector<std::uint64_t> entries;  // [product] slots and weight
  bool wide = false;                   // entries need 64 bits
};

class Source {
 public:
  // shared_limit: bytes of shared memory that a block may have. Throws std::invalid_argument for a potential that does
  // not fit.
  Source(const Program& program, bool mixed, std::size_t shared_limit);

  // With the virial of each atom or without; for NVRTC or for a compiler of the host.
  std::string text(bool atom_virials, bool host) const;

  bool mixed, fused;
  int moments;                  // independent ones
  int tile, product_tile;       // atoms a block
  int groups;                   // of threads that share the products
  int atom_bits;                // of an entry of a neighbour list
  Tables tables;                // unless fused
  std::vector<double> weights;  // of the generated products, in constant memory

  int threads() const { return lanes * tile; }
  std::size_t real_size() const { return mixed ? sizeof(float) : sizeof(double); }
  // Coefficients of the radial functions as the kernels want them.
  std::vector<double> radial(const Program& program) const;
  // Bytes of shared memory.
  std::size_t shared_evaluate(int capacity) const;
  std::size_t shared_radial() const { return radial_shared_ * real_size(); }
  std::size_t shared_products() const { return static_cast<std::size_t>(slots_) * product_tile * real_size(); }
  std::size_t shared_forces() const;

 private:
  static constexpr int lanes = 4;  // threads an atom

  void add_chunks(const Program& program);
  void add_differentiate(const Program& program);
  void define(const char* name, const std::string& value);
  void define(const char* name, long value) { define(name, std::to_string(value)); }

  int slots_, radial_width_, radial_row_, radial_shared_;
  std::string generated_;
};

}  // namespace mtp::gpu
