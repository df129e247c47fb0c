// Energies, forces and coefficient derivatives of many atoms, given their neighbours. Knows no LAMMPS and no Python.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel.hpp"
#include "neighbourhoods.hpp"
#include "potential.hpp"
#include "program.hpp"
#include "shortlist.hpp"

namespace mtp {

// What to add to. Null pointers are not wanted; energy and forces always are.
struct Results {
  double energy = 0.0;
  double virial[6] = {};              // xx yy zz xy xz yz, the sum of r dot f
  bool want_virial = false;
  double* forces = nullptr;           // [atoms][3]
  double* energies = nullptr;         // [atoms]
  double (*virials)[6] = nullptr;     // [atoms], each of its atom's site energy
  double* row = nullptr;              // [parameters] the sum of dE_i/dp over centres, in the order of Potential
  double* rows = nullptr;             // [atoms][parameters] dE_i/dp; set, not added to
  const double* columns = nullptr;    // [parameters][parameters] of the inverse of an active set, for ...
  double* grades = nullptr;           // [atoms] extrapolation grades; set, not added to
};

// Names of the instruction sets that this build has and this processor runs, best last.
std::vector<std::string> available_kernels();

class Evaluator {
 public:
  // `kernel`: one of available_kernels(), or empty for the best (the environment's MTP_KERNEL overrides that).
  explicit Evaluator(const Potential& potential, const std::string& kernel = "");

  // positions: [atoms][3].
  void compute(const double* positions, const Neighbourhoods& neighbourhoods, Results& results);
  // The same by means of a shortlist of these neighbourhoods, where they reach further than the cutoff.
  void compute(const double* positions, std::size_t atoms, const Neighbourhoods& neighbourhoods, Shortlist& shortlist,
               Results& results);

  const char* kernel_name() const { return kernel_->name; }
  const Program& program() const { return program_.view(); }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  template <typename T>
  class Buffer {  // grows, aligned to 64 bytes, content not kept
   public:
    T* ensure(std::size_t count);
    T* data() const { return memory_.get(); }

   private:
    std::unique_ptr<T, Free> memory_;
    std::size_t size_ = 0;
  };

  // What a walk over neighbours does with a shortlist.
  enum class Use { none, write, read };

  void compute_all(const double* positions, const Neighbourhoods& neighbourhoods, Use use, Shortlist* shortlist,
                   Results& results);
  void prepare_batch(const Neighbourhoods& neighbourhoods, const Results& results);
  // Puts the k-th centre of the batch's species into a lane.
  void gather(const double* positions, const Neighbourhoods& neighbourhoods, std::size_t k, int lane, Use use,
              Shortlist* shortlist);
  // Evaluates centres first ... first + used of the batch's species.
  void run_batch(const double* positions, const Neighbourhoods& neighbourhoods, std::size_t first, int used, Use use,
                 Shortlist* shortlist, Results& results);
  void collect(const int* centres, int used, Results& results);
  void collect_rows(const int* centres, int used, Results& results);
  // Keeps a batch's row, and grades when enough have come together.
  void collect_grades(const int* centres, int used, Results& results);
  void grade(Results& results);

  CompiledProgram program_;
  const Kernel* kernel_;
  Batch batch_{};
  Buffer<double> vectors_, workspace_, row_, small_;
  Buffer<int> neighbours_;
  std::vector<int> slots_, counts_, kept_ends_;
  std::vector<std::pair<const int*, int>> ungraded_;  // centres and their number, of each batch with a row
};

}  // namespace mtp
