// Sums over neighbours for the shapes that MLIP-2's levels up to 24 have: functions mu = 0, 1 ... with monomials up to rank
// R, R - 2, R - 4 ... and at last 0. As the compiler knows the length of every loop, sums and their parts stay in registers.
//
// SPDX-License-Identifier: MIT
#pragma once

#include "kernel_vectors.hpp"

namespace mtp {
namespace {

constexpr int any_rank = -1;  // the shape is another
constexpr int largest_rank_in_registers = 2;  // of moments that are summed without being stored

template <int R>
struct UsualShape {
  static constexpr int funcs = (R + 1) / 2 + 1, monomials = (R + 1) * (R + 1);
  static constexpr int rank(int mu) { return R < 2 * mu ? 0 : R - 2 * mu; }
  static constexpr int monomials_of(int mu) { return (rank(mu) + 1) * (rank(mu) + 1); }
  static constexpr int offset(int mu) { return mu == 0 ? 0 : offset(mu - 1) + monomials_of(mu - 1); }
  static constexpr int moments = offset(funcs);
};

#define MTP_UNROLL _Pragma("GCC unroll 128")
#define MTP_INLINE inline __attribute__((always_inline))

template <int N>
MTP_INLINE V dot(const V* a, const V* b) {
  V sum = a[0] * b[0];
  if constexpr (N > 1) {
    MTP_UNROLL
    for (int k = 1; k < N; ++k) sum += a[k] * b[k];
  }
  return sum;
}

template <int N>
MTP_INLINE void add_scaled(V factor, const V* in, V* out) {
  out[0] += factor * in[0];
  if constexpr (N > 1) {
    MTP_UNROLL
    for (int k = 1; k < N; ++k) out[k] += factor * in[k];
  }
}

// In the order of Program.
template <int R>
MTP_INLINE void usual_monomials(const Geometry& g, V* m) {
  m[0] = broadcast(1.0);
  MTP_UNROLL
  for (int n = 1; n <= R; ++n) {
    const V* before = m + (n - 1) * (n - 1);
    V* now = m + n * n;
    MTP_UNROLL
    for (int i = 0; i < n; ++i) {
      now[i] = before[i] * g.x;
      now[n + 1 + i] = before[i] * g.z;
    }
    now[n] = before[n - 1] * g.y;
  }
}

template <int R, int mu = 0>
MTP_INLINE void add_usual_moments(const V* values, const V* m, V* sums) {
  using Shape = UsualShape<R>;
  add_scaled<Shape::monomials_of(mu)>(values[mu], m, sums + Shape::offset(mu));
  if constexpr (mu + 1 < Shape::funcs) add_usual_moments<R, mu + 1>(values, m, sums);
}

template <int R>
void usual_moments(const Workspace& w, int slots) {
  using Shape = UsualShape<R>;
  V sums[Shape::moments] = {};
  for (long slot = 0; slot < slots; ++slot) {
    V m[Shape::monomials];
    usual_monomials<R>(w.slots[slot], m);
    add_usual_moments<R>(w.values + slot * Shape::funcs, m, sums);
  }
  for (int k = 0; k < Shape::moments; ++k) w.moments[k] = sums[k];
}

// dE/d(unit vector) from dE/d(monomial), working back through usual_monomials.
template <int R>
MTP_INLINE void differentiate_usual_monomials(const Geometry& g, const V* m, V* adjoints, V (&d)[3]) {
  d[0] = d[1] = d[2] = V{};
  MTP_UNROLL
  for (int n = R; n > 0; --n) {
    const V *before = m + (n - 1) * (n - 1), *adjoint = adjoints + n * n;
    V* adjoint_before = adjoints + (n - 1) * (n - 1);
    MTP_UNROLL
    for (int i = 0; i < n; ++i) {
      const V ax = adjoint[i], az = adjoint[n + 1 + i];
      adjoint_before[i] += g.x * ax + g.z * az;
      d[0] += ax * before[i];
      d[2] += az * before[i];
    }
    adjoint_before[n - 1] += g.y * adjoint[n];
    d[1] += adjoint[n] * before[n - 1];
  }
}

// dE/d(radial function) and, added, dE/d(monomial) of a slot, from dE/dm.
template <int R, int mu = 0>
MTP_INLINE void differentiate_usual_moments(const V* gradients, const V* values, const V* m, V* radial, V* adjoints) {
  using Shape = UsualShape<R>;
  constexpr int count = Shape::monomials_of(mu);
  radial[mu] = dot<count>(gradients + Shape::offset(mu), m);
  add_scaled<count>(values[mu], gradients + Shape::offset(mu), adjoints);
  if constexpr (mu + 1 < Shape::funcs) differentiate_usual_moments<R, mu + 1>(gradients, values, m, radial, adjoints);
}

// dE/dvector of a slot, from dE/dm. Leaves dE/d(radial function) behind.
template <int R>
MTP_INLINE void differentiate_usual(const Workspace& w, long slot, V (&out)[3]) {
  using Shape = UsualShape<R>;
  const Geometry g = w.slots[slot];
  const long first = slot * Shape::funcs;
  V m[Shape::monomials], adjoints[Shape::monomials] = {}, d[3];
  usual_monomials<R>(g, m);
  differentiate_usual_moments<R>(w.gradients, w.values + first, m, w.radial + first, adjoints);
  differentiate_usual_monomials<R>(g, m, adjoints, d);
  project(g, dot<Shape::funcs>(w.radial + first, w.slopes + first), d[0], d[1], d[2], out);
}

#undef MTP_INLINE
#undef MTP_UNROLL

}  // namespace
}  // namespace mtp
