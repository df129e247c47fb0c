// What a file compiled for one instruction set offers, and the arrays that it works on. A lane is one atom of a batch
// of atoms of the same species; a slot is the k-th neighbour of one species of every lane.
//
// SPDX-License-Identifier: MIT
#pragma once

#include "program.hpp"

namespace mtp {

// All arrays are aligned to 64 bytes and hold `lanes` doubles a slot; neighbour slots of species s begin at s capacity.
struct Batch {
  int species;       // of all central atoms
  int capacity;      // slots a species
  int* slots;        // [species] slots in use
  int* neighbours;   // [slot][lane] index of the neighbour; the central atom's own where a lane has none
  double* vectors;   // [slot][3][lane] from the central atom to the neighbour; replaced by dE/dvector
  double* energy;    // [lane]
  double* force;     // [3][lane] on the central atoms
  double* virial;    // [6][lane] xx yy zz xy xz yz, or null where not wanted
  double* row;       // [row_size][lane] derivatives with respect to coefficients, or null where not wanted
  double* workspace; // [workspace_size]
};

constexpr int grade_batches = 4;

struct Kernel {
  const char* name;
  int lanes;
  // Doubles that a batch of at most `slots` slots needs.
  long (*workspace_size)(const Program&, long slots);
  // Puts the neighbours within the cutoff of one atom into a lane; counts[species] receives their numbers. `list` holds
  // the neighbours of species 0 up to ends[0], then those of species 1 up to ends[1] ...; positions are [atoms][3].
  void (*gather)(const Program&, const double* positions, int centre, const int* list, const int* ends, int lane,
                 int* counts, const Batch&);
  // The same; puts those closer than the root of `kept_squared` into `kept`, in the same form, and their ends too.
  void (*gather_and_keep)(const Program&, const double* positions, int centre, const int* list, const int* ends,
                          int lane, int* counts, const Batch&, double kept_squared, int* kept, int* kept_ends);
  // Fills what the lanes lack up to `slots` with neighbours at the cutoff, which contribute nothing.
  void (*pad)(const Program&, int centre, int lane, const int* counts, const Batch&);
  void (*evaluate)(const Program&, const Batch&);
  // Adds the batch's forces on neighbours to forces [atoms][3].
  void (*scatter)(const Program&, const Batch&, double* forces);
  // For each lane of `grade_batches` batches of one species, the largest of |row . column| over `columns`
  // [parameters][parameters]. Several batches, because the columns of a high level do not fit into near caches.
  // rows: [batch][row_size][lane], grades: [batch][lane].
  void (*grade)(const Program&, int species, const double* rows, const double* columns, double* grades);
};

const Kernel& kernel_baseline();
#ifdef MTP_X86_KERNELS
const Kernel& kernel_avx2();
const Kernel& kernel_avx512();
#endif

}  // namespace mtp
