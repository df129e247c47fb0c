// SPDX-License-Identifier: MIT
#include "selection.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "periodic.hpp"
#include "scanner.hpp"
#include "training.hpp"

namespace mtp {
namespace {

// Exchanges that gain less wait for the others: a row outside the subset may gain more.
constexpr double large_gain = 2.0;

long padded(long n) { return (n + 7) / 8 * 8; }

ActiveSet identity(const Potential& potential, const Selection::Settings& settings) {
  if (!potential.trained()) throw std::invalid_argument("the potential has no coefficients yet: it must be trained first");
  if (!(settings.init_threshold > 0) || std::isinf(settings.init_threshold))
    throw std::invalid_argument("init_threshold should be positive, got " + std::to_string(settings.init_threshold));
  ActiveSet set;
  set.potential = potential;
  set.neighbourhood_weight = settings.neighbourhoods ? 1.0 : 0.0;
  set.energy_weight = settings.neighbourhoods ? 0.0 : 1.0;
  const std::size_t size = potential.parameter_count();
  set.rows.assign(size * size, 0.0);
  set.inverse_columns.assign(size * size, 0.0);
  for (std::size_t k = 0; k < size; ++k) {
    set.rows[k * size + k] = settings.init_threshold;
    set.inverse_columns[k * size + k] = 1.0 / settings.init_threshold;
  }
  return set;
}

}  // namespace

void check_weights(const ActiveSet& set) {
  if (set.force_weight != 0.0 || set.stress_weight != 0.0)
    throw std::invalid_argument("the active set was selected by forces or stresses; grades need one of energies or site "
                                "energies");
  if (set.energy_weight == 0.0 && set.neighbourhood_weight == 0.0)
    throw std::invalid_argument("the active set was selected by nothing: its weights of energies and site energies are "
                                "both 0");
}

Selection::Selection(const Potential& potential, const Settings& settings)
    : Selection(identity(potential, settings), std::vector<long>(potential.parameter_count(), nobody), settings.sums,
                settings.threads) {}

Selection::Selection(ActiveSet set, std::vector<long> owners, bool sums, int threads)
    : set_(std::move(set)), sums_(sums), size_(static_cast<long>(set_.potential.parameter_count())),
      width_(padded(size_)), matrix_(size_ * width_, 0.0), inverse_(size_ * width_, 0.0), owners_(std::move(owners)),
      kernel_(&training::kernel_named("")) {
  if (threads < 1) throw std::invalid_argument("at least one thread is needed, got " + std::to_string(threads));
  check_weights(set_);
  for (long i = 0; i < size_; ++i)
    for (long k = 0; k < size_; ++k) {
      matrix_[i * width_ + k] = set_.rows[i * size_ + k];
      inverse_[k * width_ + i] = set_.inverse_columns[i * size_ + k];
    }
  for (int thread = 0; thread < threads; ++thread) evaluators_.emplace_back(set_.potential);
}

void Selection::begin_with(const std::vector<const Structure*>& structures, double share) {
  if (!(share > 0) || std::isinf(share))
    throw std::invalid_argument("init_scale should be positive, got " + std::to_string(share));
  std::vector<double> squares(size_, 0.0), block;
  long count = 0;
  for (std::size_t first = 0; first < structures.size();) {
    const std::size_t last = block_end(structures, first, Limits{}.block);
    fill_block(structures, first, last, block);
    for (std::size_t row = 0; row < block.size() / width_; ++row, ++count)
      for (long k = 0; k < size_; ++k) squares[k] += block[row * width_ + k] * block[row * width_ + k];
    first = last;
  }
  const Potential& p = set_.potential;
  const long pairs = p.species_count * p.species_count, functions = static_cast<long>(p.radial_count()) / pairs;
  for (long k = 0; k < functions; ++k) {
    double sum = 0.0;
    for (long pair = 0; pair < pairs; ++pair) sum += squares[pair * functions + k];
    for (long pair = 0; pair < pairs; ++pair) squares[pair * functions + k] = sum / pairs;
  }
  std::fill(matrix_.begin(), matrix_.end(), 0.0);
  std::fill(owners_.begin(), owners_.end(), nobody);
  for (long k = 0; k < size_; ++k) {
    const double typical = squares[k] > 0 ? std::sqrt(squares[k] / count) : 1.0;
    matrix_[k * width_ + k] = share * typical;
  }
  invert();
}

// Rows of one structure, `width` apart.
void Selection::fill_rows(Evaluator& evaluator, const Structure& structure, double* out) const {
  const Potential& p = set_.potential;
  const PeriodicNeighbours near(structure.atoms(), structure.positions.data(), structure.types.data(), structure.cell,
                                p.max_dist, p.species_count);
  std::vector<double> forces(3 * near.total(), 0.0), rows;
  Results results;
  results.forces = forces.data();
  const long count = row_count(structure);
  if (neighbourhoods()) {
    rows.resize(count * size_);
    results.rows = rows.data();
  } else {
    results.row = out;
  }
  std::fill_n(out, count * width_, 0.0);
  evaluator.compute(near.positions(), near.neighbourhoods(), results);
  for (long i = 0; i < count && neighbourhoods(); ++i) std::copy_n(&rows[i * size_], size_, out + i * width_);
  const double scale = neighbourhoods() ? 1.0 : sums_ ? 1.0 : set_.energy_scale(structure.atoms());
  for (long k = 0; k < count * width_; ++k) {
    out[k] *= scale;
    if (!std::isfinite(out[k])) throw std::invalid_argument("the derivatives of a configuration are not finite");
  }
}

std::vector<double> Selection::rows(const Structure& structure) {
  const long count = row_count(structure);
  std::vector<double> wide(count * width_), out(count * size_);
  fill_rows(evaluators_[0], structure, wide.data());
  for (long i = 0; i < count; ++i) std::copy_n(&wide[i * width_], size_, &out[i * size_]);
  return out;
}

std::size_t Selection::block_end(const std::vector<const Structure*>& structures, std::size_t first, long most) const {
  long count = 0;
  std::size_t last = first;
  while (last < structures.size()) {
    count += row_count(*structures[last]);
    if (count > most && last > first) break;
    ++last;
  }
  return last;
}

void Selection::fill_block(const std::vector<const Structure*>& structures, std::size_t first, std::size_t last,
                           std::vector<double>& block) {
  std::vector<long> start(1, 0);
  for (std::size_t k = first; k < last; ++k) start.push_back(start.back() + row_count(*structures[k]) * width_);
  block.resize(start.back());
  std::vector<std::string> errors(evaluators_.size());
  const auto work = [&](std::size_t thread) {
    for (std::size_t k = first + thread; k < last; k += evaluators_.size()) {
      try {
        fill_rows(evaluators_[thread], *structures[k], &block[start[k - first]]);
      } catch (const std::exception& error) {
        errors[thread] = error.what();
        return;
      }
    }
  };
  std::vector<std::thread> others;
  for (std::size_t thread = 1; thread < evaluators_.size(); ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
  for (const std::string& error : errors)
    if (!error.empty()) throw std::invalid_argument(error);
}

std::vector<double> Selection::grade_block(const double* rows, long count, std::vector<double>* coefficients) const {
  std::vector<double> own, grades(count), nothing(width_, 0.0);
  constexpr long chunk = 64;  // so that the coefficients stay in a near cache where they are not kept
  if (coefficients != nullptr) coefficients->assign(count * width_, 0.0);
  for (long first = 0; first < count; first += chunk) {
    const long some = std::min(chunk, count - first);
    if (coefficients == nullptr) own.assign(some * width_, 0.0);
    double* out = coefficients != nullptr ? coefficients->data() + first * width_ : own.data();
    kernel_->multiply(some, width_, size_, rows + first * width_, width_, 1, inverse_.data(), width_, out, width_);
    for (long i = 0; i < some; ++i)
      grades[first + i] = kernel_->update_row(0.0, nothing.data(), width_, out + i * width_);
  }
  return grades;
}

std::vector<double> Selection::grades(const std::vector<const Structure*>& structures, long most) {
  std::vector<double> all, block;
  for (std::size_t first = 0; first < structures.size();) {
    const std::size_t last = block_end(structures, first, most);
    fill_block(structures, first, last, block);
    const std::vector<double> some = grade_block(block.data(), static_cast<long>(block.size()) / width_, nullptr);
    all.insert(all.end(), some.begin(), some.end());
    first = last;
  }
  return all;
}

// The rows that may be exchanged are made anew for each look at them: only those that left the matrix are kept.
struct Selection::Candidates {
  const std::vector<const Structure*>& structures;
  std::vector<long> owners;                  // of each row
  std::map<long, std::vector<double>> kept;  // by number of the row
  std::vector<double> block;                 // the latest one, which is all of them where there is only one
};

// The rows of the largest grades, largest first.
struct Selection::Top {
  std::vector<long> numbers;
  std::vector<double> rows, grades;
};

Selection::Top Selection::most_extrapolating(Candidates& candidates, const Limits& limits) {
  Top top;
  long start = 0;
  for (std::size_t first = 0; first < candidates.structures.size();) {
    const std::size_t last = block_end(candidates.structures, first, limits.block);
    const bool whole = first == 0 && last == candidates.structures.size();
    if (!whole || candidates.block.empty()) fill_block(candidates.structures, first, last, candidates.block);
    const long count = static_cast<long>(candidates.block.size()) / width_;
    for (auto it = candidates.kept.lower_bound(start); it != candidates.kept.end() && it->first < start + count; ++it)
      std::copy(it->second.begin(), it->second.end(), &candidates.block[(it->first - start) * width_]);
    std::vector<double> grades = grade_block(candidates.block.data(), count, nullptr);
    // Those of before and those of this block; of equal grades the earlier row comes first.
    const long before = static_cast<long>(top.numbers.size());
    grades.insert(grades.begin(), top.grades.begin(), top.grades.end());
    std::vector<long> order(grades.size());
    std::iota(order.begin(), order.end(), 0L);
    std::stable_sort(order.begin(), order.end(), [&](long a, long b) { return grades[a] > grades[b]; });
    order.resize(std::min<std::size_t>(order.size(), limits.subset));
    Top next;
    next.rows.resize(order.size() * width_);
    for (std::size_t k = 0; k < order.size(); ++k) {
      const long row = order[k] - before;
      const double* from = row < 0 ? &top.rows[order[k] * width_] : &candidates.block[row * width_];
      std::copy_n(from, width_, &next.rows[k * width_]);
      next.numbers.push_back(row < 0 ? top.numbers[order[k]] : start + row);
      next.grades.push_back(grades[order[k]]);
    }
    top = std::move(next);
    start += count;
    first = last;
  }
  return top;
}

long Selection::extend(const std::vector<const Structure*>& structures, long first, const Limits& limits) {
  if (!(limits.select_threshold > 1)) throw std::invalid_argument("select_threshold should be above 1");
  if (!(limits.swap_threshold > 1)) throw std::invalid_argument("swap_threshold should be above 1");
  Candidates candidates{structures, {}, {}, {}};
  for (std::size_t k = 0; k < structures.size(); ++k)
    candidates.owners.insert(candidates.owners.end(), row_count(*structures[k]), first + static_cast<long>(k));
  const long most = limits.swaps < 0 ? std::numeric_limits<long>::max() : limits.swaps;
  double threshold = std::max(limits.select_threshold, limits.swap_threshold);
  double gain = static_cast<long>(candidates.owners.size()) > limits.subset ? large_gain : 0.0;
  long count = 0;
  double volume = log_volume_;
  while (!structures.empty() && count < most) {
    Top top = most_extrapolating(candidates, limits);
    if (top.grades.empty() || !(top.grades[0] > threshold)) break;
    threshold = limits.swap_threshold;
    if (!(top.grades[0] > gain)) gain = 0.0;
    std::vector<double> coefficients;
    const long rows = static_cast<long>(top.numbers.size());
    grade_block(top.rows.data(), rows, &coefficients);
    const auto swaps = training::exchange(coefficients.data(), rows, width_, std::max(threshold, gain), most - count);
    if (swaps.empty() && gain == 0.0) break;  // by rounding
    if (swaps.empty()) gain = 0.0;
    for (const auto& [in, out] : swaps) {
      double* row = &top.rows[in * width_];
      std::swap_ranges(row, row + width_, &matrix_[out * width_]);
      const long number = top.numbers[in];
      candidates.kept[number].assign(row, row + width_);
      std::swap(owners_[out], candidates.owners[number]);
    }
    invert();
    count += static_cast<long>(swaps.size());
    // Every swap widens the volume. Where derivatives depend on each other, as those by the scales of radial functions
    // and of moments do, rounding alone makes grades above the threshold, and would do so for ever.
    if (!(log_volume_ > volume)) break;
    volume = log_volume_;
  }
  return count;
}

// Gauss-Jordan elimination with pivots from the whole column; the active set's own matrices follow.
void Selection::invert() {
  std::vector<long> pivots(size_);
  inverse_ = matrix_;
  log_volume_ = 0.0;
  for (long k = 0; k < size_; ++k) {
    long pivot = k;
    for (long i = k + 1; i < size_; ++i)
      if (std::fabs(inverse_[i * width_ + k]) > std::fabs(inverse_[pivot * width_ + k])) pivot = i;
    pivots[k] = pivot;
    if (pivot != k)
      std::swap_ranges(&inverse_[k * width_], &inverse_[k * width_] + width_, &inverse_[pivot * width_]);
    double* own = &inverse_[k * width_];
    const double value = own[k];
    if (value == 0.0) throw std::invalid_argument("the rows of the active set are linearly dependent");
    log_volume_ += std::log(std::fabs(value));
    own[k] = 1.0;
    for (long j = 0; j < size_; ++j) own[j] /= value;
    for (long i = 0; i < size_; ++i) {
      double* other = &inverse_[i * width_];
      if (i == k || other[k] == 0.0) continue;
      const double factor = other[k];
      other[k] = 0.0;
      kernel_->update_row(factor, own, width_, other);
    }
  }
  for (long k = size_ - 1; k >= 0; --k)
    if (pivots[k] != k)
      for (long i = 0; i < size_; ++i) std::swap(inverse_[i * width_ + k], inverse_[i * width_ + pivots[k]]);
  for (long i = 0; i < size_; ++i)
    for (long k = 0; k < size_; ++k) {
      set_.rows[i * size_ + k] = matrix_[i * width_ + k];
      set_.inverse_columns[i * size_ + k] = inverse_[k * width_ + i];
    }
}

std::string format_selection(const Selection& selection, const std::map<long, const Structure*>& structures) {
  const ActiveSet& set = selection.active_set();
  std::string out = format_potential(set.potential) + "\n^";
  const double weights[] = {set.neighbourhood_weight, set.energy_weight, set.force_weight, set.stress_weight};
  const auto append = [&](const double* values, std::size_t count) {
    out.append(reinterpret_cast<const char*>(values), count * sizeof(double));
  };
  append(weights, 4);
  out += "\n#";
  append(set.rows.data(), set.rows.size());
  append(set.inverse_columns.data(), set.inverse_columns.size());
  out += '\n';
  std::map<long, std::size_t> places;  // of a structure among those that follow; nobody's is an empty one
  std::vector<long> order;
  for (std::size_t k = 0; k < selection.owners().size(); ++k) {
    const long owner = selection.owners()[k];
    const auto [found, added] = places.try_emplace(owner, order.size());
    if (added) order.push_back(owner);
    out += std::to_string(k) + " " + std::to_string(found->second) + "\n";
  }
  for (long owner : order) append_text(out, owner == Selection::nobody ? Structure{} : *structures.at(owner));
  return out;
}

StoredSelection parse_selection(std::string_view content) {
  StoredSelection stored;
  std::size_t position = 0;
  stored.set = parse_active_set(content, &position);
  const auto line_at = [&](std::size_t where) {
    return 1 + static_cast<int>(std::count(content.begin(), content.begin() + where, '\n'));
  };
  const std::size_t size = stored.set.potential.parameter_count();
  std::vector<long> places;
  Scanner scan(content.substr(position));
  const int first = line_at(position);
  for (std::size_t row = 0; row < size; ++row) {
    try {
      if (scan.integer("the number of a row", 0, std::numeric_limits<int>::max()) != static_cast<int>(row))
        scan.fail("it is another row's");
      places.push_back(scan.integer("the number of a configuration", 0, static_cast<long>(size) - 1));
    } catch (const FormatError&) {
      throw FormatError(first, "row " + std::to_string(row) + " of the table of rows and configurations is missing or "
                               "wrong");
    }
  }
  const std::size_t begin = position + scan.position();
  StructureReader reader(content.substr(begin), stored.set.potential.species_count, true, line_at(begin));
  for (Structure structure; reader.next(structure);) stored.structures.push_back(std::move(structure));
  for (std::size_t row = 0; row < size; ++row) {
    if (places[row] >= static_cast<long>(stored.structures.size()))
      throw FormatError(first, "row " + std::to_string(row) + " of the table of rows and configurations is missing or "
                               "wrong");
    stored.owners.push_back(stored.structures[places[row]].atoms() == 0 ? Selection::nobody : places[row]);
  }
  return stored;
}

}  // namespace mtp
