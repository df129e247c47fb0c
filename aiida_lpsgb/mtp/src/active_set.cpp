// SPDX-License-Identifier: MIT
#include "active_set.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "scanner.hpp"

namespace mtp {
namespace {

// Walks through what follows the potential's text.
class Binary {
 public:
  Binary(std::string_view content, std::size_t position)
      : content_(content), position_(position),
        line_(1 + static_cast<int>(std::count(content.begin(), content.begin() + position, '\n'))) {}

  [[noreturn]] void fail(const std::string& reason) const { throw FormatError(line_, reason); }

  std::size_t position() const { return position_; }

  void skip_past(char mark, const char* what) {
    position_ = content_.find(mark, position_);
    if (position_ == std::string_view::npos)
      fail(std::string("no active set follows the potential: '") + mark + "' before " + what + " is missing");
    ++position_;
  }

  void read(double* values, std::size_t count, const char* what) {
    if (count > (content_.size() - position_) / sizeof(double))
      fail(std::string("the file ends within ") + what + ": " + std::to_string(count * sizeof(double)) +
           " bytes expected, " + std::to_string(content_.size() - position_) + " left");
    std::memcpy(values, content_.data() + position_, count * sizeof(double));
    position_ += count * sizeof(double);
    for (std::size_t i = 0; i < count; ++i)
      if (!std::isfinite(values[i])) fail("number " + std::to_string(i) + " of " + what + " is not finite");
  }

 private:
  std::string_view content_;
  std::size_t position_;
  int line_;
};

void read_mlip2_weights(Binary& binary, ActiveSet& set) {
  binary.skip_past('^', "the weights");
  double weights[4];
  binary.read(weights, 4, "the weights");
  binary.skip_past('#', "the matrices");
  set.neighbourhood_weight = weights[0];
  set.energy_weight = weights[1];
  set.force_weight = weights[2];
  set.stress_weight = weights[3];
}

double read_weight(Scanner& scan, const char* key) {
  scan.expect_word(key);
  return scan.real(key);
}

void read_mlip3_weights(Scanner& scan, ActiveSet& set) {
  set.energy_weight = read_weight(scan, "energy_weight");
  set.force_weight = read_weight(scan, "force_weight");
  set.stress_weight = read_weight(scan, "stress_weight");
  set.neighbourhood_weight = read_weight(scan, "site_en_weight");
  scan.expect_word("weight_scaling");
  set.scale_power = scan.integer("weight_scaling", 0, 2);
  scan.expect('#');
}

// The stored inverse must belong to the stored rows. Probed with one vector: n^2 operations, not n^3.
void check_inverse(const ActiveSet& set, std::size_t size, const Binary& binary) {
  std::vector<double> mixed(size, 0.0);
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t k = 0; k < size; ++k) mixed[k] += (i % 2 == 0 ? 1.0 : -1.0) * set.rows[i * size + k];
  for (std::size_t j = 0; j < size; ++j) {
    double sum = 0.0, scale = 1.0;
    for (std::size_t k = 0; k < size; ++k) {
      const double term = mixed[k] * set.inverse_columns[j * size + k];
      sum += term;
      scale += std::fabs(term);
    }
    if (!(std::fabs(sum - (j % 2 == 0 ? 1.0 : -1.0)) < 1e-3 * scale))
      binary.fail("the active set's inverse does not belong to its rows (column " + std::to_string(j) + ")");
  }
}

}  // namespace

double ActiveSet::energy_scale(double atoms) const {
  return energy_weight == 0.0 ? 1.0 / atoms : energy_weight / std::pow(atoms, scale_power / 2.0);
}

double ActiveSet::grade(const double* row) const {
  const std::size_t size = potential.parameter_count();
  double largest = 0.0;
  for (std::size_t j = 0; j < size; ++j) {
    const double* column = &inverse_columns[j * size];
    double sum = 0.0;
    for (std::size_t k = 0; k < size; ++k) sum += row[k] * column[k];
    // Not std::max: a sum that is not a number must not pass for a small grade.
    if (!(std::fabs(sum) <= largest)) largest = std::fabs(sum);
  }
  return largest;
}

ActiveSet parse_active_set(std::string_view content, std::size_t* consumed) {
  ActiveSet set;
  std::size_t position = 0;
  set.potential = parse_potential(content, &position);
  Binary binary(content, position);
  if (!set.potential.trained()) binary.fail("the active set's potential has no coefficients");
  Scanner scan(content);
  scan.move_to(position);
  if (scan.try_word(mlip3_mark)) {
    read_mlip3_weights(scan, set);
    binary = Binary(content, scan.position());
  } else {
    read_mlip2_weights(binary, set);
  }
  const std::size_t size = set.potential.parameter_count();
  if (size > content.size()) binary.fail("the file is too short for " + std::to_string(size) + " active rows");
  if (size * size > content.size() / sizeof(double)) binary.fail("the file is too short for its active rows");
  set.rows.resize(size * size);
  set.inverse_columns.resize(size * size);
  binary.read(set.rows.data(), size * size, "the active rows");
  binary.read(set.inverse_columns.data(), size * size, "their inverse");
  check_inverse(set, size, binary);
  if (consumed != nullptr) *consumed = binary.position();
  return set;
}

}  // namespace mtp
