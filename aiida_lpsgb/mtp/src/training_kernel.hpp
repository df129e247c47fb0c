// What the training needs of a file compiled for one instruction set: a configuration's energy, forces and virial,
// their derivatives with respect to all coefficients, and the products of these. Only raw pointers, as in kernel.hpp.
//
// SPDX-License-Identifier: MIT
#pragma once

namespace mtp {
namespace training {

// Coefficients and columns of a Jacobian, padded in groups of eight: the moment coefficients, the species coefficients,
// then for each central species and radial function the coefficients of all neighbour species. The first two kinds are
// the linear ones; a Jacobian may end with them.
struct Form {
  int species, funcs, basis;
  double min_dist, cutoff, scaling;
  int rank;               // the largest rank of a basic moment
  int monomials;          // distinct products of powers of x, y, z in basic moments
  const int* exponents;   // [monomials][3]
  int basic;              // basic moments, ordered by radial function
  const int* monomial_of; // [basic]
  const int* func_start;  // [funcs + 1] into the basic moments
  int moments, products, scalars;
  const int* times;       // [products][4] a, b, factor, target
  const int* scalar_moment;

  int func_columns;       // of one central species and radial function, padded
  int block() const { return funcs * func_columns; }  // of one central species
  int scalar_columns;     // padded
  int linear_columns;     // the moment and species coefficients
  int columns;            // of a Jacobian: all, or the linear ones
  bool radial() const { return columns > linear_columns; }
};

struct Configuration {
  int atoms;
  const int* species;             // [atoms]
  const int* start;               // [atoms + 1] into the neighbours, which are sorted by species
  const int* neighbours;          // the atom of which a neighbour is an image
  const int* neighbour_species;
  const double* vectors;          // [neighbours][3]
};

constexpr int rows_of(int atoms) { return 1 + 3 * atoms + 6; }

struct Kernel {
  const char* name;
  // Doubles that an atom with that many neighbours needs.
  long (*workspace_size)(const Form&, int neighbours);
  // values [rows]: energy, forces, virial (xx yy zz yz xz xy, the sum of r f); jacobian [rows][columns], or null.
  void (*evaluate)(const Form&, const double* coefficients, const Configuration&, double* workspace, double* values,
                   double* jacobian);
  // Adds the jacobian's products to the upper triangle of matrix [columns][columns] (and some of the lower).
  void (*accumulate)(const double* jacobian, long rows, int columns, double* matrix);
  // c [rows][columns] += a [rows][depth] b [depth][columns]; element (i, k) of a is a[i ai + k ak], rows of b and c are
  // bk and ci apart, and `columns` is a multiple of 8.
  void (*multiply)(long rows, long columns, long depth, const double* a, long ai, long ak, const double* b, long bk,
                   double* c, long ci);
  // row [size] -= factor change; returns the largest magnitude in it.
  double (*update_row)(double factor, const double* change, long size, double* row);
};

const Kernel& kernel_baseline();
#ifdef MTP_X86_KERNELS
const Kernel& kernel_avx2();
const Kernel& kernel_avx512();
#endif

}  // namespace training
}  // namespace mtp
