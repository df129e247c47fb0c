// An active set (MLIP-2's `.als`): the rows that span what a potential has learnt, and the extrapolation grades that
// follow from them.
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
  std::vector<double> rows;             // [parameters][parameters]
  std::vector<double> inverse_columns;  // [parameters][parameters], row j is column j of the inverse

  // The largest coefficient that expresses `row` by the active rows, in absolute value.
  double grade(const double* row) const;
};

// Reads a `.als` file, a potential followed by binary matrices; the configurations at its end are not needed for
// grades and not read. Throws FormatError.
ActiveSet parse_active_set(std::string_view content);

}  // namespace mtp
