// What every kernel is given: the addresses of all arrays and the numbers that are no constants of the source. Part of
// the kernels' source and of the host's.
//
// SPDX-License-Identifier: MIT
#pragma once

namespace mtp_gpu {

struct alignas(32) Point {
  double x, y, z, spare;
};

struct alignas(16) NearPoint {  // in single precision, enough to sort out neighbours
  float x, y, z;
  unsigned entry;
};

struct alignas(16) Int4 {
  int x, y, z, w;
};

// An entry of a neighbour list is an atom and, in the bits above it, the atom's species.
struct Parameters {
  int rows;         // atoms whose energies are computed
  int all;          // these and their ghosts
  int stride;       // entries that a row of `list` has room for
  int capacity;     // the same of `near`
  int cells[3];
  float cell_inverse;             // 1 / edge
  float low[3];                   // corner of the first cell
  float list_squared;             // (cutoff + skin)^2 and
  float near_squared;             // cutoff^2 with a margin for rounding
  double origin[3];               // middle of all atoms, which points are relative to
  double cutoff, min_dist, scale, shift;  // see Program
  const double* positions;        // [all][3]
  const double* constants;        // [species] energy of an atom alone
  const int* species;             // [all]
  const int* order;               // [rows] the atom of each row; rows are sorted by species
  Point* points;                  // [all]
  NearPoint* near_points;         // [all]
  int* cell_of;                   // [all]
  int* rank_in_cell;              // [all]
  int* cell_counts;               // [cells]
  int* cell_starts;               // [cells]
  NearPoint* cell_points;         // [all] sorted by cell
  unsigned* list;                 // [rows][stride] neighbours within cutoff + skin
  int* lengths;                   // [rows]
  unsigned* near;                 // [rows][capacity] those within the cutoff, unless they are in shared memory
  int* near_counts;               // [rows]
  const void* radial;             // [species][species][row] coefficients of radial functions
  void* moments;                  // [moment][rows]
  void* gradients;                // [moment][rows]
  const Int4* starts;             // products as tables: see Tables
  const Int4* headers;
  const void* task_constants;
  const int* linear_slots;
  const void* linear_weights;
  const void* entries;
  double* energies;               // [all]
  double* virials;                // [all][6]
  double* forces;                 // [all][3]
  double* totals;                 // energy, then the virial: xx yy zz xy xz yz
  int* filled;                    // cells' points placed so far, longest row of `list`, longest of `near`
};

}  // namespace mtp_gpu
