// Errors of a potential, counted and printed as MLIP-2's `mlp` does: root mean squares of forces and stresses are those
// of their 3 and 9 components; averages are the mean length of a difference divided by 3 or 9; maxima are lengths.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "configurations.hpp"

namespace mtp {

// eV/A^3 in GPa, as MLIP-2 has it.
constexpr double gpa_of_ev_a3 = 160.2176487;

// Absolute errors of one quantity, and how large the quantity is.
struct Statistics {
  double components;
  long count = 0;
  double largest = 0, sum = 0, squares = 0, largest_value = 0, value_squares = 0;

  explicit Statistics(double components) : components(components) {}
  void add(double difference, double value);
  void add(const Statistics& other);
  double mae() const { return count ? sum / count / components : 0.0; }
  double rmse() const;
  std::string lines(const char* of, const char* relative) const;
};

// Energies (eV), energies per atom (eV), forces (eV/A), virials (eV) and stresses (GPa).
struct ErrorReport {
  Statistics energy{1}, energy_per_atom{1}, forces{3}, virial{9}, stress{9};

  // Compares labels with predictions; the virial in the order of Structure.
  void add(const Structure& known, double energy, const double* forces, const double* virial);
  void add(const ErrorReport& other);
  std::string text() const;
};

}  // namespace mtp
