// SPDX-License-Identifier: MIT
#include "shortlist.hpp"

#include <algorithm>

namespace mtp {

// A position that is not a number counts as far.
bool Shortlist::holds(const double* positions, std::size_t atoms) const {
  if (positions_.size() != 3 * atoms) return false;
  const double* before = positions_.data();
  bool near = true;
  for (std::size_t k = 0; k < positions_.size(); k += 3) {
    const double x = positions[k] - before[k], y = positions[k + 1] - before[k + 1], z = positions[k + 2] - before[k + 2];
    near &= x * x + y * y + z * z < far_squared_;
  }
  return near;
}

void Shortlist::begin(const double* positions, std::size_t atoms, int species_count) {
  positions_.assign(positions, positions + 3 * atoms);
  begin_.resize(species_count);
  ends_.resize(species_count);
  for (int s = 0; s < species_count; ++s) {
    begin_[s].clear();
    ends_[s].clear();
  }
  used_ = 0;
}

int* Shortlist::place(std::size_t most) {
  // One more, where the last neighbour that is too far is written.
  if (used_ + most + 1 > neighbours_.size()) neighbours_.resize(std::max(used_ + most + 1, neighbours_.size() * 5 / 4));
  return neighbours_.data() + used_;
}

void Shortlist::note(int species, const int* ends) {
  begin_[species].push_back(used_);
  ends_[species].insert(ends_[species].end(), ends, ends + begin_.size());
  used_ += ends[begin_.size() - 1];
}

}  // namespace mtp
