// Neighbour lists in the order in which the kernels want them: centres grouped by species, and so are the neighbours of
// each. Made when a list is rebuilt, used for many steps.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

namespace mtp {

// The potential's species of each atom: species_of[types[atom]].
struct SpeciesView {
  const int* types;
  const int* species_of;

  int operator[](int atom) const { return species_of[types[atom]]; }
};

// Full neighbour lists as programs keep them, indexed by atom; `mask` is applied to each neighbour.
struct ListsView {
  int count;
  const int* centres;  // [count]
  const int* lengths;
  const int* const* neighbours;
  int mask;
};

class Neighbourhoods {
 public:
  void assign(const ListsView& lists, const SpeciesView& species, int species_count);
  // The same, with centres side by side that have like numbers of neighbours of each species nearer than `radius`: the
  // kernels take several at once, for as long as the longest takes. positions: [atoms][3].
  void assign_alike(double radius, const double* positions, const ListsView& lists, const SpeciesView& species,
                    int species_count);

  const std::vector<int>& centres_of(int species) const { return centres_[species]; }
  // Neighbours of the k-th centre of a species, and where those of each species end.
  const int* neighbours(int species, std::size_t k) const { return &neighbours_[begin_[species][k]]; }
  const int* ends(int species, std::size_t k) const { return &ends_[species][k * centres_.size()]; }
  // The largest number of neighbours of one species that a centre has.
  int longest() const { return longest_; }

 private:
  void group(const ListsView& lists, const SpeciesView& species, int species_count);
  void order_alike(double radius, const double* positions, const ListsView& lists, const SpeciesView& species);
  void append_all(const ListsView& lists, const SpeciesView& species);
  void append(int centre, const ListsView& lists, const SpeciesView& species);

  std::vector<std::vector<int>> centres_;        // by species
  std::vector<std::vector<std::size_t>> begin_;  // by species, of each centre
  std::vector<std::vector<int>> ends_;           // by species, [centre][species]
  std::vector<int> neighbours_;
  std::vector<std::vector<int>> sorted_;  // by species, of the centre at hand
  int longest_ = 0;
};

}  // namespace mtp
