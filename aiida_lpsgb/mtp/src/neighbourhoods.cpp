// SPDX-License-Identifier: MIT
#include "neighbourhoods.hpp"

#include <algorithm>

namespace mtp {

void Neighbourhoods::assign(const ListsView& lists, const SpeciesView& species, int species_count) {
  centres_.resize(species_count);
  begin_.resize(species_count);
  ends_.resize(species_count);
  sorted_.resize(species_count);
  for (int s = 0; s < species_count; ++s) {
    centres_[s].clear();
    begin_[s].clear();
    ends_[s].clear();
  }
  neighbours_.clear();
  longest_ = 0;
  for (int k = 0; k < lists.count; ++k) append(lists.centres[k], lists, species);
  neighbours_.push_back(0);  // so that an empty list at the end has an address
}

void Neighbourhoods::append(int centre, const ListsView& lists, const SpeciesView& species) {
  for (auto& list : sorted_) list.clear();
  const int* list = lists.neighbours[centre];
  for (int k = 0; k < lists.lengths[centre]; ++k) {
    const int j = list[k] & lists.mask;
    sorted_[species[j]].push_back(j);
  }
  const int own = species[centre];
  centres_[own].push_back(centre);
  begin_[own].push_back(neighbours_.size());
  int end = 0;
  for (const auto& same : sorted_) {
    neighbours_.insert(neighbours_.end(), same.begin(), same.end());
    end += static_cast<int>(same.size());
    ends_[own].push_back(end);
    longest_ = std::max(longest_, static_cast<int>(same.size()));
  }
}

}  // namespace mtp
