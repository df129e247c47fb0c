// Training's kernel; each training_<set>.cpp defines MTP_LANES, MTP_ROWS, MTP_NAME and MTP_KERNEL and includes it. As
// in kernel_impl.hpp, everything has internal linkage and nothing of the C++ library is used.
//
// SPDX-License-Identifier: MIT
#include "training_kernel.hpp"

namespace mtp {
namespace training {
namespace {

constexpr int lanes = MTP_LANES;
typedef double V __attribute__((vector_size(lanes * sizeof(double)), aligned(8), may_alias));

inline V load(const double* p) { return *reinterpret_cast<const V*>(p); }
inline void store(double* p, V v) { *reinterpret_cast<V*>(p) = v; }

// ---- matrix products ------------------------------------------------------------------------------------------------

// C [M][N lanes] += A B over `depth`; element (i, k) of A is a[i ai + k ak], row k of B begins at b + k bk.
template <int M, int N>
inline void multiply_tile(long depth, const double* a, long ai, long ak, const double* b, long bk, double* c, long ci) {
  V sum[M][N];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) sum[i][j] = load(c + i * ci + j * lanes);
  for (long k = 0; k < depth; ++k, a += ak, b += bk) {
    V right[N];
    for (int j = 0; j < N; ++j) right[j] = load(b + j * lanes);
    for (int i = 0; i < M; ++i) {
      const double left = a[i * ai];
      for (int j = 0; j < N; ++j) sum[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) store(c + i * ci + j * lanes, sum[i][j]);
}

template <int N>
inline void multiply_strip(long rows, long depth, const double* a, long ai, long ak, const double* b, long bk,
                           double* c, long ci) {
  long i = 0;
  for (; i + MTP_ROWS <= rows; i += MTP_ROWS)
    multiply_tile<MTP_ROWS, N>(depth, a + i * ai, ai, ak, b, bk, c + i * ci, ci);
  for (; i + 2 <= rows; i += 2) multiply_tile<2, N>(depth, a + i * ai, ai, ak, b, bk, c + i * ci, ci);
  for (; i < rows; ++i) multiply_tile<1, N>(depth, a + i * ai, ai, ak, b, bk, c + i * ci, ci);
}

// C [rows][columns] += A [rows][depth] B [depth][columns]; `columns` is a multiple of the lanes.
void multiply(long rows, long columns, long depth, const double* a, long ai, long ak, const double* b, long bk,
              double* c, long ci) {
  long j = 0;
  for (; j + 3 * lanes <= columns; j += 3 * lanes) multiply_strip<3>(rows, depth, a, ai, ak, b + j, bk, c + j, ci);
  for (; j < columns; j += lanes) multiply_strip<1>(rows, depth, a, ai, ak, b + j, bk, c + j, ci);
}

// The upper triangle, in strips that reach from the first row to the diagonal.
void accumulate(const double* jacobian, long rows, int columns, double* matrix) {
  long j = 0;
  for (; j + 3 * lanes <= columns; j += 3 * lanes)
    multiply_strip<3>(j + 3 * lanes, rows, jacobian, 1, columns, jacobian + j, columns, matrix + j, columns);
  for (; j < columns; j += lanes)
    multiply_strip<1>(j + lanes, rows, jacobian, 1, columns, jacobian + j, columns, matrix + j, columns);
}

// ---- one atom -------------------------------------------------------------------------------------------------------

// All per-neighbour arrays begin with the neighbour's index. Rows of the radial basis end with zeros, so that whole
// vectors of them may be added where what belongs to another species, or to the next row, begins before their end.
struct Workspace {
  int basis_padded, basic_padded, columns;
  double* unit;        // [3]
  double* phi;         // [basis_padded] radial basis, times the scaling
  double* dphi;        // [basis_padded]
  double* f;           // [funcs] radial functions
  double* df;          // [funcs]
  double* monomial;    // [monomials]
  double* dmonomial;   // [3][monomials] derivatives with respect to the vector
  double* sums;        // [monomials][func_columns]: sum over neighbours of phi times monomial
  double* gathered;    // [basic][func_columns] the same, one row for each basic moment of a radial function
  double* moments;     // [moments]
  double* gradients;   // [moments] dE/dm
  double* tangents;    // [moments][basic_padded] dm/d(basic moment)
  double* curvatures;  // [moments][basic_padded] d(dE/dm)/d(basic moment)
  double* mixed;       // [basic][columns] second derivatives by basic moment and column (moment coefficients first)
  double* slopes;      // [3 neighbours][basic] d(basic moment)/d(vector)
  double* derivatives; // [3 neighbours][columns] d2E/d(vector)d(column)
  double* force;       // [3 neighbours] dE/d(vector)
};

constexpr long padded(long n) { return (n + 7) / 8 * 8; }

long carve(const Form& p, long n, double* memory, Workspace& w) {
  double* next = memory;
  const auto take = [&next](long count) {
    double* taken = next;
    next += padded(count);
    return taken;
  };
  w.basis_padded = static_cast<int>(padded(p.basis));
  w.basic_padded = static_cast<int>(padded(p.basic));
  w.columns = p.scalar_columns + (p.radial() ? p.block() : 0);
  w.unit = take(3 * n);
  w.phi = take(n * w.basis_padded);
  w.dphi = take(n * w.basis_padded);
  w.f = take(n * p.funcs);
  w.df = take(n * p.funcs);
  w.monomial = take(n * p.monomials);
  w.dmonomial = take(3 * n * p.monomials);
  w.sums = take(static_cast<long>(p.monomials) * p.func_columns + w.basis_padded);
  w.gathered = take(static_cast<long>(p.basic) * p.func_columns);
  w.moments = take(p.moments);
  w.gradients = take(p.moments);
  w.tangents = take(static_cast<long>(p.moments) * w.basic_padded);
  w.curvatures = take(static_cast<long>(p.moments) * w.basic_padded);
  w.mixed = take(static_cast<long>(p.basic) * w.columns);
  w.slopes = take(3 * n * p.basic);
  w.derivatives = take(3 * n * w.columns + w.basis_padded);
  w.force = take(3 * n);
  return next - memory;
}

long workspace_size(const Form& p, int neighbours) {
  Workspace w;
  double nothing;
  return carve(p, neighbours, &nothing, w);
}

// Writes one value of each of `count` neighbours, which are `stride` apart.
inline void scatter(V values, int count, double* out, long stride) {
  double each[lanes];
  store(each, values);
  for (int l = 0; l < count; ++l) out[l * stride] = each[l];
}

// Chebyshev polynomials times (cutoff - r)^2 and their derivatives, for `count` neighbours.
void radial_basis(const Form& p, V r, int count, int stride, double* phi, double* dphi) {
  const double mult = 2.0 / (p.cutoff - p.min_dist);
  const V ksi = (2.0 * r - p.min_dist - p.cutoff) / (p.cutoff - p.min_dist), d = r - p.cutoff;
  V value = p.scaling * d * d, slope = 2.0 * p.scaling * d;
  V value_before = ksi * value, slope_before = mult * value + ksi * slope;  // T(-1) = T(1)
  for (int k = 0; k < p.basis; ++k) {
    scatter(value, count, phi + k, stride);
    scatter(slope, count, dphi + k, stride);
    const V next = 2.0 * ksi * value - value_before;
    const V next_slope = 2.0 * (mult * value + ksi * slope) - slope_before;
    value_before = value, slope_before = slope;
    value = next, slope = next_slope;
  }
  for (int l = 0; l < count; ++l)
    for (int k = p.basis; k < stride; ++k) phi[l * stride + k] = dphi[l * stride + k] = 0.0;
}

void radial_functions(const Form& p, const double* coefficients, int neighbour_species, const double* phi,
                      const double* dphi, double* f, double* df) {
  for (int mu = 0; mu < p.funcs; ++mu) {
    const double* c = coefficients + mu * p.func_columns + neighbour_species * p.basis;
    double value = 0.0, slope = 0.0;
    for (int k = 0; k < p.basis; ++k) {
      value += c[k] * phi[k];
      slope += c[k] * dphi[k];
    }
    f[mu] = value;
    df[mu] = slope;
  }
}

constexpr int max_rank = 32;

// Products of powers of the unit vectors' components, and their derivatives with respect to the vectors.
void monomials(const Form& p, const V* u, V inverse, int count, double* value, double* derivative) {
  V power[3][max_rank + 1];
  for (int a = 0; a < 3; ++a) {
    power[a][0] = inverse * 0.0 + 1.0;
    for (int k = 1; k <= p.rank; ++k) power[a][k] = power[a][k - 1] * u[a];
  }
  const long stride = p.monomials;
  for (int q = 0; q < p.monomials; ++q) {
    const int* e = p.exponents + 3 * q;
    const V x = power[0][e[0]], y = power[1][e[1]], z = power[2][e[2]], m = x * y * z;
    const V along = static_cast<double>(e[0] + e[1] + e[2]) * m;  // a monomial is homogeneous
    V slope[3] = {};
    if (e[0] > 0) slope[0] = static_cast<double>(e[0]) * power[0][e[0] - 1] * y * z;
    if (e[1] > 0) slope[1] = static_cast<double>(e[1]) * power[1][e[1] - 1] * x * z;
    if (e[2] > 0) slope[2] = static_cast<double>(e[2]) * power[2][e[2] - 1] * x * y;
    scatter(m, count, value + q, stride);
    for (int a = 0; a < 3; ++a)
      scatter(inverse * (slope[a] - along * u[a]), count, derivative + a * stride + q, 3 * stride);
  }
}

// Everything that depends on one neighbour alone, for as many neighbours at a time as there are lanes.
void prepare(const Form& p, const double* coefficients, const Configuration& cfg, int first, int n,
             const Workspace& w) {
  for (int begin = 0; begin < n; begin += lanes) {
    const int count = n - begin < lanes ? n - begin : lanes;
    double vectors[3][lanes], distances[lanes];
    for (int l = 0; l < lanes; ++l) {
      const double* r = cfg.vectors + 3L * (first + begin + (l < count ? l : 0));
      for (int a = 0; a < 3; ++a) vectors[a][l] = r[a];
      distances[l] = __builtin_sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
    }
    const V distance = load(distances), inverse = 1.0 / distance;
    V unit[3];
    for (int a = 0; a < 3; ++a) {
      unit[a] = load(vectors[a]) * inverse;
      scatter(unit[a], count, w.unit + 3L * begin + a, 3);
    }
    radial_basis(p, distance, count, w.basis_padded, w.phi + static_cast<long>(begin) * w.basis_padded,
                 w.dphi + static_cast<long>(begin) * w.basis_padded);
    monomials(p, unit, inverse, count, w.monomial + static_cast<long>(begin) * p.monomials,
              w.dmonomial + 3L * begin * p.monomials);
  }
  for (long j = 0; j < n; ++j)
    radial_functions(p, coefficients, cfg.neighbour_species[first + j], w.phi + j * w.basis_padded,
                     w.dphi + j * w.basis_padded, w.f + j * p.funcs, w.df + j * p.funcs);
}

void basic_moments(const Form& p, const Configuration& cfg, const double* coefficients, int first, int n,
                   const Workspace& w) {
  for (long k = 0; k < static_cast<long>(p.monomials) * p.func_columns; ++k) w.sums[k] = 0.0;
  for (int begin = 0, end; begin < n; begin = end) {  // neighbours of one species
    const int species = cfg.neighbour_species[first + begin];
    for (end = begin + 1; end < n && cfg.neighbour_species[first + end] == species;) ++end;
    multiply(p.monomials, w.basis_padded, end - begin, w.monomial + static_cast<long>(begin) * p.monomials, 1,
             p.monomials, w.phi + static_cast<long>(begin) * w.basis_padded, w.basis_padded,
             w.sums + species * p.basis, p.func_columns);
  }
  for (int mu = 0; mu < p.funcs; ++mu)
    for (int i = p.func_start[mu]; i < p.func_start[mu + 1]; ++i) {
      const double* sums = w.sums + static_cast<long>(p.monomial_of[i]) * p.func_columns;
      const double* c = coefficients + mu * p.func_columns;
      double value = 0.0;
      for (int k = 0; k < p.species * p.basis; ++k) value += c[k] * sums[k];
      w.moments[i] = value;
    }
}

// The atom's energy without its species' constant.
double products(const Form& p, const double* moment_coefficients, const Workspace& w) {
  double *m = w.moments, *g = w.gradients;
  for (int k = p.basic; k < p.moments; ++k) m[k] = 0.0;
  for (int t = 0; t < p.products; ++t) {
    const int* row = p.times + 4L * t;
    m[row[3]] += row[2] * m[row[0]] * m[row[1]];
  }
  for (int k = 0; k < p.moments; ++k) g[k] = 0.0;
  double energy = 0.0;
  for (int k = 0; k < p.scalars; ++k) {
    energy += moment_coefficients[k] * m[p.scalar_moment[k]];
    g[p.scalar_moment[k]] += moment_coefficients[k];
  }
  for (int t = p.products - 1; t >= 0; --t) {
    const int* row = p.times + 4L * t;
    const double d = row[2] * g[row[3]];
    g[row[0]] += d * m[row[1]];
    g[row[1]] += d * m[row[0]];
  }
  return energy;
}

// y += a x + b z, vectors of padded length
inline void add_scaled(int count, double a, const double* x, double b, const double* z, double* y) {
  for (int k = 0; k < count; k += lanes) store(y + k, load(y + k) + a * load(x + k) + b * load(z + k));
}

// Derivatives of all moments with respect to the basic ones: the products with one tangent for each basic moment.
void moment_tangents(const Form& p, const Workspace& w) {
  const long width = w.basic_padded;
  for (long k = 0; k < p.moments * width; ++k) w.tangents[k] = 0.0;
  for (int i = 0; i < p.basic; ++i) w.tangents[i * width + i] = 1.0;
  for (int t = 0; t < p.products; ++t) {
    const int* row = p.times + 4L * t;
    add_scaled(w.basic_padded, row[2] * w.moments[row[1]], w.tangents + row[0] * width, row[2] * w.moments[row[0]],
               w.tangents + row[1] * width, w.tangents + row[3] * width);
  }
}

// Derivatives of dE/dm with respect to the basic moments: the products backwards, with these tangents.
void moment_curvatures(const Form& p, const Workspace& w) {
  const long width = w.basic_padded;
  for (long k = 0; k < p.moments * width; ++k) w.curvatures[k] = 0.0;
  const double *m = w.moments, *g = w.gradients;
  for (int t = p.products - 1; t >= 0; --t) {
    const int* row = p.times + 4L * t;
    const double* out = w.curvatures + row[3] * width;
    const double d = row[2] * g[row[3]];
    add_scaled(w.basic_padded, row[2] * m[row[1]], out, d, w.tangents + row[1] * width, w.curvatures + row[0] * width);
    add_scaled(w.basic_padded, row[2] * m[row[0]], out, d, w.tangents + row[0] * width, w.curvatures + row[1] * width);
  }
}

// Second derivatives of the energy by basic moment and column.
void mixed_derivatives(const Form& p, const Workspace& w) {
  for (long k = 0; k < static_cast<long>(p.basic) * w.columns; ++k) w.mixed[k] = 0.0;
  for (int k = 0; k < p.scalars; ++k) {
    const double* tangent = w.tangents + static_cast<long>(p.scalar_moment[k]) * w.basic_padded;
    for (int i = 0; i < p.basic; ++i) w.mixed[static_cast<long>(i) * w.columns + k] = tangent[i];
  }
  if (!p.radial()) return;
  moment_curvatures(p, w);
  for (int mu = 0; mu < p.funcs; ++mu) {
    const int begin = p.func_start[mu], count = p.func_start[mu + 1] - begin;
    for (int i = 0; i < count; ++i) {
      const double* from = w.sums + static_cast<long>(p.monomial_of[begin + i]) * p.func_columns;
      double* to = w.gathered + static_cast<long>(i) * p.func_columns;
      for (int k = 0; k < p.func_columns; ++k) to[k] = from[k];
    }
    multiply(p.basic, p.func_columns, count, w.curvatures + begin, w.basic_padded, 1, w.gathered, p.func_columns,
             w.mixed + p.scalar_columns + mu * p.func_columns, w.columns);
  }
}

// Derivatives of the basic moments, and of the energy, with respect to the vectors.
void slopes(const Form& p, int n, const Workspace& w) {
  for (int j = 0; j < n; ++j) {
    const double* m = w.monomial + static_cast<long>(j) * p.monomials;
    for (int a = 0; a < 3; ++a) {
      const double* d = w.dmonomial + (3L * j + a) * p.monomials;
      double* out = w.slopes + (3L * j + a) * p.basic;
      double force = 0.0;
      for (int mu = 0; mu < p.funcs; ++mu) {
        const double f = w.f[static_cast<long>(j) * p.funcs + mu];
        const double df = w.df[static_cast<long>(j) * p.funcs + mu] * w.unit[3L * j + a];
        for (int i = p.func_start[mu]; i < p.func_start[mu + 1]; ++i) {
          const int q = p.monomial_of[i];
          out[i] = f * d[q] + df * m[q];
          force += w.gradients[i] * out[i];
        }
      }
      w.force[3L * j + a] = force;
    }
  }
}

// What the radial coefficients change in d2E/d(vector)d(column) at given derivatives by the moments.
void direct_derivatives(const Form& p, const Configuration& cfg, int first, int n, const Workspace& w) {
  for (int j = 0; j < n; ++j) {
    const double* phi = w.phi + static_cast<long>(j) * w.basis_padded;
    const double* dphi = w.dphi + static_cast<long>(j) * w.basis_padded;
    const double* m = w.monomial + static_cast<long>(j) * p.monomials;
    for (int mu = 0; mu < p.funcs; ++mu) {
      double sum = 0.0, dsum[3] = {};
      for (int i = p.func_start[mu]; i < p.func_start[mu + 1]; ++i) {
        const int q = p.monomial_of[i];
        sum += w.gradients[i] * m[q];
        for (int a = 0; a < 3; ++a) dsum[a] += w.gradients[i] * w.dmonomial[(3L * j + a) * p.monomials + q];
      }
      for (int a = 0; a < 3; ++a) {
        double* out = w.derivatives + (3L * j + a) * w.columns + p.scalar_columns + mu * p.func_columns +
                      cfg.neighbour_species[first + j] * p.basis;
        add_scaled(w.basis_padded, sum * w.unit[3L * j + a], dphi, dsum[a], phi, out);
      }
    }
  }
}

// d2E/d(vector)d(column)
void column_derivatives(const Form& p, const Configuration& cfg, int first, int n, const Workspace& w) {
  for (long k = 0; k < 3L * n * w.columns; ++k) w.derivatives[k] = 0.0;
  multiply(3L * n, w.columns, p.basic, w.slopes, p.basic, 1, w.mixed, w.columns, w.derivatives, w.columns);
  if (p.radial()) direct_derivatives(p, cfg, first, n, w);
}

// ---- sums over a configuration --------------------------------------------------------------------------------------

constexpr int voigt[6][2] = {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}};

void add_values(const Configuration& cfg, int i, int first, int n, double energy, const Workspace& w, double* values) {
  values[0] += energy;
  double* virial = values + 1 + 3L * cfg.atoms;
  for (int j = 0; j < n; ++j) {
    const double *d = w.force + 3L * j, *r = cfg.vectors + 3L * (first + j);
    for (int a = 0; a < 3; ++a) {
      values[1 + 3L * i + a] += d[a];
      values[1 + 3L * cfg.neighbours[first + j] + a] -= d[a];
    }
    for (int v = 0; v < 6; ++v)
      virial[v] -= 0.5 * (r[voigt[v][0]] * d[voigt[v][1]] + r[voigt[v][1]] * d[voigt[v][0]]);
  }
}

void add_energy_row(const Form& p, int species, const Workspace& w, double* row) {
  for (int k = 0; k < p.scalars; ++k) row[k] += w.moments[p.scalar_moment[k]];
  row[p.scalar_columns + species] += 1.0;
  if (!p.radial()) return;
  double* radial = row + p.linear_columns + static_cast<long>(species) * p.block();
  for (int mu = 0; mu < p.funcs; ++mu)
    for (int i = p.func_start[mu]; i < p.func_start[mu + 1]; ++i) {
      const double* sums = w.sums + static_cast<long>(p.monomial_of[i]) * p.func_columns;
      for (int k = 0; k < p.func_columns; ++k) radial[mu * p.func_columns + k] += w.gradients[i] * sums[k];
    }
}

// Adds `count` columns of an atom's derivatives, of rows `width` apart, to the rows of the forces and the virial.
void add_columns(const Configuration& cfg, int i, int first, int n, int count, const double* derivatives, long width,
                 double* jacobian, long stride) {
  for (int k = 0; k < count; k += lanes) {
    V own[3] = {}, virial[6] = {};
    for (int j = 0; j < n; ++j) {
      const double *r = cfg.vectors + 3L * (first + j), *d = derivatives + 3L * j * width + k;
      double* other = jacobian + (1 + 3L * cfg.neighbours[first + j]) * stride + k;
      const V slope[3] = {load(d), load(d + width), load(d + 2 * width)};
      for (int a = 0; a < 3; ++a) {
        own[a] += slope[a];
        store(other + a * stride, load(other + a * stride) - slope[a]);
      }
      for (int v = 0; v < 6; ++v) {
        const int a = voigt[v][0], b = voigt[v][1];
        virial[v] -= 0.5 * r[a] * slope[b] + 0.5 * r[b] * slope[a];
      }
    }
    double* force_rows = jacobian + (1 + 3L * i) * stride + k;
    double* virial_rows = jacobian + (1 + 3L * cfg.atoms) * stride + k;
    for (int a = 0; a < 3; ++a) store(force_rows + a * stride, load(force_rows + a * stride) + own[a]);
    for (int v = 0; v < 6; ++v) store(virial_rows + v * stride, load(virial_rows + v * stride) + virial[v]);
  }
}

void add_jacobian(const Form& p, const Configuration& cfg, int i, int first, int n, const Workspace& w,
                  double* jacobian) {
  const int species = cfg.species[i];
  add_energy_row(p, species, w, jacobian);
  add_columns(cfg, i, first, n, p.scalar_columns, w.derivatives, w.columns, jacobian, p.columns);
  if (p.radial())
    add_columns(cfg, i, first, n, p.block(), w.derivatives + p.scalar_columns, w.columns,
                jacobian + p.linear_columns + static_cast<long>(species) * p.block(), p.columns);
}

void evaluate(const Form& p, const double* coefficients, const Configuration& cfg, double* workspace, double* values,
              double* jacobian) {
  const long rows = rows_of(cfg.atoms);
  for (long k = 0; k < rows; ++k) values[k] = 0.0;
  if (jacobian != nullptr)
    for (long k = 0; k < rows * p.columns; ++k) jacobian[k] = 0.0;
  for (int i = 0; i < cfg.atoms; ++i) {
    const int first = cfg.start[i], n = cfg.start[i + 1] - first;
    const double* radial = coefficients + p.linear_columns + static_cast<long>(cfg.species[i]) * p.block();
    Workspace w;
    carve(p, n, workspace, w);
    prepare(p, radial, cfg, first, n, w);
    basic_moments(p, cfg, radial, first, n, w);
    const double energy = products(p, coefficients, w) + coefficients[p.scalar_columns + cfg.species[i]];
    slopes(p, n, w);
    add_values(cfg, i, first, n, energy, w, values);
    if (jacobian == nullptr) continue;
    moment_tangents(p, w);
    mixed_derivatives(p, w);
    column_derivatives(p, cfg, first, n, w);
    add_jacobian(p, cfg, i, first, n, w, jacobian);
  }
}

double update_row(double factor, const double* change, long size, double* row) {
  V largest = {};
  long k = 0;
  for (; k + lanes <= size; k += lanes) {
    const V value = load(row + k) - factor * load(change + k), magnitude = value < 0.0 ? -value : value;
    store(row + k, value);
    largest = magnitude > largest ? magnitude : largest;
  }
  double found = 0.0;
  for (int l = 0; l < lanes; ++l) found = largest[l] > found ? largest[l] : found;
  for (; k < size; ++k) {
    row[k] -= factor * change[k];
    const double magnitude = row[k] < 0.0 ? -row[k] : row[k];
    found = magnitude > found ? magnitude : found;
  }
  return found;
}

constexpr Kernel kernel = {MTP_NAME, workspace_size, evaluate, accumulate, multiply, update_row};

}  // namespace

const Kernel& MTP_KERNEL() { return kernel; }

}  // namespace training
}  // namespace mtp
