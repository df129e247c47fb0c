// Labelled configurations and the normal equations of fitting a potential's coefficients to them.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "periodic.hpp"
#include "potential.hpp"
#include "training_kernel.hpp"

namespace mtp {
namespace training {

// The labels of one configuration in the order of a Jacobian's rows (energy, forces, virial), each with the weight of
// its squared error; a weight of zero means that there is no label.
struct Labels {
  std::vector<double> targets, weights;  // [rows_of(atoms)]
};

// Sums of weighted squares over a set.
struct NormalEquations {
  std::vector<double> matrix;    // [parameters][parameters], symmetric
  std::vector<double> gradient;  // [parameters], half the derivative of the loss
  double loss = 0.0;
};

// The kernel of a name among those that this build has and this processor runs; the best without a name.
const Kernel& kernel_named(const std::string& name);

class TrainingSet {
 public:
  // The potential's form; its coefficients are not used. `kernel` as for Evaluator.
  explicit TrainingSet(const Potential& potential, const std::string& kernel = "");

  // Throws std::invalid_argument for unusable configurations or labels of the wrong size.
  void add(int atoms, const double* positions, const int* species, const Cell& cell, Labels labels);

  std::size_t size() const { return configurations_.size(); }
  std::size_t parameters() const { return column_of_.size(); }
  std::size_t rows(std::size_t index) const { return configurations_.at(index).labels.targets.size(); }
  const char* kernel_name() const { return kernel_->name; }

  // All following take parameters in the order of Potential. A result depends on the number of threads only by the
  // order of summation.
  NormalEquations normal_equations(const double* parameters, int threads) const;
  // The same for the species and moment coefficients alone, which takes less time.
  NormalEquations linear_equations(const double* parameters, int threads) const;
  // Energy, forces and virial of one configuration [rows], and their derivatives [rows][parameters] where wanted.
  void evaluate(std::size_t index, const double* parameters, double* values, double* jacobian) const;

 private:
  struct Stored {
    int atoms;
    std::vector<int> species, start, neighbours, neighbour_species;
    std::vector<double> vectors;
    Labels labels;
    Configuration view() const {
      return {atoms, species.data(), start.data(), neighbours.data(), neighbour_species.data(), vectors.data()};
    }
  };
  struct Worker;

  void lay_out(const Potential& potential);
  void check_distances(const Stored& stored) const;
  std::vector<double> internal(const double* parameters) const;
  std::vector<std::size_t> shares(int threads) const;
  NormalEquations sums(const Form& form, std::size_t first_parameter, const double* parameters, int threads) const;

  bool repulsive_;
  std::vector<int> exponents_, monomial_of_, func_start_, times_, scalar_moment_;
  std::vector<int> column_of_;  // [parameters]
  std::size_t radial_parameters_ = 0;
  Form form_{}, linear_form_{};
  const Kernel* kernel_;
  int most_neighbours_ = 0, most_atoms_ = 0;
  std::vector<Stored> configurations_;
};

// The exchanges of maximal volume selection. Element (i, j) of coefficients [rows][size] says how often row j of a
// basis occurs in row i; the largest in magnitude names the next exchange (i, j), and the coefficients are brought up
// to date. Ends when none is above the threshold, or at the limit.
std::vector<std::pair<long, long>> exchange(double* coefficients, long rows, long size, double threshold, long limit);

}  // namespace training
}  // namespace mtp
