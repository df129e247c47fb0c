// SPDX-License-Identifier: MIT
#include "evaluator.hpp"

#include <algorithm>
#include <new>

#include "dispatch.hpp"

namespace mtp {
namespace {

std::vector<const Kernel*> kernels() {
  std::vector<const Kernel*> known = {&kernel_baseline()};
#ifdef MTP_X86_KERNELS
  if (has_avx2()) known.push_back(&kernel_avx2());
  if (has_avx512()) known.push_back(&kernel_avx512());
#endif
  return known;
}

}  // namespace

std::vector<std::string> available_kernels() {
  std::vector<std::string> names;
  for (const Kernel* k : kernels()) names.push_back(k->name);
  return names;
}

template <typename T>
T* Evaluator::Buffer<T>::ensure(std::size_t count) {
  if (count > size_) {
    const std::size_t bytes = ((count + count / 4) * sizeof(T) + 63) / 64 * 64;
    memory_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (!memory_) throw std::bad_alloc();
    size_ = bytes / sizeof(T);
  }
  return memory_.get();
}

Evaluator::Evaluator(const Potential& potential, const std::string& kernel)
    : program_(potential), kernel_(choose_kernel(kernels(), kernel)) {
  const Program& p = program_.view();
  slots_.resize(p.species_count);
  counts_.resize(static_cast<std::size_t>(kernel_->lanes) * p.species_count);
  kept_ends_.resize(p.species_count);
}

void Evaluator::prepare_batch(const Neighbourhoods& neighbourhoods, const Results& results) {
  const Program& p = program_.view();
  const std::size_t lanes = kernel_->lanes;
  // One slot more than neighbours: the last one beyond the cutoff is written too, and ignored.
  batch_.capacity = neighbourhoods.longest() + 1;
  const std::size_t slots = static_cast<std::size_t>(p.species_count) * batch_.capacity;
  batch_.slots = slots_.data();
  batch_.neighbours = neighbours_.ensure(slots * lanes);
  batch_.vectors = vectors_.ensure(3 * slots * lanes);
  batch_.workspace = workspace_.ensure(kernel_->workspace_size(p, static_cast<long>(slots)));
  double* small = small_.ensure((10 + grade_batches) * lanes);
  batch_.energy = small;
  batch_.force = small + lanes;
  batch_.virial = results.want_virial || results.virials != nullptr ? small + 4 * lanes : nullptr;
  const bool rows = results.row != nullptr || results.rows != nullptr || results.grades != nullptr;
  batch_.row = rows ? row_.ensure(grade_batches * p.row_size() * lanes) : nullptr;
}

void Evaluator::compute(const double* positions, const Neighbourhoods& neighbourhoods, Results& results) {
  compute_all(positions, neighbourhoods, Use::none, nullptr, results);
}

void Evaluator::compute(const double* positions, std::size_t atoms, const Neighbourhoods& neighbourhoods,
                        Shortlist& shortlist, Results& results) {
  const Use use = shortlist.holds(positions, atoms) ? Use::read : Use::write;
  if (use == Use::write) shortlist.begin(positions, atoms, program_.view().species_count);
  compute_all(positions, neighbourhoods, use, &shortlist, results);
}

void Evaluator::compute_all(const double* positions, const Neighbourhoods& neighbourhoods, Use use,
                            Shortlist* shortlist, Results& results) {
  prepare_batch(neighbourhoods, results);
  for (int species = 0; species < program_.view().species_count; ++species) {
    const std::size_t count = neighbourhoods.centres_of(species).size();
    batch_.species = species;
    for (std::size_t first = 0; first < count; first += kernel_->lanes) {
      const std::size_t used = std::min<std::size_t>(kernel_->lanes, count - first);
      run_batch(positions, neighbourhoods, first, static_cast<int>(used), use, shortlist, results);
    }
    if (!ungraded_.empty()) grade(results);
  }
}

void Evaluator::gather(const double* positions, const Neighbourhoods& neighbourhoods, std::size_t k, int lane, Use use,
                       Shortlist* shortlist) {
  const Program& p = program_.view();
  const int species = batch_.species, centre = neighbourhoods.centres_of(species)[k];
  int* counts = &counts_[static_cast<std::size_t>(lane) * p.species_count];
  if (use == Use::read) {
    kernel_->gather(p, positions, centre, shortlist->neighbours(species, k), shortlist->ends(species, k), lane, counts,
                    batch_);
    return;
  }
  const int *list = neighbourhoods.neighbours(species, k), *ends = neighbourhoods.ends(species, k);
  if (use == Use::none) {
    kernel_->gather(p, positions, centre, list, ends, lane, counts, batch_);
    return;
  }
  kernel_->gather_and_keep(p, positions, centre, list, ends, lane, counts, batch_, shortlist->radius_squared(),
                           shortlist->place(ends[p.species_count - 1]), kept_ends_.data());
  shortlist->note(species, kept_ends_.data());
}

void Evaluator::run_batch(const double* positions, const Neighbourhoods& neighbourhoods, std::size_t first, int used,
                          Use use, Shortlist* shortlist, Results& results) {
  const Program& p = program_.view();
  const int* centres = &neighbourhoods.centres_of(batch_.species)[first];
  std::fill(slots_.begin(), slots_.end(), 0);
  std::fill(counts_.begin(), counts_.end(), 0);
  for (int lane = 0; lane < used; ++lane) {
    gather(positions, neighbourhoods, first + lane, lane, use, shortlist);
    const int* counts = &counts_[static_cast<std::size_t>(lane) * p.species_count];
    for (int s = 0; s < p.species_count; ++s) slots_[s] = std::max(slots_[s], counts[s]);
  }
  for (int lane = 0; lane < kernel_->lanes; ++lane)
    kernel_->pad(p, centres[std::min(lane, used - 1)], lane, &counts_[static_cast<std::size_t>(lane) * p.species_count],
                 batch_);
  kernel_->evaluate(p, batch_);
  kernel_->scatter(p, batch_, results.forces);
  collect(centres, used, results);
  if (results.row != nullptr || results.rows != nullptr) collect_rows(centres, used, results);
  if (results.grades != nullptr) collect_grades(centres, used, results);
}

void Evaluator::collect(const int* centres, int used, Results& results) {
  const int lanes = kernel_->lanes;
  for (int lane = 0; lane < used; ++lane) {
    const int centre = centres[lane];
    results.energy += batch_.energy[lane];
    for (int a = 0; a < 3; ++a) results.forces[3L * centre + a] += batch_.force[a * lanes + lane];
    if (results.energies != nullptr) results.energies[centre] += batch_.energy[lane];
    if (batch_.virial == nullptr) continue;
    for (int a = 0; a < 6; ++a) {
      const double v = batch_.virial[a * lanes + lane];
      results.virial[a] += v;
      if (results.virials != nullptr) results.virials[centre][a] += v;
    }
  }
}

// A batch's rows hold what one central species depends on; here they take their place among all parameters.
void Evaluator::collect_rows(const int* centres, int used, Results& results) {
  const Program& p = program_.view();
  const int lanes = kernel_->lanes, radial = p.species_radial(), scalars = p.species_begin() + p.species_count;
  const auto add = [&](int lane, double* out) {
    const double* in = batch_.row + lane;
    double* own = out + static_cast<long>(batch_.species) * radial;
    for (int k = 0; k < radial; ++k) own[k] += in[static_cast<long>(k) * lanes];
    out[p.species_begin() + batch_.species] += 1.0;
    for (int k = 0; k < p.scalars; ++k) out[scalars + k] += in[static_cast<long>(radial + k) * lanes];
  };
  for (int lane = 0; lane < used; ++lane) {
    if (results.row != nullptr) add(lane, results.row);
    if (results.rows == nullptr) continue;
    double* row = results.rows + static_cast<long>(centres[lane]) * p.parameters();
    std::fill_n(row, p.parameters(), 0.0);
    add(lane, row);
  }
}

void Evaluator::collect_grades(const int* centres, int used, Results& results) {
  ungraded_.emplace_back(centres, used);
  // The next batch's row goes behind this one's.
  batch_.row += static_cast<long>(program_.view().row_size()) * kernel_->lanes;
  if (ungraded_.size() == grade_batches) grade(results);
}

void Evaluator::grade(Results& results) {
  double* grades = small_.data() + 10L * kernel_->lanes;
  kernel_->grade(program_.view(), batch_.species, row_.data(), results.columns, grades);
  for (const auto& [centres, used] : ungraded_) {
    for (int lane = 0; lane < used; ++lane) results.grades[centres[lane]] = grades[lane];
    grades += kernel_->lanes;
  }
  ungraded_.clear();
  batch_.row = row_.data();
}

}  // namespace mtp
