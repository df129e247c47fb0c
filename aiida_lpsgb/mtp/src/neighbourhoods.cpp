// SPDX-License-Identifier: MIT
#include "neighbourhoods.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace mtp {
namespace {

// So many centres are put in order at a time, which are near each other in space as LAMMPS sorts atoms. All together
// would spread the neighbours of a few over the whole memory.
constexpr std::size_t window = 256;

// Numbers of a centre's neighbours nearer than `radius`, of each species in eight bits. More species share bits, and
// larger numbers spill over; order suffers, nothing else.
std::uint64_t key(double radius, const double* positions, const ListsView& lists, const SpeciesView& species,
                  int centre) {
  const double x = positions[3L * centre], y = positions[3L * centre + 1], z = positions[3L * centre + 2];
  const double squared = radius * radius;
  const int *list = lists.neighbours[centre], length = lists.lengths[centre], mask = lists.mask;
  std::uint64_t counts = 0;
  for (int k = 0; k < length; ++k) {
    const int j = list[k] & mask;
    const double* q = positions + 3L * j;
    const double dx = q[0] - x, dy = q[1] - y, dz = q[2] - z;
    const std::uint64_t near = dx * dx + dy * dy + dz * dz < squared ? 1 : 0;
    counts += near << (8 * species[j] & 63);
  }
  return counts;
}

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
  std::vector<std::pair<std::uint64_t, int>> keyed;
  for (auto& centres : centres_) {
    keyed.clear();
    for (const int centre : centres) keyed.emplace_back(key(radius, positions, lists, species, centre), centre);
    for (std::size_t first = 0; first < keyed.size(); first += window)
      std::sort(keyed.begin() + first, keyed.begin() + std::min(first + window, keyed.size()));
    for (std::size_t k = 0; k < keyed.size(); ++k) centres[k] = keyed[k].second;
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
