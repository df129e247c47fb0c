// A potential compiled into what the vector kernels run: radial polynomials, the independent basic moments and a
// schedule of products. Only raw pointers, because files compiled for different instruction sets include it.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

namespace mtp {

struct Potential;

// Basic moments use unit vectors u, so x^2 + y^2 + z^2 = 1 and every moment with z^2 follows from three others:
// only the (rank + 1)^2 monomials with z^0 or z^1 are summed over neighbours. Monomials are ordered by rank; rank n
// starts at n^2 with x^n, x^(n-1) y ... y^n, followed by the x^i y^j z of the same rank.
struct Dependent {
  int target;  // m[target] = m[lower] - m[xx] - m[yy]
  int lower, xx, yy;
};

struct Linear {  // weight m[a]
  double weight;
  int a;
};

struct Factors {  // of a product of two moments; small, because high levels stream through thousands of them
  std::uint16_t a, b;
};

struct Program {
  int species_count;
  int funcs;       // radial functions
  int basis_size;  // radial basis functions
  int rank;        // the largest rank of a basic moment
  int monomials;   // (rank + 1)^2
  bool usual;      // functions 0, 1 ... have monomials up to rank, rank - 2 ... and at last 0

  double cutoff, cutoff_squared, min_dist;
  double scale, shift;  // argument of the Chebyshev polynomials: scale r + shift
  double factor;        // the file's `scaling`
  bool repulsive;       // constant radial functions and a repulsion below min_dist
  bool horner;          // radial_poly may be used (few basis functions), else radial_cheb
  const double* radial_poly;  // [species][species][function][basis], powers, highest first, times factor
  const double* radial_cheb;  // the same in Chebyshev polynomials, lowest first

  const int* function_monomials;  // per radial function, how many monomials its moments need
  const int* function_offset;     // per radial function, its first independent moment

  // Moments: independent, then dependent, then the products that are factors of others.
  int independent, dependent, inner;
  const Dependent* dependents;
  const int* product_start;       // [inner + 1] into factors and weights
  const Factors* factors;         // m = sum of weight m[a] m[b]
  const double* weights;
  const double* constant;         // dE/dm from the moments that are themselves scalars
  const int* linear_start;        // [moments + 1] into linears: dE/dm += weight m[a], from scalars that are not kept
  const Linear* linears;

  // The scalars themselves, needed for derivatives with respect to the coefficients only.
  int scalars;
  const int* scalar_moment;  // the moment that a scalar is, or -1 where it is a sum of products
  const int* scalar_start;   // [scalars + 1] into scalar_factors and scalar_weights
  const Factors* scalar_factors;
  const double* scalar_weights;

  const double* species_coeffs;

  int moments() const { return independent + dependent + inner; }
  // Floating-point operations of energy and forces, a fused multiply-add counted as two: what one atom costs, and what
  // each of its neighbours within the cutoff adds. Work on padding is not counted.
  long flops_per_atom() const;
  long flops_per_neighbour() const;

  // Parameters that the energy of an atom of a given species depends on, its own constant aside: the radial ones of
  // that species, then the moments'.
  int species_radial() const { return species_count * funcs * basis_size; }
  int row_size() const { return species_radial() + scalars; }
  // All parameters, in the order radial, species, moment.
  int species_begin() const { return species_count * species_radial(); }
  int parameters() const { return species_begin() + species_count + scalars; }
};

// Owns a program's tables.
class CompiledProgram {
 public:
  explicit CompiledProgram(const Potential& potential);
  ~CompiledProgram();
  CompiledProgram(CompiledProgram&&) noexcept;
  CompiledProgram& operator=(CompiledProgram&&) noexcept;
  const Program& view() const { return view_; }

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
  Program view_{};
};

}  // namespace mtp
