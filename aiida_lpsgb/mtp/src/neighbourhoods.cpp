// SPDX-License-Identifier: MIT
#include "neighbourhoods.hpp"

#include <algorithm>
#include <numeric>

namespace mtp {
namespace {

// So many centres are put in order at a time, which are near each other in space as LAMMPS sorts atoms. All together
// would spread the neighbours of a few over the whole memory.
constexpr std::size_t window = 256;

}  // namespace

void Neighbourhoods::assign(const ListsView& lists, const SpeciesView& species, int species_count) {
  group(lists, species, species_count);
  append_all(lists, species);
}

void Neighbourhoods::assign_alike(double radius, const double* positions, const ListsView& lists,
                                  const SpeciesView& species, int species_count) {
  group(lists, species, species_count);
  order_alike(radius, positions, lists, species);
  append_all(lists, species);
}

void Neighbourhoods::group(const ListsView& lists, const SpeciesView& species, int species_count) {
  centres_.resize(species_count);
  for (auto& centres : centres_) centres.clear();
  for (int k = 0; k < lists.count; ++k) centres_[species[lists.centres[k]]].push_back(lists.centres[k]);
}

void Neighbourhoods::order_alike(double radius, const double* positions, const ListsView& lists,
                                 const SpeciesView& species) {
  const std::size_t width = centres_.size();
  for (auto& centres : centres_) {
    std::vector<int> counts(width * centres.size(), 0), order(centres.size()), ordered;
    for (std::size_t k = 0; k < centres.size(); ++k) {
      const double* from = positions + 3L * centres[k];
      const int* list = lists.neighbours[centres[k]];
      for (int n = 0; n < lists.lengths[centres[k]]; ++n) {
        const int j = list[n] & lists.mask;
        const double* to = positions + 3L * j;
        const double x = to[0] - from[0], y = to[1] - from[1], z = to[2] - from[2];
        counts[width * k + species[j]] += x * x + y * y + z * z < radius * radius ? 1 : 0;
      }
    }
    std::iota(order.begin(), order.end(), 0);
    const auto fewer = [&](int a, int b) {
      const int *first = &counts[width * a], *second = &counts[width * b];
      return std::lexicographical_compare(first, first + width, second, second + width);
    };
    for (std::size_t first = 0; first < order.size(); first += window)
      std::stable_sort(order.begin() + first, order.begin() + std::min(first + window, order.size()), fewer);
    for (int k : order) ordered.push_back(centres[k]);
    centres.swap(ordered);
  }
}

void Neighbourhoods::append_all(const ListsView& lists, const SpeciesView& species) {
  begin_.resize(centres_.size());
  ends_.resize(centres_.size());
  sorted_.resize(centres_.size());
  neighbours_.clear();
  longest_ = 0;
  for (std::size_t s = 0; s < centres_.size(); ++s) {
    begin_[s].clear();
    ends_[s].clear();
    for (int centre : centres_[s]) append(centre, lists, species);
  }
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
