// Maximal volume selection of configurations: the square matrix of rows with the largest determinant that exchanges of
// one row can reach, begun with a small multiple of the identity.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "active_set.hpp"
#include "configurations.hpp"
#include "evaluator.hpp"
#include "training_kernel.hpp"

namespace mtp {

class Selection {
 public:
  static constexpr long nobody = -1;

  struct Settings {
    bool neighbourhoods = false;    // a row for each atom instead of one for the configuration
    bool sums = false;              // a configuration's row is the sum over its atoms, not the mean
    double init_threshold = 1e-5;   // of the identity
    int threads = 1;
  };
  // Where exchanges end and how many rows are looked at.
  struct Limits {
    double select_threshold = 1.1, swap_threshold = 1.0000001;
    long swaps = -1;                // no limit
    long subset = 2500;             // rows among which exchanges are made between two looks at all rows
    long block = 4096;              // rows held at a time, where a configuration has not more of them
  };

  Selection(const Potential& potential, const Settings& settings);
  // Goes on with an active set. `owners`: number of the structure of each row, or `nobody`.
  Selection(ActiveSet set, std::vector<long> owners, bool sums, int threads);

  // Begins anew with a diagonal: `share` of the root mean square of each coefficient's entries in the rows of structures.
  // Of radial coefficients that is taken over all pairs of species: what a pair that never met may come to.
  void begin_with(const std::vector<const Structure*>& structures, double share);

  const Potential& potential() const { return set_.potential; }
  const ActiveSet& active_set() const { return set_; }
  bool neighbourhoods() const { return set_.by_neighbourhoods(); }
  // The structure of each row: the number that `extend` gave it, or `nobody` where nothing was selected.
  const std::vector<long>& owners() const { return owners_; }

  long row_count(const Structure& structure) const { return neighbourhoods() ? structure.atoms() : 1; }
  // [row_count][parameters]
  std::vector<double> rows(const Structure& structure);
  // The grades of all structures' rows, one after the other.
  std::vector<double> grades(const std::vector<const Structure*>& structures, long block = 4096);
  // Exchanges rows for those of further structures, numbered from `first`, and returns how often.
  long extend(const std::vector<const Structure*>& structures, long first, const Limits& limits);

 private:
  struct Candidates;
  struct Top;

  void fill_rows(Evaluator& evaluator, const Structure& structure, double* out) const;
  void fill_block(const std::vector<const Structure*>& structures, std::size_t first, std::size_t last,
                  std::vector<double>& block);
  std::size_t block_end(const std::vector<const Structure*>& structures, std::size_t first, long most) const;
  // [count] the largest coefficient of each of the padded rows, and where wanted all of them.
  std::vector<double> grade_block(const double* rows, long count, std::vector<double>* coefficients) const;
  Top most_extrapolating(Candidates& candidates, const Limits& limits);
  void invert();

  ActiveSet set_;
  bool sums_;
  long size_, width_;  // parameters, also padded to the lanes of a vector
  std::vector<double> matrix_, inverse_;  // [size][width]
  double log_volume_ = -std::numeric_limits<double>::infinity();  // of the matrix, at its last inversion
  std::vector<long> owners_;
  std::vector<Evaluator> evaluators_;  // one for each thread
  const training::Kernel* kernel_;
};

// The bytes of a `.als` file; structures by their numbers.
std::string format_selection(const Selection& selection, const std::map<long, const Structure*>& structures);

// An active set and the structures of its rows. Throws FormatError.
struct StoredSelection {
  ActiveSet set;
  std::vector<Structure> structures;
  std::vector<long> owners;  // [parameters]
};
StoredSelection parse_selection(std::string_view content);

// Refuses a set by whose weights neither configurations nor neighbourhoods are graded. Throws std::invalid_argument.
void check_weights(const ActiveSet& set);

}  // namespace mtp
