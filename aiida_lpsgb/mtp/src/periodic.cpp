// SPDX-License-Identifier: MIT
#include "periodic.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace mtp {
namespace {

using Vector = std::array<double, 3>;

// In cells. Wrapping from farther leaves fewer than six digits of a position.
constexpr double farthest = 1e9;
// Of the cell. No crystal comes near to that; what is refused would take all memory.
constexpr int most_images = 100000;

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

std::array<Vector, 3> rows(const double (&vectors)[3][3]) {
  std::array<Vector, 3> v;
  for (int a = 0; a < 3; ++a) v[a] = {vectors[a][0], vectors[a][1], vectors[a][2]};
  return v;
}

// Adds multiples of two vectors to another if that makes it shorter.
bool shorten(Vector& v, double x, const Vector& b, double y, const Vector& c) {
  const Vector other = {v[0] + x * b[0] + y * c[0], v[1] + x * b[1] + y * c[1], v[2] + x * b[2] + y * c[2]};
  if (!(dot(other, other) < (1 - 1e-12) * dot(v, v))) return false;
  v = other;
  return true;
}

// Replaces the missing vectors of directions without period by unit vectors across the others.
void complete_cell(Cell& cell) {
  for (int a = 0; a < 3; ++a) {
    const std::array<Vector, 3> v = rows(cell.vectors);
    if (dot(v[a], v[a]) > 0 || cell.periodic[a]) continue;
    const Vector &b = v[(a + 1) % 3], &c = v[(a + 2) % 3];
    Vector n = cross(b, c);
    for (int axis = 0; axis < 3 && dot(n, n) == 0; ++axis) {
      Vector unit = {};
      unit[axis] = 1.0;
      n = dot(b, b) > 0 ? cross(unit, b) : dot(c, c) > 0 ? cross(unit, c) : unit;
    }
    const double length = std::sqrt(dot(n, n));
    for (int k = 0; k < 3; ++k) cell.vectors[a][k] = n[k] / length;
  }
}

// fractional = position inverse.
void invert_cell(const double (&vectors)[3][3], double (&inverse)[3][3]) {
  const std::array<Vector, 3> v = rows(vectors);
  const double volume = dot(v[0], cross(v[1], v[2]));
  const double scale = std::sqrt(dot(v[0], v[0]) * dot(v[1], v[1]) * dot(v[2], v[2]));
  if (!(std::fabs(volume) > 1e-10 * scale)) throw std::invalid_argument("the cell vectors span no volume");
  for (int a = 0; a < 3; ++a) {
    const Vector reciprocal = cross(v[(a + 1) % 3], v[(a + 2) % 3]);
    for (int k = 0; k < 3; ++k) inverse[k][a] = reciprocal[k] / volume;
  }
}

// To the shortest vectors of the same lattice (Minkowski's conditions): no periodic one becomes shorter by a multiple
// of another, or by both others.
void reduce_cell(Cell& cell) {
  std::array<Vector, 3> v = rows(cell.vectors);
  for (bool shorter = true; shorter;) {
    shorter = false;
    for (int a = 0; a < 3; ++a)
      for (const int b : {(a + 1) % 3, (a + 2) % 3}) {
        const int c = 3 - a - b;
        if (!cell.periodic[a] || !cell.periodic[b]) continue;
        shorter |= shorten(v[a], -std::nearbyint(dot(v[a], v[b]) / dot(v[b], v[b])), v[b], 0, v[c]);
        if (!cell.periodic[c]) continue;
        for (const int x : {-1, 1})
          for (const int y : {-1, 1}) shorter |= shorten(v[a], x, v[b], y, v[c]);
      }
  }
  for (int a = 0; a < 3; ++a) std::copy(v[a].begin(), v[a].end(), cell.vectors[a]);
}

}  // namespace

void settle_cell(Cell& cell, double (&inverse)[3][3]) {
  complete_cell(cell);
  invert_cell(cell.vectors, inverse);  // what spans no volume has no shortest vectors
  reduce_cell(cell);
  invert_cell(cell.vectors, inverse);
}

double height(const double (&inverse)[3][3], int a) {
  return 1 / std::hypot(inverse[0][a], inverse[1][a], inverse[2][a]);
}

PeriodicNeighbours::PeriodicNeighbours(int count, const double* positions, const int* species, const Cell& cell,
                                       double cutoff, int species_count)
    : count_(count), types_(species, species + count), owner_(count) {
  for (int k = 0; k < 3 * count; ++k)
    if (!std::isfinite(positions[k])) throw std::invalid_argument("a position is not a finite number");
  std::iota(owner_.begin(), owner_.end(), 0);
  Cell full = cell;
  settle_cell(full, inverse_);
  wrap(positions, full);
  add_images(full, cutoff);
  search(cutoff, species_count);
}

void PeriodicNeighbours::wrap(const double* positions, const Cell& cell) {
  positions_.assign(positions, positions + 3 * static_cast<std::size_t>(count_));
  fractional_.resize(positions_.size());
  for (int i = 0; i < count_; ++i)
    for (int a = 0; a < 3; ++a) {
      double f = 0.0;
      for (int k = 0; k < 3; ++k) f += positions[3 * i + k] * inverse_[k][a];
      if (!(std::fabs(f) < farthest)) throw std::invalid_argument("a position is too far outside the cell");
      const double shift = cell.periodic[a] ? std::floor(f) : 0.0;
      fractional_[3 * i + a] = f - shift;
      for (int k = 0; k < 3; ++k) positions_[3 * i + k] -= shift * cell.vectors[a][k];
    }
}

void PeriodicNeighbours::add_images(const Cell& cell, double cutoff) {
  int repeats[3];
  double images = 1;
  double margin[3];  // the cutoff in fractions of the cell's height along each vector
  for (int a = 0; a < 3; ++a) {
    margin[a] = cutoff / height(inverse_, a);
    if (cell.periodic[a]) images *= 2 * margin[a] + 1;
    if (images > most_images)
      throw std::invalid_argument("the cell is so small that " + std::to_string(most_images) +
                                  " of it are within the cutoff");
    repeats[a] = cell.periodic[a] ? static_cast<int>(std::ceil(margin[a])) : 0;
  }
  for (int na = -repeats[0]; na <= repeats[0]; ++na)
    for (int nb = -repeats[1]; nb <= repeats[1]; ++nb)
      for (int nc = -repeats[2]; nc <= repeats[2]; ++nc) {
        if (na == 0 && nb == 0 && nc == 0) continue;
        const int n[3] = {na, nb, nc};
        for (int i = 0; i < count_; ++i) {
          bool near = true;
          for (int a = 0; a < 3; ++a) {
            const double f = fractional_[3 * static_cast<std::size_t>(i) + a] + n[a];
            near = near && (!cell.periodic[a] || (f > -margin[a] - 1e-9 && f < 1 + margin[a] + 1e-9));
          }
          if (!near) continue;
          for (int k = 0; k < 3; ++k)
            positions_.push_back(positions_[3 * static_cast<std::size_t>(i) + k] + na * cell.vectors[0][k] +
                                 nb * cell.vectors[1][k] + nc * cell.vectors[2][k]);
          types_.push_back(types_[i]);
          owner_.push_back(i);
        }
      }
}

void PeriodicNeighbours::search(double cutoff, int species_count) {
  const std::size_t total = types_.size();
  double low[3] = {}, high[3] = {};
  for (std::size_t i = 0; i < total; ++i)
    for (int k = 0; k < 3; ++k) {
      const double x = positions_[3 * i + k];
      low[k] = i == 0 ? x : std::min(low[k], x);
      high[k] = i == 0 ? x : std::max(high[k], x);
    }
  // Boxes at least as wide as the cutoff, but never many more than atoms (a sparse molecule in a large box).
  const double limit = std::cbrt(static_cast<double>(total)) + 1;
  long boxes[3];
  double width[3];
  for (int k = 0; k < 3; ++k) {
    boxes[k] = static_cast<long>(std::clamp(std::floor((high[k] - low[k]) / cutoff), 1.0, limit));
    width[k] = std::max((high[k] - low[k]) / static_cast<double>(boxes[k]), cutoff) * (1 + 1e-12);
  }
  const auto box_of = [&](std::size_t i, int k) {
    return std::clamp(static_cast<long>((positions_[3 * i + k] - low[k]) / width[k]), 0L, boxes[k] - 1);
  };
  std::vector<int> head(boxes[0] * boxes[1] * boxes[2], -1), next(total, -1);
  for (std::size_t i = 0; i < total; ++i) {
    int& first = head[(box_of(i, 0) * boxes[1] + box_of(i, 1)) * boxes[2] + box_of(i, 2)];
    next[i] = first;
    first = static_cast<int>(i);
  }
  std::vector<int> flat;
  std::vector<std::size_t> start(static_cast<std::size_t>(count_) + 1, 0);
  for (int i = 0; i < count_; ++i) {
    for (long a = std::max(box_of(i, 0) - 1, 0L); a <= std::min(box_of(i, 0) + 1, boxes[0] - 1); ++a)
      for (long b = std::max(box_of(i, 1) - 1, 0L); b <= std::min(box_of(i, 1) + 1, boxes[1] - 1); ++b)
        for (long c = std::max(box_of(i, 2) - 1, 0L); c <= std::min(box_of(i, 2) + 1, boxes[2] - 1); ++c)
          for (int j = head[(a * boxes[1] + b) * boxes[2] + c]; j >= 0; j = next[j]) {
            double squared = 0.0;
            for (int k = 0; k < 3; ++k) {
              const double d = positions_[3 * static_cast<std::size_t>(j) + k] - positions_[3 * i + k];
              squared += d * d;
            }
            if (j != i && squared < cutoff * cutoff) flat.push_back(j);
          }
    start[i + 1] = flat.size();
  }
  std::vector<int> centres(count_), lengths, identity(species_count);
  std::iota(centres.begin(), centres.end(), 0);
  std::iota(identity.begin(), identity.end(), 0);
  std::vector<const int*> lists;
  for (int i = 0; i < count_; ++i) {
    lists.push_back(flat.data() + start[i]);
    lengths.push_back(static_cast<int>(start[i + 1] - start[i]));
  }
  neighbourhoods_.assign({count_, centres.data(), lengths.data(), lists.data(), ~0}, {types_.data(), identity.data()},
                         species_count);
}

void PeriodicNeighbours::fold(const std::vector<double>& in, double* out) const {
  for (std::size_t i = 0; i < owner_.size(); ++i)
    for (int k = 0; k < 3; ++k) out[3 * static_cast<std::size_t>(owner_[i]) + k] += in[3 * i + k];
}

}  // namespace mtp
