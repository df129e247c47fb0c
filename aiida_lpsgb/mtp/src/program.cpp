// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "potential.hpp"

namespace mtp {
namespace {

// Powers of a sum of Chebyshev polynomials lose (1 + sqrt 2)^n of precision: harmless up to here, 2e-12.
constexpr int largest_horner_basis = 12;

using Powers = std::array<int, 3>;

int independent_index(int x, int y, int z) {
  const int rank = x + y + z;
  return rank * rank + (z == 0 ? y : rank + 1 + y);
}

std::vector<double> chebyshev_to_powers(const double* coeffs, int size) {
  std::vector<long double> before(size, 0), last(size, 0), sum(size, 0);
  for (int k = 0; k < size; ++k) {
    std::vector<long double> current(size, 0);
    if (k == 0) current[0] = 1;
    if (k == 1) current[1] = 1;
    for (int i = 0; k > 1 && i < size; ++i) current[i] = (i > 0 ? 2 * last[i - 1] : 0) - before[i];
    for (int i = 0; i < size; ++i) sum[i] += coeffs[k] * current[i];
    before = std::exchange(last, std::move(current));
  }
  return std::vector<double>(sum.rbegin(), sum.rend());
}

}  // namespace

struct CompiledProgram::Tables {
  std::vector<double> radial_poly, radial_cheb, constant, species_coeffs;
  std::vector<int> function_monomials, function_offset;
  std::vector<Dependent> dependents;
  std::vector<int> product_start, linear_start, quadratic_start, scalar_moment, scalar_start;
  std::vector<Quadratic> products, quadratics, scalar_products;
  std::vector<Linear> linears;

  std::map<std::pair<int, Powers>, int> dependent_of;  // (function, powers) to moment
  std::vector<int> moment_of;                          // file's moment to ours, -1 where it is not kept

  void radial(const Potential& potential, bool horner);
  int independent(const Potential& potential);
  int dependent(int function, Powers powers, int independent_count);
  void basic(const Potential& potential, int independent_count);
  int inner(const Potential& potential, int first);
  void derivatives(const Potential& potential, int moments);
  void scalars(const Potential& potential);
};

void CompiledProgram::Tables::radial(const Potential& potential, bool horner) {
  const int size = potential.radial_basis_size;
  radial_cheb = potential.radial_coeffs;
  for (double& c : radial_cheb) c *= potential.scaling;
  for (std::size_t row = 0; horner && row < radial_cheb.size(); row += size) {
    const std::vector<double> powers = chebyshev_to_powers(&radial_cheb[row], size);
    radial_poly.insert(radial_poly.end(), powers.begin(), powers.end());
  }
}

int CompiledProgram::Tables::independent(const Potential& potential) {
  std::vector<int> rank(potential.radial_funcs_count, 0);
  for (const auto& [mu, x, y, z] : potential.alpha_index_basic) rank[mu] = std::max(rank[mu], x + y + z);
  int count = 0;
  for (const int r : rank) {
    function_offset.push_back(count);
    function_monomials.push_back((r + 1) * (r + 1));
    count += (r + 1) * (r + 1);
  }
  return count;
}

int CompiledProgram::Tables::dependent(int function, Powers powers, int independent_count) {
  const auto [x, y, z] = powers;
  if (z < 2) return function_offset[function] + independent_index(x, y, z);
  const auto known = dependent_of.find({function, powers});
  if (known != dependent_of.end()) return known->second;
  const int lower = dependent(function, {x, y, z - 2}, independent_count);
  const int xx = dependent(function, {x + 2, y, z - 2}, independent_count);
  const int yy = dependent(function, {x, y + 2, z - 2}, independent_count);
  const int target = independent_count + static_cast<int>(dependents.size());
  dependents.push_back({target, lower, xx, yy});
  dependent_of[{function, powers}] = target;
  return target;
}

void CompiledProgram::Tables::basic(const Potential& potential, int independent_count) {
  moment_of.assign(potential.alpha_moments_count, -1);
  for (std::size_t i = 0; i < potential.alpha_index_basic.size(); ++i) {
    const auto& [mu, x, y, z] = potential.alpha_index_basic[i];
    moment_of[i] = dependent(mu, {x, y, z}, independent_count);
  }
}

// Keeps the product moments that other products need, in the file's order, which respects dependence.
int CompiledProgram::Tables::inner(const Potential& potential, int first) {
  const auto& times = potential.alpha_index_times;
  std::vector<char> needed(potential.alpha_moments_count, 0), live(potential.alpha_moments_count, 0);
  for (const int m : potential.alpha_moment_mapping) live[m] = 1;
  for (auto entry = times.rbegin(); entry != times.rend(); ++entry) {
    const auto& [a, b, factor, c] = *entry;
    if (live[c]) live[a] = live[b] = needed[a] = needed[b] = 1;
  }
  std::vector<std::vector<Quadratic>> terms(potential.alpha_moments_count);
  std::vector<int> order;
  for (const auto& [a, b, factor, c] : times) {
    if (!needed[c]) continue;
    if (terms[c].empty()) order.push_back(c);
    terms[c].push_back({static_cast<double>(factor), a, b});
  }
  // A moment is complete before it is used, so the order of last terms is an order of evaluation.
  std::vector<int> last(potential.alpha_moments_count, 0);
  for (std::size_t i = 0; i < times.size(); ++i) last[times[i][3]] = static_cast<int>(i);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return last[a] < last[b]; });

  product_start.push_back(0);
  for (const int c : order) {
    moment_of[c] = first + static_cast<int>(product_start.size()) - 1;
    for (const Quadratic& t : terms[c]) products.push_back({t.weight, moment_of[t.a], moment_of[t.b]});
    product_start.push_back(static_cast<int>(products.size()));
  }
  return static_cast<int>(order.size());
}

// dE/dm: constants from scalars that are kept moments, linear terms from scalars that are sums of products only,
// quadratic terms through the products that are kept.
void CompiledProgram::Tables::derivatives(const Potential& potential, int moments) {
  constant.assign(moments, 0.0);
  std::vector<double> leaf_weight(potential.alpha_moments_count, 0.0);
  for (std::size_t k = 0; k < potential.alpha_moment_mapping.size(); ++k) {
    const int m = potential.alpha_moment_mapping[k];
    if (moment_of[m] >= 0)
      constant[moment_of[m]] += potential.moment_coeffs[k];
    else
      leaf_weight[m] += potential.moment_coeffs[k];
  }
  std::vector<std::map<int, double>> linear(moments);
  for (const auto& [a, b, factor, c] : potential.alpha_index_times) {
    if (moment_of[c] >= 0 || moment_of[a] < 0 || moment_of[b] < 0) continue;
    const double weight = leaf_weight[c] * factor;
    if (weight == 0.0) continue;
    linear[moment_of[a]][moment_of[b]] += weight;
    linear[moment_of[b]][moment_of[a]] += weight;
  }
  std::vector<std::vector<Quadratic>> quadratic(moments);
  const int first = moments - static_cast<int>(product_start.size()) + 1;
  for (std::size_t c = 0; c + 1 < product_start.size(); ++c)
    for (int t = product_start[c]; t < product_start[c + 1]; ++t) {
      const auto& [weight, a, b] = products[t];
      const int target = first + static_cast<int>(c);
      if (a == b) {
        quadratic[a].push_back({2 * weight, target, a});
      } else {
        quadratic[a].push_back({weight, target, b});
        quadratic[b].push_back({weight, target, a});
      }
    }
  linear_start.push_back(0);
  quadratic_start.push_back(0);
  for (int m = 0; m < moments; ++m) {
    for (const auto& [a, weight] : linear[m]) linears.push_back({weight, a});
    quadratics.insert(quadratics.end(), quadratic[m].begin(), quadratic[m].end());
    linear_start.push_back(static_cast<int>(linears.size()));
    quadratic_start.push_back(static_cast<int>(quadratics.size()));
  }
}

void CompiledProgram::Tables::scalars(const Potential& potential) {
  std::vector<std::vector<Quadratic>> terms(potential.alpha_moments_count);
  for (const auto& [a, b, factor, c] : potential.alpha_index_times)
    if (moment_of[c] < 0 && moment_of[a] >= 0 && moment_of[b] >= 0)
      terms[c].push_back({static_cast<double>(factor), moment_of[a], moment_of[b]});
  scalar_start.push_back(0);
  for (const int m : potential.alpha_moment_mapping) {
    scalar_moment.push_back(moment_of[m]);
    if (moment_of[m] < 0) scalar_products.insert(scalar_products.end(), terms[m].begin(), terms[m].end());
    scalar_start.push_back(static_cast<int>(scalar_products.size()));
  }
}

CompiledProgram::CompiledProgram(const Potential& potential) : tables_(std::make_unique<Tables>()) {
  if (!potential.trained()) throw std::invalid_argument("the potential is not trained: it has no coefficients");
  Tables& t = *tables_;
  Program& p = view_;
  p.species_count = potential.species_count;
  p.funcs = potential.radial_funcs_count;
  p.basis_size = potential.radial_basis_size;
  p.cutoff = potential.max_dist;
  p.cutoff_squared = potential.max_dist * potential.max_dist;
  p.min_dist = potential.min_dist;
  p.scale = 2.0 / (potential.max_dist - potential.min_dist);
  p.shift = -(potential.max_dist + potential.min_dist) / (potential.max_dist - potential.min_dist);
  p.factor = potential.scaling;
  p.repulsive = potential.radial_basis == RadialBasis::chebyshev_repulsive;
  p.horner = potential.radial_basis_size <= largest_horner_basis;
  t.radial(potential, p.horner);

  p.independent = t.independent(potential);
  p.monomials = *std::max_element(t.function_monomials.begin(), t.function_monomials.end());
  p.rank = 0;
  while ((p.rank + 1) * (p.rank + 1) < p.monomials) ++p.rank;
  t.basic(potential, p.independent);
  p.dependent = static_cast<int>(t.dependents.size());
  p.inner = t.inner(potential, p.independent + p.dependent);
  t.derivatives(potential, p.moments());
  t.scalars(potential);
  t.species_coeffs = potential.species_coeffs;

  p.radial_poly = t.radial_poly.data();
  p.radial_cheb = t.radial_cheb.data();
  p.function_monomials = t.function_monomials.data();
  p.function_offset = t.function_offset.data();
  p.dependents = t.dependents.data();
  p.product_start = t.product_start.data();
  p.products = t.products.data();
  p.constant = t.constant.data();
  p.linear_start = t.linear_start.data();
  p.linears = t.linears.data();
  p.quadratic_start = t.quadratic_start.data();
  p.quadratics = t.quadratics.data();
  p.scalars = static_cast<int>(t.scalar_moment.size());
  p.scalar_moment = t.scalar_moment.data();
  p.scalar_start = t.scalar_start.data();
  p.scalar_products = t.scalar_products.data();
  p.species_coeffs = t.species_coeffs.data();
}

CompiledProgram::~CompiledProgram() = default;
CompiledProgram::CompiledProgram(CompiledProgram&&) noexcept = default;
CompiledProgram& CompiledProgram::operator=(CompiledProgram&&) noexcept = default;

}  // namespace mtp
