// The vector kernel. Each kernel_<set>.cpp defines MTP_LANES and MTP_KERNEL and includes this file, compiled with its
// instruction set's flags. Everything has internal linkage and nothing of the C++ library is used: an inline function
// compiled for a newer processor must never replace the one that the rest of the program runs.
//
// SPDX-License-Identifier: MIT
#include "kernel_usual.hpp"
#include "kernel_vectors.hpp"

namespace mtp {
namespace {

// ---- neighbours -----------------------------------------------------------------------------------------------------

// Without branches: a neighbour that is too far is overwritten by the next one.
template <bool keep>
inline void gather_lane(const Program& p, const double* positions, int centre, const int* list, const int* ends,
                        int lane, int* counts, const Batch& batch, double kept_squared, int* kept, int* kept_ends) {
  const double x = positions[3L * centre], y = positions[3L * centre + 1], z = positions[3L * centre + 2];
  int k = 0;
  long all_kept = 0;
  for (int s = 0; s < p.species_count; ++s) {
    const long first = static_cast<long>(s) * batch.capacity * lanes;
    int* neighbours = batch.neighbours + first + lane;
    double* vectors = batch.vectors + 3 * first + lane;
    long found = 0;
    for (; k < ends[s]; ++k) {
      const int j = list[k];
      const double* q = positions + 3L * j;
      const double dx = q[0] - x, dy = q[1] - y, dz = q[2] - z;
      const double squared = dx * dx + dy * dy + dz * dz;
      double* out = vectors + found * 3 * lanes;
      out[0] = dx;
      out[lanes] = dy;
      out[2 * lanes] = dz;
      neighbours[found * lanes] = j;
      found += squared < p.cutoff_squared ? 1 : 0;
      if (!keep) continue;
      kept[all_kept] = j;
      all_kept += squared < kept_squared ? 1 : 0;
    }
    counts[s] = static_cast<int>(found);
    if (keep) kept_ends[s] = static_cast<int>(all_kept);
  }
}

void gather(const Program& p, const double* positions, int centre, const int* list, const int* ends, int lane,
            int* counts, const Batch& batch) {
  gather_lane<false>(p, positions, centre, list, ends, lane, counts, batch, 0.0, nullptr, nullptr);
}

void gather_and_keep(const Program& p, const double* positions, int centre, const int* list, const int* ends, int lane,
                     int* counts, const Batch& batch, double kept_squared, int* kept, int* kept_ends) {
  gather_lane<true>(p, positions, centre, list, ends, lane, counts, batch, kept_squared, kept, kept_ends);
}

void pad(const Program& p, int centre, int lane, const int* counts, const Batch& batch) {
  for (int s = 0; s < p.species_count; ++s)
    for (int k = counts[s]; k < batch.slots[s]; ++k) {
      const long slot = static_cast<long>(s) * batch.capacity + k;
      batch.neighbours[slot * lanes + lane] = centre;
      double* out = batch.vectors + slot * 3 * lanes + lane;
      out[0] = p.cutoff;
      out[lanes] = out[2 * lanes] = 0.0;
    }
}

void scatter(const Program& p, const Batch& batch, double* forces) {
  for (int s = 0; s < p.species_count; ++s)
    for (int k = 0; k < batch.slots[s]; ++k) {
      const long slot = static_cast<long>(s) * batch.capacity + k;
      const double* f = batch.vectors + slot * 3 * lanes;
      const int* j = batch.neighbours + slot * lanes;
      for (int l = 0; l < lanes; ++l) {
        double* out = forces + 3L * j[l];
        out[0] -= f[l];
        out[1] -= f[lanes + l];
        out[2] -= f[2 * lanes + l];
      }
    }
}

// ---- radial functions -----------------------------------------------------------------------------------------------

// value = d^2 P(t), slope = d^2 P'(t) scale + 2 d P(t), with d = r - cutoff and t = scale r + shift.
inline void finish_radial(const Program& p, V polynomial, V derivative, V d, V* value, V* slope) {
  const V dd = d * d;
  *value = dd * polynomial;
  *slope = dd * (derivative * p.scale) + 2.0 * d * polynomial;
}

void radial_horner(const Program& p, const double* coeffs, V t, V d, V* values, V* slopes) {
  for (int mu = 0; mu < p.funcs; ++mu, coeffs += p.basis_size) {
    V polynomial = broadcast(coeffs[0]), derivative = V{};
    for (int k = 1; k < p.basis_size; ++k) {
      derivative = derivative * t + polynomial;
      polynomial = polynomial * t + coeffs[k];
    }
    finish_radial(p, polynomial, derivative, d, values + mu, slopes + mu);
  }
}

void radial_clenshaw(const Program& p, const double* coeffs, V t, V d, V* values, V* slopes) {
  const V two_t = 2.0 * t;
  for (int mu = 0; mu < p.funcs; ++mu, coeffs += p.basis_size) {
    V b1 = V{}, b2 = V{}, d1 = V{}, d2 = V{};
    for (int k = p.basis_size - 1; k > 0; --k) {
      const V d0 = two_t * d1 - d2 + 2.0 * b1;
      const V b0 = two_t * b1 - b2 + coeffs[k];
      b2 = b1, b1 = b0, d2 = d1, d1 = d0;
    }
    const V polynomial = t * b1 - b2 + coeffs[0];
    const V derivative = t * d1 - d2 + b1;
    finish_radial(p, polynomial, derivative, d, values + mu, slopes + mu);
  }
}

// Distances at which the radial functions are evaluated; the repulsive basis is constant below min_dist.
inline V radial_argument(const Program& p, V r) {
  if (!p.repulsive) return r;
  return r < p.min_dist ? broadcast(p.min_dist) : r;
}

void prepare_slot(const Program& p, const double* coeffs, const double* vector, Geometry& g, V* values, V* slopes) {
  const V* in = reinterpret_cast<const V*>(vector);
  const V x = in[0], y = in[1], z = in[2];
  const V squared = x * x + y * y + z * z, inverse = reciprocal_root(squared);
  const V r = squared * inverse;
  g.x = x * inverse, g.y = y * inverse, g.z = z * inverse, g.inverse = inverse;
  const V argument = radial_argument(p, r);
  const V t = argument * p.scale + p.shift, d = argument - p.cutoff;
  if (p.horner)
    radial_horner(p, coeffs, t, d, values, slopes);
  else
    radial_clenshaw(p, coeffs, t, d, values, slopes);
  if (p.repulsive)
    for (int mu = 0; mu < p.funcs; ++mu) slopes[mu] = r <= p.min_dist ? V{} : slopes[mu];
}

struct Repulsion {
  V energy, slope;
};

// What MLIP-2's repulsive basis adds for each neighbour closer than min_dist: eV, whatever the coefficients are.
Repulsion repulsion(const Program& p, V r) {
  const auto bare = [](double distance) { return 1e4 * __builtin_exp(-10.0 * (distance - 1.0)); };
  Repulsion added = {};
  for (int l = 0; l < lanes; ++l) {
    if (!(r[l] < p.min_dist)) continue;
    added.energy[l] = bare(r[l]) - bare(p.min_dist);
    added.slope[l] = -10.0 * bare(r[l]);
  }
  return added;
}

// Returns the number of slots, now numbered without gaps.
int prepare(const Program& p, const Batch& batch, const Workspace& w) {
  int count = 0;
  const long block = static_cast<long>(p.funcs) * p.basis_size;
  for (int s = 0; s < p.species_count; ++s) {
    const double* coeffs =
        (p.horner ? p.radial_poly : p.radial_cheb) + (static_cast<long>(batch.species) * p.species_count + s) * block;
    const double* vectors = batch.vectors + static_cast<long>(s) * batch.capacity * 3 * lanes;
    for (int k = 0; k < batch.slots[s]; ++k, ++count)
      prepare_slot(p, coeffs, vectors + 3L * lanes * k, w.slots[count], w.values + static_cast<long>(count) * p.funcs,
                   w.slopes + static_cast<long>(count) * p.funcs);
  }
  return count;
}

// ---- basic moments --------------------------------------------------------------------------------------------------

template <int S>
void fill_monomials(int rank, const Geometry* g, V* m) {
  for (int s = 0; s < S; ++s) m[s] = broadcast(1.0);
  for (int n = 1; n <= rank; ++n) {
    const V* before = m + static_cast<long>(n - 1) * (n - 1) * S;
    V* now = m + static_cast<long>(n) * n * S;
    for (int i = 0; i < n; ++i)
      for (int s = 0; s < S; ++s) {
        now[i * S + s] = before[i * S + s] * g[s].x;
        now[(n + 1 + i) * S + s] = before[i * S + s] * g[s].z;
      }
    for (int s = 0; s < S; ++s) now[n * S + s] = before[(n - 1) * S + s] * g[s].y;
  }
}

template <int S>
void add_moments(const Program& p, const Workspace& w, int first) {
  fill_monomials<S>(p.rank, w.slots + first, w.monomials);
  for (int mu = 0; mu < p.funcs; ++mu) {
    V value[S];
    for (int s = 0; s < S; ++s) value[s] = w.values[static_cast<long>(first + s) * p.funcs + mu];
    V* moments = w.moments + p.function_offset[mu];
    const V* m = w.monomials;
    for (int k = 0; k < p.function_monomials[mu]; ++k, m += S) {
      V sum = moments[k];
      for (int s = 0; s < S; ++s) sum += value[s] * m[s];
      moments[k] = sum;
    }
  }
}

void basic_moments(const Program& p, const Workspace& w, int slots) {
  for (int k = 0; k < p.independent; ++k) w.moments[k] = V{};
  int first = 0;
  for (; first + tile <= slots; first += tile) add_moments<tile>(p, w, first);
  for (; first < slots; ++first) add_moments<1>(p, w, first);
}

// ---- products -------------------------------------------------------------------------------------------------------

inline V sum_of_products(const Factors* factors, const double* weights, int begin, int end, const V* m) {
  V sum = V{};
  for (int t = begin; t < end; ++t) sum += weights[t] * m[factors[t].a] * m[factors[t].b];
  return sum;
}

void product_moments(const Program& p, const Workspace& w) {
  V* m = w.moments;
  for (int k = 0; k < p.dependent; ++k) {
    const Dependent& d = p.dependents[k];
    m[d.target] = m[d.lower] - m[d.xx] - m[d.yy];
  }
  V* out = m + p.independent + p.dependent;
  for (int k = 0; k < p.inner; ++k)
    out[k] = sum_of_products(p.factors, p.weights, p.product_start[k], p.product_start[k + 1], m);
}

// Fills the gradients and returns the energies without the species' constants.
V moment_gradients(const Program& p, const Workspace& w) {
  const V* m = w.moments;
  V* g = w.gradients;
  V energy = V{};
  for (int k = 0; k < p.moments(); ++k) {
    V linear = V{};
    for (int t = p.linear_start[k]; t < p.linear_start[k + 1]; ++t) linear += p.linears[t].weight * m[p.linears[t].a];
    energy += m[k] * (p.constant[k] + 0.5 * linear);
    g[k] = p.constant[k] + linear;
  }
  for (int k = p.inner - 1; k >= 0; --k) {
    const V gradient = g[p.independent + p.dependent + k];
    for (int t = p.product_start[k]; t < p.product_start[k + 1]; ++t) {
      const Factors f = p.factors[t];
      const V weighted = p.weights[t] * gradient;
      g[f.a] += weighted * m[f.b];
      g[f.b] += weighted * m[f.a];
    }
  }
  for (int k = p.dependent - 1; k >= 0; --k) {
    const Dependent& d = p.dependents[k];
    g[d.lower] += g[d.target];
    g[d.xx] -= g[d.target];
    g[d.yy] -= g[d.target];
  }
  return energy;
}

// ---- forces ---------------------------------------------------------------------------------------------------------

// dE/d(monomial) to dE/d(unit vector), working back through fill_monomials.
void differentiate_monomials(int rank, const Geometry& g, const V* m, V* adjoints, V (&d)[3]) {
  d[0] = d[1] = d[2] = V{};
  for (int n = rank; n > 0; --n) {
    const V *before = m + (n - 1) * (n - 1), *adjoint = adjoints + n * n;
    V* adjoint_before = adjoints + (n - 1) * (n - 1);
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

// dE/dvector of a slot, from dE/dm. Leaves dE/d(radial function) behind.
void differentiate_any(const Program& p, const Workspace& w, int slot, V (&out)[3]) {
  const Geometry& g = w.slots[slot];
  const long first = static_cast<long>(slot) * p.funcs;
  V *m = w.monomials, *adjoints = w.adjoints, slope = V{}, d[3];
  fill_monomials<1>(p.rank, &g, m);
  for (int k = 0; k < p.monomials; ++k) adjoints[k] = V{};
  for (int mu = 0; mu < p.funcs; ++mu) {
    const V *gradients = w.gradients + p.function_offset[mu], value = w.values[first + mu];
    V sum = V{};
    for (int k = 0; k < p.function_monomials[mu]; ++k) {
      sum += gradients[k] * m[k];
      adjoints[k] += gradients[k] * value;
    }
    w.radial[first + mu] = sum;
    slope += sum * w.slopes[first + mu];
  }
  differentiate_monomials(p.rank, g, m, adjoints, d);
  project(g, slope, d[0], d[1], d[2], out);
}

// ---- derivatives with respect to the coefficients -------------------------------------------------------------------

void add_radial_row(const Program& p, const V* vector, const V* radial, V* row) {
  const V r = square_root(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]);
  const V argument = radial_argument(p, r);
  const V t = argument * p.scale + p.shift, d = argument - p.cutoff;
  V last = p.factor * d * d, before = t * last;  // T(-1) = T(1)
  for (int k = 0; k < p.basis_size; ++k) {
    for (int mu = 0; mu < p.funcs; ++mu) row[static_cast<long>(mu) * p.basis_size + k] += radial[mu] * last;
    const V next = 2.0 * t * last - before;
    before = last;
    last = next;
  }
}

void start_row(const Program& p, const Workspace& w, V* row) {
  for (int k = 0; k < p.row_size(); ++k) row[k] = V{};
  V* scalars = row + p.species_radial();
  for (int k = 0; k < p.scalars; ++k) {
    scalars[k] = p.scalar_moment[k] >= 0
                     ? w.moments[p.scalar_moment[k]]
                     : sum_of_products(p.scalar_factors, p.scalar_weights, p.scalar_start[k], p.scalar_start[k + 1],
                                       w.moments);
  }
}

// Columns that are worked on together: as many sums as registers hold.
constexpr int grade_columns = lanes == 8 ? 4 : 2;
typedef V GradeSums[grade_columns][grade_batches];

inline void add_products(const double* const* columns, long offset, const V* rows, long stride, int count,
                         GradeSums& sums) {
  for (int k = 0; k < count; ++k)
    for (int c = 0; c < grade_columns; ++c) {
      const V factor = broadcast(columns[c][offset + k]);
      for (int b = 0; b < grade_batches; ++b) sums[c][b] += factor * rows[b * stride + k];
    }
}

void grade(const Program& p, int species, const double* rows, const double* columns, double* grades) {
  const V* row = reinterpret_cast<const V*>(rows);
  const int size = p.parameters(), radial = p.species_radial(), constant = p.species_begin() + species;
  V largest[grade_batches] = {};
  for (int first = 0; first < size; first += grade_columns) {
    const double* column[grade_columns];
    GradeSums sums;
    for (int c = 0; c < grade_columns; ++c) {
      column[c] = columns + static_cast<long>(first + c < size ? first + c : size - 1) * size;
      for (int b = 0; b < grade_batches; ++b) sums[c][b] = broadcast(column[c][constant]);
    }
    add_products(column, static_cast<long>(species) * radial, row, p.row_size(), radial, sums);
    add_products(column, p.species_begin() + p.species_count, row + radial, p.row_size(), p.scalars, sums);
    for (int c = 0; c < grade_columns; ++c)
      for (int b = 0; b < grade_batches; ++b) {
        const V value = sums[c][b] < 0.0 ? -sums[c][b] : sums[c][b];
        // Ordered so that a sum that is not a number does not pass for a small grade.
        largest[b] = value <= largest[b] ? largest[b] : value;
      }
  }
  for (int b = 0; b < grade_batches; ++b) reinterpret_cast<V*>(grades)[b] = largest[b];
}

// ---- sums over neighbours -------------------------------------------------------------------------------------------

// Walks over slots that the gaps between species separate.
struct SlotCursor {
  int species, slot;
};

inline V* next_vector(const Batch& batch, SlotCursor& at) {
  while (at.slot == batch.slots[at.species]) ++at.species, at.slot = 0;
  return reinterpret_cast<V*>(batch.vectors + (static_cast<long>(at.species) * batch.capacity + at.slot++) * 3 * lanes);
}

struct Sums {
  V repulsion, force[3], virial[6];
};

template <int R>
inline void differentiate_slot(const Program& p, const Batch& batch, const Workspace& w, int slot, SlotCursor& at,
                               Sums& sums) {
  V d[3];
  if constexpr (R == any_rank)
    differentiate_any(p, w, slot, d);
  else
    differentiate_usual<R>(w, slot, d);
  V* vector = next_vector(batch, at);
  if (p.repulsive) {
    const Geometry& g = w.slots[slot];
    const Repulsion added = repulsion(p, 1.0 / g.inverse);
    sums.repulsion += added.energy;
    d[0] += added.slope * g.x;
    d[1] += added.slope * g.y;
    d[2] += added.slope * g.z;
  }
  if (batch.row != nullptr)
    add_radial_row(p, vector, w.radial + static_cast<long>(slot) * p.funcs,
                   reinterpret_cast<V*>(batch.row) + static_cast<long>(at.species) * p.funcs * p.basis_size);
  if (batch.virial != nullptr) {
    for (int a = 0; a < 3; ++a) sums.virial[a] -= d[a] * vector[a];
    sums.virial[3] -= d[0] * vector[1];
    sums.virial[4] -= d[0] * vector[2];
    sums.virial[5] -= d[1] * vector[2];
  }
  for (int a = 0; a < 3; ++a) {
    sums.force[a] += d[a];
    vector[a] = d[a];
  }
}

template <int R>
void differentiate(const Program& p, const Batch& batch, const Workspace& w, int slots) {
  SlotCursor at = {0, 0};
  Sums sums = {};
  for (int slot = 0; slot < slots; ++slot) differentiate_slot<R>(p, batch, w, slot, at, sums);
  *reinterpret_cast<V*>(batch.energy) += sums.repulsion;
  for (int a = 0; a < 3; ++a) reinterpret_cast<V*>(batch.force)[a] = sums.force[a];
  if (batch.virial != nullptr)
    for (int a = 0; a < 6; ++a) reinterpret_cast<V*>(batch.virial)[a] = sums.virial[a];
}

template <int R>
void evaluate_rank(const Program& p, const Batch& batch) {
  const long capacity = static_cast<long>(p.species_count) * batch.capacity;
  const Workspace w = carve(p, capacity, batch.workspace);
  const int slots = prepare(p, batch, w);
  if constexpr (R != any_rank && R <= largest_rank_in_registers)
    usual_moments<R>(w, slots);
  else
    basic_moments(p, w, slots);
  product_moments(p, w);
  if (batch.row != nullptr) start_row(p, w, reinterpret_cast<V*>(batch.row));
  *reinterpret_cast<V*>(batch.energy) = moment_gradients(p, w) + p.species_coeffs[batch.species];
  differentiate<R>(p, batch, w, slots);
}

void evaluate(const Program& p, const Batch& batch) {
  constexpr decltype(&evaluate_rank<any_rank>) usual[] = {
      evaluate_rank<0>, evaluate_rank<1>, evaluate_rank<2>, evaluate_rank<3>, evaluate_rank<4>, evaluate_rank<5>,
      evaluate_rank<6>, evaluate_rank<7>, evaluate_rank<8>, evaluate_rank<9>, evaluate_rank<10>};
  constexpr int ranks = sizeof(usual) / sizeof(usual[0]);
  (p.usual && p.rank < ranks ? usual[p.rank] : evaluate_rank<any_rank>)(p, batch);
}

constexpr Kernel kernel = {MTP_NAME, lanes, workspace_size, gather, gather_and_keep, pad, evaluate, scatter, grade};

}  // namespace

const Kernel& MTP_KERNEL() { return kernel; }

}  // namespace mtp
