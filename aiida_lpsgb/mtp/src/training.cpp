// SPDX-License-Identifier: MIT
#include "training.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <new>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "dispatch.hpp"

namespace mtp {
namespace training {
namespace {

std::vector<const Kernel*> kernels() {
  std::vector<const Kernel*> known = {&kernel_baseline()};
#ifdef MTP_X86_KERNELS
  if (has_avx2()) known.push_back(&kernel_avx2());
  if (has_avx512()) known.push_back(&kernel_avx512());
#endif
  return known;
}

int padded(int n) { return (n + 7) / 8 * 8; }

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<double, Free>;

Memory allocate(std::size_t count) {
  const std::size_t bytes = (count * sizeof(double) + 63) / 64 * 64;
  Memory memory(static_cast<double*>(std::aligned_alloc(64, bytes)));
  if (!memory) throw std::bad_alloc();
  std::fill_n(memory.get(), bytes / sizeof(double), 0.0);
  return memory;
}

}  // namespace

const Kernel& kernel_named(const std::string& name) { return *choose_kernel(kernels(), name); }

// What one thread works with, and its sums.
struct TrainingSet::Worker {
  Memory workspace, values, jacobian, matrix;
  std::vector<double> gradient;
  double loss = 0.0;

  // What has been evaluated last. Rows with a label move to the front, weighted.
  void add(const Labels& labels, const Kernel& kernel, std::size_t columns) {
    long used = 0;
    for (std::size_t row = 0; row < labels.targets.size(); ++row) {
      const double root = std::sqrt(labels.weights[row]);
      if (root == 0.0) continue;
      const double residual = root * (values.get()[row] - labels.targets[row]);
      const double* in = jacobian.get() + row * columns;
      double* out = jacobian.get() + used++ * columns;
      for (std::size_t k = 0; k < columns; ++k) {
        out[k] = root * in[k];
        gradient[k] += residual * out[k];
      }
      loss += residual * residual;
    }
    kernel.accumulate(jacobian.get(), used, static_cast<int>(columns), matrix.get());
  }
};

TrainingSet::TrainingSet(const Potential& potential, const std::string& kernel)
    : repulsive_(potential.radial_basis == RadialBasis::chebyshev_repulsive),
      kernel_(&kernel_named(kernel)) {
  lay_out(potential);
}

void TrainingSet::lay_out(const Potential& potential) {
  const int basic = static_cast<int>(potential.alpha_index_basic.size());
  std::vector<int> order(basic), place(potential.alpha_moments_count);
  std::iota(order.begin(), order.end(), 0);
  std::iota(place.begin(), place.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return potential.alpha_index_basic[a][0] < potential.alpha_index_basic[b][0];
  });
  std::map<std::array<int, 3>, int> known;
  func_start_.assign(potential.radial_funcs_count + 1, 0);
  for (int k = 0; k < basic; ++k) {
    place[order[k]] = k;
    const auto& index = potential.alpha_index_basic[order[k]];
    const auto [found, added] = known.try_emplace({index[1], index[2], index[3]}, static_cast<int>(known.size()));
    if (added) exponents_.insert(exponents_.end(), {index[1], index[2], index[3]});
    monomial_of_.push_back(found->second);
    form_.rank = std::max(form_.rank, index[1] + index[2] + index[3]);
    for (int mu = index[0] + 1; mu <= potential.radial_funcs_count; ++mu) func_start_[mu] = k + 1;
  }
  if (form_.rank > 32) throw std::invalid_argument("a basic moment's rank is above 32");
  for (const auto& row : potential.alpha_index_times)
    times_.insert(times_.end(), {place[row[0]], place[row[1]], row[2], place[row[3]]});
  for (int moment : potential.alpha_moment_mapping) scalar_moment_.push_back(place[moment]);

  const int species = potential.species_count, size = potential.radial_basis_size;
  form_.species = species;
  form_.funcs = potential.radial_funcs_count;
  form_.basis = size;
  form_.min_dist = potential.min_dist;
  form_.cutoff = potential.max_dist;
  form_.scaling = potential.scaling;
  form_.monomials = static_cast<int>(known.size());
  form_.exponents = exponents_.data();
  form_.basic = basic;
  form_.monomial_of = monomial_of_.data();
  form_.func_start = func_start_.data();
  form_.moments = potential.alpha_moments_count;
  form_.products = static_cast<int>(potential.alpha_index_times.size());
  form_.scalars = static_cast<int>(scalar_moment_.size());
  form_.times = times_.data();
  form_.scalar_moment = scalar_moment_.data();
  form_.func_columns = padded(species * size);
  form_.scalar_columns = padded(form_.scalars);
  form_.linear_columns = form_.scalar_columns + padded(species);
  form_.columns = form_.linear_columns + species * form_.block();
  linear_form_ = form_;
  linear_form_.columns = form_.linear_columns;

  for (int centre = 0; centre < species; ++centre)
    for (int neighbour = 0; neighbour < species; ++neighbour)
      for (int mu = 0; mu < form_.funcs; ++mu)
        for (int k = 0; k < size; ++k)
          column_of_.push_back(form_.linear_columns + centre * form_.block() + mu * form_.func_columns +
                               neighbour * size + k);
  radial_parameters_ = column_of_.size();
  for (int s = 0; s < species; ++s) column_of_.push_back(form_.scalar_columns + s);
  for (int k = 0; k < form_.scalars; ++k) column_of_.push_back(k);
}

void TrainingSet::add(int atoms, const double* positions, const int* species, const Cell& cell, Labels labels) {
  const std::size_t rows = rows_of(atoms);
  if (labels.targets.size() != rows || labels.weights.size() != rows)
    throw std::invalid_argument("there should be " + std::to_string(rows) + " labels and weights");
  for (std::size_t k = 0; k < rows; ++k)
    if (!std::isfinite(labels.targets[k]) || !(labels.weights[k] >= 0) || std::isinf(labels.weights[k]))
      throw std::invalid_argument("a label or its weight is not finite, or a weight is negative");
  for (int i = 0; i < atoms; ++i)
    if (species[i] < 0 || species[i] >= form_.species)
      throw std::invalid_argument("atom " + std::to_string(i) + " has type " + std::to_string(species[i]) +
                                  ", the potential has " + std::to_string(form_.species) + " species");
  const PeriodicNeighbours near(atoms, positions, species, cell, form_.cutoff, form_.species);
  const double* all = near.positions();
  Stored stored{atoms, {species, species + atoms}, {0}, {}, {}, {}, std::move(labels)};
  std::vector<std::size_t> seen(form_.species, 0);
  for (int i = 0; i < atoms; ++i) {
    const std::size_t k = seen[species[i]]++;
    const int* list = near.neighbourhoods().neighbours(species[i], k);
    const int* ends = near.neighbourhoods().ends(species[i], k);
    int at = 0;
    for (int s = 0; s < form_.species; ++s)
      for (; at < ends[s]; ++at) {
        stored.neighbours.push_back(near.owners()[list[at]]);
        stored.neighbour_species.push_back(s);
        for (int a = 0; a < 3; ++a) stored.vectors.push_back(all[3L * list[at] + a] - all[3L * i + a]);
      }
    stored.start.push_back(static_cast<int>(stored.neighbours.size()));
    most_neighbours_ = std::max(most_neighbours_, at);
  }
  stored.neighbours.shrink_to_fit();
  stored.neighbour_species.shrink_to_fit();
  stored.vectors.shrink_to_fit();
  check_distances(stored);
  most_atoms_ = std::max(most_atoms_, atoms);
  configurations_.push_back(std::move(stored));
}

void TrainingSet::check_distances(const Stored& stored) const {
  const double shortest = repulsive_ ? form_.min_dist : 1e-3;
  for (std::size_t k = 0; k < stored.vectors.size(); k += 3) {
    const double distance = std::hypot(stored.vectors[k], stored.vectors[k + 1], stored.vectors[k + 2]);
    if (distance < shortest)
      throw std::invalid_argument("two atoms are " + std::to_string(distance) + " apart, at least " +
                                  std::to_string(shortest) + " is needed");
  }
}

std::vector<double> TrainingSet::internal(const double* parameters) const {
  std::vector<double> out(form_.columns, 0.0);
  for (std::size_t k = 0; k < column_of_.size(); ++k) out[column_of_[k]] = parameters[k];
  return out;
}

// First configuration of each thread, by an even share of the atoms.
std::vector<std::size_t> TrainingSet::shares(int threads) const {
  std::size_t atoms = 0, seen = 0;
  for (const Stored& stored : configurations_) atoms += stored.atoms;
  const std::size_t count = threads;
  std::vector<std::size_t> first = {0};
  for (std::size_t k = 0; k < configurations_.size(); ++k) {
    while (first.size() < count && seen * count >= atoms * first.size()) first.push_back(k);
    seen += configurations_[k].atoms;
  }
  first.resize(count + 1, configurations_.size());
  return first;
}

NormalEquations TrainingSet::sums(const Form& form, std::size_t first_parameter, const double* parameters,
                                  int threads) const {
  if (threads < 1) throw std::invalid_argument("at least one thread is needed");
  threads = static_cast<int>(std::clamp<std::size_t>(configurations_.size(), 1, threads));
  const std::vector<double> coefficients = internal(parameters);
  const std::vector<std::size_t> first = shares(threads);
  const std::size_t rows = rows_of(most_atoms_), columns = form.columns;
  std::vector<Worker> workers(threads);
  for (Worker& worker : workers) {  // here, where a failure can be reported
    worker.workspace = allocate(kernel_->workspace_size(form, most_neighbours_));
    worker.values = allocate(rows);
    worker.jacobian = allocate(rows * columns);
    worker.matrix = allocate(columns * columns);
    worker.gradient.assign(columns, 0.0);
  }
  const auto work = [&](int thread) {
    for (std::size_t k = first[thread]; k < first[thread + 1]; ++k) {
      const Stored& stored = configurations_[k];
      Worker& worker = workers[thread];
      kernel_->evaluate(form, coefficients.data(), stored.view(), worker.workspace.get(), worker.values.get(),
                        worker.jacobian.get());
      worker.add(stored.labels, *kernel_, columns);
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();

  const std::size_t n = column_of_.size() - first_parameter;
  const int* column_of = column_of_.data() + first_parameter;
  NormalEquations sums;
  sums.matrix.assign(n * n, 0.0);
  sums.gradient.assign(n, 0.0);
  for (const Worker& worker : workers) {
    sums.loss += worker.loss;
    for (std::size_t i = 0; i < n; ++i) {
      sums.gradient[i] += worker.gradient[column_of[i]];
      for (std::size_t j = 0; j < n; ++j) {
        const std::size_t a = std::min(column_of[i], column_of[j]), b = std::max(column_of[i], column_of[j]);
        sums.matrix[i * n + j] += worker.matrix.get()[a * columns + b];
      }
    }
  }
  return sums;
}

NormalEquations TrainingSet::normal_equations(const double* parameters, int threads) const {
  return sums(form_, 0, parameters, threads);
}

NormalEquations TrainingSet::linear_equations(const double* parameters, int threads) const {
  return sums(linear_form_, radial_parameters_, parameters, threads);
}

void TrainingSet::evaluate(std::size_t index, const double* parameters, double* values, double* jacobian) const {
  const Stored& stored = configurations_.at(index);
  const std::vector<double> coefficients = internal(parameters);
  const Memory workspace = allocate(kernel_->workspace_size(form_, most_neighbours_));
  const std::size_t count = rows(index), columns = form_.columns;
  const Memory derivatives = jacobian != nullptr ? allocate(count * columns) : nullptr;
  kernel_->evaluate(form_, coefficients.data(), stored.view(), workspace.get(), values, derivatives.get());
  if (jacobian == nullptr) return;
  for (std::size_t row = 0; row < count; ++row)
    for (std::size_t k = 0; k < column_of_.size(); ++k)
      jacobian[row * column_of_.size() + k] = derivatives.get()[row * columns + column_of_[k]];
}

std::vector<std::pair<long, long>> exchange(double* coefficients, long rows, long size, double threshold, long limit) {
  const Kernel* kernel = &kernel_named("");
  std::vector<std::pair<long, long>> swaps;
  std::vector<double> largest(rows), change(size, 0.0);
  for (long i = 0; i < rows; ++i) largest[i] = kernel->update_row(0.0, change.data(), size, coefficients + i * size);
  while (rows > 0 && static_cast<long>(swaps.size()) < limit) {
    const long in = std::max_element(largest.begin(), largest.end()) - largest.begin();
    if (!(largest[in] > threshold)) break;
    std::copy_n(coefficients + in * size, size, change.begin());
    const auto smaller = [](double a, double b) { return std::fabs(a) < std::fabs(b); };
    const long out = std::max_element(change.begin(), change.end(), smaller) - change.begin();
    const double pivot = change[out];
    change[out] -= 1.0;
    for (long i = 0; i < rows; ++i) {
      double* row = coefficients + i * size;
      const double factor = (row[out] + (i == in ? 1.0 : 0.0)) / pivot;
      if (factor != 0.0) largest[i] = kernel->update_row(factor, change.data(), size, row);
    }
    swaps.emplace_back(in, out);
  }
  return swaps;
}

}  // namespace training
}  // namespace mtp
