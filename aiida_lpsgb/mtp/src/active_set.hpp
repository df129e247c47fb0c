// An active set (MLIP-2's `.als`, MLIP-3's `.almtp`): the rows that span what a potential has learnt, and the
// extrapolation grades that follow from them.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <vector>

#include "potential.hpp"

namespace mtp {

struct ActiveSet {
  Potential potential;
  // Which rows were selected: site energies, energies, forces, stresses.
  double neighbourhood_weight = 0.0, energy_weight = 1.0, force_weight = 0.0, stress_weight = 0.0;
  // Energy rows are divided by the number of atoms to the power of half of this.
  int scale_power = 2;
  std::vector<double> rows;             // [parameters][parameters]
  std::vector<double> inverse_columns;  // [parameters][parameters], row j is column j of the inverse

  bool by_neighbourhoods() const { return neighbourhood_weight != 0.0; }

  // What to multiply the summed derivatives of a configuration's energy with to get its row. Among rows of site
  // energies, which are not scaled, that of a configuration is their mean.
  double energy_scale(double atoms) const;

  // The same for the derivatives of one site energy, which among rows of energies is that of an atom alone.
  double site_scale() const { return by_neighbourhoods() ? 1.0 : energy_weight; }

  // The largest coefficient that expresses `row` by the active rows, in absolute value.
  double grade(const double* row) const;
};

// Reads a potential followed by binary matrices; the configurations at the end of a `.als` file are not needed for
// grades and not read: `consumed`, where given, receives where they begin. Throws FormatError.
ActiveSet parse_active_set(std::string_view content, std::size_t* consumed = nullptr);

}  // namespace mtp
