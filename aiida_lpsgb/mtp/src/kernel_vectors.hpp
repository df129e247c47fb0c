// Vectors of one number a lane, and what a batch is worked on in; for the kernels, see kernel_impl.hpp.
//
// SPDX-License-Identifier: MIT
#pragma once

#include "kernel.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace mtp {
namespace {

constexpr int lanes = MTP_LANES;
typedef double V __attribute__((vector_size(lanes * sizeof(double))));

inline V broadcast(double value) { return value - V{}; }

inline V square_root(V v) {
#if defined(__AVX512F__) && MTP_LANES == 8
  return (V)_mm512_maskz_sqrt_pd(0xff, (__m512d)v);  // GCC warns of the plain form
#elif defined(__AVX__) && MTP_LANES == 4
  return (V)_mm256_sqrt_pd((__m256d)v);
#elif defined(__SSE2__) && MTP_LANES == 2
  return (V)_mm_sqrt_pd((__m128d)v);
#else
  for (int l = 0; l < lanes; ++l) v[l] = __builtin_sqrt(v[l]);
  return v;
#endif
}

// 1 / root.
inline V reciprocal_root(V v) {
#if defined(__AVX512F__) && MTP_LANES == 8
  // 14 bits, and twice as many by each step of Newton's; cheaper than root and division.
  V y = (V)_mm512_maskz_rsqrt14_pd(0xff, (__m512d)v);
  const V half = 0.5 * v;
  y *= 1.5 - half * y * y;
  y *= 1.5 - half * y * y;
  return y;
#else
  return 1.0 / square_root(v);
#endif
}

// Slots that are worked on together: a moment is loaded and stored once for all of them.
constexpr int tile = 4;

struct Geometry {
  V x, y, z;  // unit vector to the neighbour
  V inverse;  // 1 / distance
};

// dE/dvector, from dE/d(distance) by way of the radial functions and dE/d(unit vector). Along the bond the radial
// functions change, across it the unit vector does.
inline void project(const Geometry& g, V slope, V dx, V dy, V dz, V (&out)[3]) {
  const V along = slope - (dx * g.x + dy * g.y + dz * g.z) * g.inverse;
  out[0] = along * g.x + dx * g.inverse;
  out[1] = along * g.y + dy * g.inverse;
  out[2] = along * g.z + dz * g.inverse;
}

struct Workspace {
  V* moments;       // [moments]
  V* gradients;     // [moments] dE/dm
  Geometry* slots;  // [slot]
  V* values;        // [slot][function] radial functions
  V* slopes;        // [slot][function] their derivatives by distance
  V* radial;        // [slot][function] dE/d(radial function)
  V* monomials;     // [monomial][tile]
  V* adjoints;      // [monomial] dE/d(monomial)
};

long workspace_vectors(const Program& p, long slots) {
  const long geometry = sizeof(Geometry) / sizeof(V);
  return 2L * p.moments() + slots * (geometry + 3L * p.funcs) + (tile + 1L) * p.monomials;
}

long workspace_size(const Program& p, long slots) { return lanes * workspace_vectors(p, slots); }

Workspace carve(const Program& p, long slots, double* memory) {
  V* next = reinterpret_cast<V*>(memory);
  const auto take = [&next](long count) {
    V* taken = next;
    next += count;
    return taken;
  };
  Workspace w;
  w.moments = take(p.moments());
  w.gradients = take(p.moments());
  w.slots = reinterpret_cast<Geometry*>(take(slots * static_cast<long>(sizeof(Geometry) / sizeof(V))));
  w.values = take(slots * p.funcs);
  w.slopes = take(slots * p.funcs);
  w.radial = take(slots * p.funcs);
  w.monomials = take(static_cast<long>(tile) * p.monomials);
  w.adjoints = take(p.monomials);
  return w;
}

}  // namespace
}  // namespace mtp
