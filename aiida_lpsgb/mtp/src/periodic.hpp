// Evaluation of a configuration given by positions and a periodic cell, without a molecular dynamics program.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "neighbourhoods.hpp"

namespace mtp {

struct Cell {
  double vectors[3][3];  // rows
  bool periodic[3];
};

// Unit vectors across the others for directions without vector and period, then the shortest vectors of the same lattice,
// and fractional = position inverse. In a leaning cell the nearest image is any number of cells away, in this one at
// most two. Throws std::invalid_argument for vectors that span no volume.
void settle_cell(Cell& cell, double (&inverse)[3][3]);

// Height of a cell along one of its vectors: the distance between the planes of the other two.
double height(const double (&inverse)[3][3], int a);

// The atoms of a cell and the images of them that can lie within a cutoff, with everyone's neighbours.
class PeriodicNeighbours {
 public:
  // positions [count][3], species [count] below species_count. Throws std::invalid_argument for a flat cell, or a
  // position that is not finite or far outside the cell.
  PeriodicNeighbours(int count, const double* positions, const int* species, const Cell& cell, double cutoff,
                     int species_count);

  const double* positions() const { return positions_.data(); }
  const Neighbourhoods& neighbourhoods() const { return neighbourhoods_; }
  std::size_t total() const { return types_.size(); }
  // The atom of which each atom or image is an image.
  const std::vector<int>& owners() const { return owner_; }
  // Adds the images' forces to the atoms' own: in [total][3], out [count][3].
  void fold(const std::vector<double>& in, double* out) const;

 private:
  void wrap(const double* positions, const Cell& cell);
  void add_images(const Cell& cell, double cutoff);
  void search(double cutoff, int species_count);

  int count_;
  std::vector<double> positions_, fractional_;
  std::vector<int> types_, owner_;
  double inverse_[3][3];
  Neighbourhoods neighbourhoods_;
};

}  // namespace mtp
