// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
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
  std::vector<int> product_start, linear_start, scalar_moment, scalar_start;
  std::vector<Factors> factors, scalar_factors;
  std::vector<double> weights, scalar_weights;
  std::vector<Linear> linears;

  std::map<std::pair<int, Powers>, int> dependent_of;  // (function, powers) to moment
  std::vector<int> moment_of;                          // file's moment to ours, -1 where it is not kept

  void radial(const Potential& potential, bool horner);
  int independent(const Potential& potential);
  bool usual(int rank) const;
  int dependent(int function, Powers powers, int independent_count);
  void basic(const Potential& potential, int independent_count);
  int inner(const Potential& potential, int first);
  void derivatives(const Potential& potential, int moments);
  void scalars(const Potential& potential);
  Factors factors_of(int a, int b) const;
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

bool CompiledProgram::Tables::usual(int rank) const {
  for (const int monomials : function_monomials) {
    if (rank < -1 || monomials != (std::max(rank, 0) + 1) * (std::max(rank, 0) + 1)) return false;
    rank -= 2;
  }
  return rank < 0;
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

// Keeps the product moments that other products need, in the order in which the file completes them.
int CompiledProgram::Tables::inner(const Potential& potential, int first) {
  const auto& times = potential.alpha_index_times;
  const std::size_t count = potential.alpha_moments_count;
  std::vector<char> live(count, 0), needed(count, 0);
  for (const int m : potential.alpha_moment_mapping) live[m] = 1;
  for (auto entry = times.rbegin(); entry != times.rend(); ++entry) {
    const auto& [a, b, factor, c] = *entry;
    if (live[c]) live[a] = live[b] = needed[a] = needed[b] = 1;
  }
  std::vector<std::vector<std::array<int, 3>>> terms(count);
  std::vector<int> last(count, 0), order;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const auto& [a, b, factor, c] = times[i];
    if (!needed[c]) continue;
    if (terms[c].empty()) order.push_back(c);
    terms[c].push_back({a, b, factor});
    last[c] = static_cast<int>(i);
  }
  std::sort(order.begin(), order.end(), [&](int a, int b) { return last[a] < last[b]; });
  if (first + order.size() > UINT16_MAX) throw std::invalid_argument("the potential has more than 65535 moments");
  for (std::size_t k = 0; k < order.size(); ++k) moment_of[order[k]] = first + static_cast<int>(k);
  product_start.push_back(0);
  for (const int c : order) {
    for (const auto& [a, b, factor] : terms[c]) {
      factors.push_back(factors_of(a, b));
      weights.push_back(factor);
    }
    product_start.push_back(static_cast<int>(factors.size()));
  }
  return static_cast<int>(order.size());
}

Factors CompiledProgram::Tables::factors_of(int a, int b) const {
  return {static_cast<std::uint16_t>(moment_of[a]), static_cast<std::uint16_t>(moment_of[b])};
}

// What dE/dm holds besides the products that are kept: constants from scalars that are kept moments, and terms linear
// in the moments from scalars that are sums of products only.
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
    const double weight = leaf_weight[c] * factor;
    if (moment_of[c] >= 0 || weight == 0.0) continue;
    linear[moment_of[a]][moment_of[b]] += weight;
    linear[moment_of[b]][moment_of[a]] += weight;
  }
  linear_start.push_back(0);
  for (int m = 0; m < moments; ++m) {
    for (const auto& [a, weight] : linear[m]) linears.push_back({weight, a});
    linear_start.push_back(static_cast<int>(linears.size()));
  }
}

void CompiledProgram::Tables::scalars(const Potential& potential) {
  std::vector<std::vector<std::array<int, 3>>> terms(potential.alpha_moments_count);
  for (const auto& [a, b, factor, c] : potential.alpha_index_times)
    if (moment_of[c] < 0) terms[c].push_back({a, b, factor});
  scalar_start.push_back(0);
  for (const int m : potential.alpha_moment_mapping) {
    scalar_moment.push_back(moment_of[m]);
    for (const auto& [a, b, factor] : terms[m]) {
      scalar_factors.push_back(factors_of(a, b));
      scalar_weights.push_back(factor);
    }
    scalar_start.push_back(static_cast<int>(scalar_factors.size()));
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
  p.usual = t.usual(p.rank);
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
  p.factors = t.factors.data();
  p.weights = t.weights.data();
  p.constant = t.constant.data();
  p.linear_start = t.linear_start.data();
  p.linears = t.linears.data();
  p.scalars = static_cast<int>(t.scalar_moment.size());
  p.scalar_moment = t.scalar_moment.data();
  p.scalar_start = t.scalar_start.data();
  p.scalar_factors = t.scalar_factors.data();
  p.scalar_weights = t.scalar_weights.data();
  p.species_coeffs = t.species_coeffs.data();
}

long Program::flops_per_atom() const {
  const long products = 3L * product_start[inner] + 5L * product_start[inner];
  return products + 2L * linear_start[moments()] + 5L * moments() + 5L * dependent;
}

long Program::flops_per_neighbour() const {
  const long geometry = 15, projection = 18;
  const long radial = funcs * (4L * (basis_size - 1) + 6);
  const long fill = 2L * (monomials - 1);
  const long sums = 3 * 2L * independent + 4L * funcs;
  const long adjoint = 4L * rank * (rank + 1) + 4L * rank;
  return geometry + radial + fill + sums + adjoint + projection;
}

CompiledProgram::~CompiledProgram() = default;
CompiledProgram::CompiledProgram(CompiledProgram&&) noexcept = default;
CompiledProgram& CompiledProgram::operator=(CompiledProgram&&) noexcept = default;

}  // namespace mtp
