// Neighbours a little beyond the cutoff, noted while walking over lists that reach much further, and walked over instead
// of these until an atom has moved far.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "neighbourhoods.hpp"

namespace mtp {

class Shortlist {
 public:
  // Neighbours within cutoff + margin are noted; they hold until an atom has moved by half the margin.
  Shortlist(double cutoff, double margin)
      : radius_squared_((cutoff + margin) * (cutoff + margin)), far_squared_(margin * margin / 4) {}

  // To be called when the neighbourhoods have changed.
  void forget() { positions_.clear(); }
  // Whether what was noted has all neighbours within the cutoff at these positions [atoms][3].
  bool holds(const double* positions, std::size_t atoms) const;
  // Starts anew. Centres are noted in the order of the neighbourhoods.
  void begin(const double* positions, std::size_t atoms, int species_count);
  double radius_squared() const { return radius_squared_; }

  // Where up to `most` neighbours of the next centre of a species may be written, and what their ends are once they are.
  int* place(std::size_t most);
  void note(int species, const int* ends);

  const int* neighbours(int species, std::size_t k) const { return &neighbours_[begin_[species][k]]; }
  const int* ends(int species, std::size_t k) const { return &ends_[species][k * begin_.size()]; }

 private:
  double radius_squared_, far_squared_;
  std::vector<double> positions_;                // when the neighbours were noted
  std::vector<std::vector<std::size_t>> begin_;  // as in Neighbourhoods
  std::vector<std::vector<int>> ends_;
  std::vector<int> neighbours_;
  std::size_t used_ = 0;
};

}  // namespace mtp
