// SPDX-License-Identifier: MIT
#include "evaluator.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace mtp::gpu {
namespace {

constexpr int block = 256;        // threads of kernels that take an atom a thread
constexpr int list_block = 128;
constexpr int first_stride = 96;  // neighbours in the list, and within the cutoff, that there is room for at first
constexpr int first_capacity = 32;
constexpr int totals = 7;
constexpr int counters = 3;
constexpr long most_cells = 1L << 22;

unsigned blocks_for(long count, int size) { return static_cast<unsigned>((count + size - 1) / size); }

int round_up(int count, int to) { return (count + to - 1) / to * to; }

// Numbers in the precision of the kernels, as bytes.
template <typename T>
void append(std::vector<char>& bytes, T value) {
  const char* begin = reinterpret_cast<const char*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

std::vector<char> reals(const std::vector<double>& values, bool single) {
  std::vector<char> bytes;
  for (const double value : values) single ? append(bytes, static_cast<float>(value)) : append(bytes, value);
  return bytes;
}

}  // namespace

struct DeviceEvaluator::Buffers {
  Device& device;
  Buffer<double> positions{device}, constants{device};
  Buffer<int> species{device}, order{device};
  Buffer<mtp_gpu::Point> points{device};
  Buffer<mtp_gpu::NearPoint> near_points{device}, cell_points{device};
  Buffer<int> cell_of{device}, rank_in_cell{device}, cell_counts{device}, cell_starts{device};
  Buffer<unsigned> list{device}, near{device};
  Buffer<int> lengths{device}, near_counts{device};
  Buffer<char> radial{device}, moments{device}, gradients{device};
  Buffer<mtp_gpu::Int4> starts{device}, headers{device};
  Buffer<int> linear_slots{device};
  Buffer<char> task_constants{device}, linear_weights{device}, entries{device};
  Buffer<double> energies{device}, virials{device};
  Buffer<double> output{device};  // totals, counters, forces
  Buffer<double> host_positions{device, true}, host_output{device, true}, host_atoms{device, true};
};

struct DeviceEvaluator::Kernels {
  Kernels(Device& device, const Source& source, bool atom_virials)
      : module(device.load(source.text(atom_virials, device.host()))) {
    const auto find = [&](const char* name) { return module->kernel(name); };
    pack = find("mtp_pack");
    count_cells = find("mtp_count_cells");
    place_cells = find("mtp_place_cells");
    fill_cells = find("mtp_fill_cells");
    build_list = find("mtp_build_list");
    sum = find("mtp_totals");
    if (source.fused) {
      evaluate = find("mtp_evaluate");
    } else {
      moments = find("mtp_moments");
      products = find("mtp_products");
      forces = find("mtp_forces");
    }
  }

  std::unique_ptr<Module> module;
  Kernel pack, count_cells, place_cells, fill_cells, build_list, sum;
  Kernel evaluate = nullptr, moments = nullptr, products = nullptr, forces = nullptr;
};

DeviceEvaluator::DeviceEvaluator(const Potential& potential, std::unique_ptr<Device> device, bool mixed)
    : program_(potential), device_(std::move(device)), source_(program_.view(), mixed, device_->shared_limit()),
      buffers_(new Buffers{*device_}) {
  const Program& p = program_.view();
  parameters_.cutoff = p.cutoff;
  parameters_.min_dist = p.min_dist;
  parameters_.scale = p.scale;
  parameters_.shift = p.shift;
  parameters_.stride = first_stride;
  parameters_.capacity = first_capacity;
  upload_coefficients();
  kernels(false);
}

DeviceEvaluator::~DeviceEvaluator() = default;

// ---- coefficients ---------------------------------------------------------------------------------------------------

template <typename T>
const T* DeviceEvaluator::upload(Buffer<T>& buffer, const std::vector<T>& values) {
  T* memory = buffer.ensure(std::max<std::size_t>(values.size(), 1));
  if (!values.empty()) device_->upload(memory, values.data(), values.size() * sizeof(T));
  device_->synchronise();  // the values may be gone thereafter
  return memory;
}

void DeviceEvaluator::upload_coefficients() {
  const Program& p = program_.view();
  const Tables& tables = source_.tables;
  const auto upload_reals = [&](Buffer<char>& buffer, const std::vector<double>& values) {
    return upload(buffer, reals(values, source_.mixed));
  };
  const std::vector<double> constants(p.species_coeffs, p.species_coeffs + p.species_count);
  parameters_.constants = upload(buffers_->constants, constants);
  parameters_.radial = upload_reals(buffers_->radial, source_.radial(p));
  if (source_.fused) return;
  parameters_.starts = upload(buffers_->starts, tables.starts);
  parameters_.headers = upload(buffers_->headers, tables.headers);
  parameters_.task_constants = upload_reals(buffers_->task_constants, tables.constants);
  parameters_.linear_slots = upload(buffers_->linear_slots, tables.linear_slots);
  parameters_.linear_weights = upload_reals(buffers_->linear_weights, tables.linear_weights);
  std::vector<char> entries;
  for (const std::uint64_t entry : tables.entries)
    tables.wide ? append(entries, entry) : append(entries, static_cast<std::uint32_t>(entry));
  parameters_.entries = upload(buffers_->entries, entries);
}

DeviceEvaluator::Kernels& DeviceEvaluator::kernels(bool atom_virials) {
  auto& kernels = kernels_[atom_virials ? 1 : 0];
  if (!kernels) {
    kernels = std::make_unique<Kernels>(*device_, source_, atom_virials);
    const std::vector<char> weights = reals(source_.weights, source_.mixed);
    if (source_.fused) kernels->module->set("mtp_weights", weights.data(), weights.size());
  }
  return *kernels;
}

// ---- atoms and lists ------------------------------------------------------------------------------------------------

// Sorts atoms by species, keeping their order otherwise.
std::vector<int> DeviceEvaluator::by_species(const int* atoms, int count, const SpeciesView& species) const {
  std::vector<int> begin(program_.view().species_count + 1, 0), sorted(count);
  for (int k = 0; k < count; ++k) ++begin[species[atoms[k]] + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  for (int k = 0; k < count; ++k) sorted[begin[species[atoms[k]]]++] = atoms[k];
  return sorted;
}

void DeviceEvaluator::assign_atoms(const std::vector<int>& order, int all, const SpeciesView& species) {
  if (all > 0 && (static_cast<unsigned>(all) - 1) >> source_.atom_bits != 0)
    throw DeviceError("too many atoms for one process: " + std::to_string(all));
  std::vector<int> of_atoms(all);
  for (int i = 0; i < all; ++i) of_atoms[i] = std::max(species[i], 0);  // below 0: not of this potential, in no list
  mtp_gpu::Parameters& p = parameters_;
  Buffers& b = *buffers_;
  p.rows = static_cast<int>(order.size());
  p.all = all;
  fresh_ = true;
  const std::size_t padded = round_up(p.rows, source_.tile);
  p.order = upload(b.order, order);
  p.species = upload(b.species, of_atoms);
  p.positions = b.positions.ensure(3 * static_cast<std::size_t>(all));
  p.points = b.points.ensure(all);
  p.near_points = b.near_points.ensure(all);
  p.energies = b.energies.ensure(all);
  p.lengths = b.lengths.ensure(padded);
  p.totals = b.output.ensure(totals + counters + 3 * static_cast<std::size_t>(all));
  p.filled = reinterpret_cast<int*>(p.totals + totals);
  p.forces = p.totals + totals + counters;
  b.host_positions.ensure(3 * static_cast<std::size_t>(all));
  b.host_output.ensure(totals + counters + 3 * static_cast<std::size_t>(all));
  if (source_.fused) return;
  p.moments = b.moments.ensure(padded * source_.moments * source_.real_size());
  p.gradients = b.gradients.ensure(padded * source_.moments * source_.real_size());
  p.near_counts = b.near_counts.ensure(padded);
}

void DeviceEvaluator::assign(int centres, int all, const SpeciesView& species, double reach) {
  std::vector<int> own(centres);
  std::iota(own.begin(), own.end(), 0);
  assign_atoms(by_species(own.data(), centres, species), all, species);
  parameters_.cell_of = buffers_->cell_of.ensure(all);
  parameters_.rank_in_cell = buffers_->rank_in_cell.ensure(all);
  parameters_.cell_points = buffers_->cell_points.ensure(all);
  reach_ = reach;
  own_list_ = true;
}

void DeviceEvaluator::assign(const ListsView& lists, int all, const SpeciesView& species) {
  const std::vector<int> order = by_species(lists.centres, lists.count, species);
  assign_atoms(order, all, species);
  std::vector<int> lengths(round_up(lists.count, source_.tile), 0);
  int longest = 1;
  for (int row = 0; row < lists.count; ++row) longest = std::max(longest, lengths[row] = lists.lengths[order[row]]);
  parameters_.stride = round_up(longest, 8);
  std::vector<unsigned> entries(static_cast<std::size_t>(lists.count) * parameters_.stride);
  for (int row = 0; row < lists.count; ++row) {
    const int* neighbours = lists.neighbours[order[row]];
    unsigned* out = &entries[static_cast<std::size_t>(row) * parameters_.stride];
    for (int k = 0; k < lengths[row]; ++k) {
      const unsigned j = static_cast<unsigned>(neighbours[k] & lists.mask);
      out[k] = j | static_cast<unsigned>(species[static_cast<int>(j)]) << source_.atom_bits;
    }
  }
  parameters_.list = const_cast<unsigned*>(upload(buffers_->list, entries));
  parameters_.lengths = const_cast<int*>(upload(buffers_->lengths, lengths));
  own_list_ = false;
}

void DeviceEvaluator::upload_positions(const double* positions) {
  const std::size_t count = 3 * static_cast<std::size_t>(parameters_.all);
  std::copy_n(positions, count, buffers_->host_positions.data());
  device_->upload(buffers_->positions.data(), buffers_->host_positions.data(), count * sizeof(double));
}

// Cells at least as large as the reach over all atoms. Single precision is told by its margin.
void DeviceEvaluator::fit_cells(const double* positions) {
  mtp_gpu::Parameters& p = parameters_;
  double low[3], extent[3], largest = 0.0;
  for (int a = 0; a < 3; ++a) {
    low[a] = std::numeric_limits<double>::max();
    double high = std::numeric_limits<double>::lowest();
    for (int i = 0; i < p.all; ++i) {
      low[a] = std::min(low[a], positions[3L * i + a]);
      high = std::max(high, positions[3L * i + a]);
    }
    if (!(high >= low[a])) low[a] = high = 0.0;  // no position is a number
    if (!(high - low[a] < 1e7))
      throw DeviceError("atoms are lost: coordinates reach over " + std::to_string(high - low[a]) + " A");
    p.origin[a] = 0.5 * (low[a] + high);
    p.low[a] = static_cast<float>(low[a] - p.origin[a]);
    extent[a] = high - low[a];
    largest = std::max(largest, extent[a]);
  }
  const double margin = 1e-5 + 4e-7 * (largest + reach_), near = p.cutoff + margin, far = reach_ + margin;
  p.near_squared = static_cast<float>(near * near);
  p.list_squared = static_cast<float>(far * far);
  if (!own_list_) return;
  double edge = far + margin;
  long count;
  do {
    count = 1;
    for (int a = 0; a < 3; ++a) count *= p.cells[a] = std::max(1, static_cast<int>(extent[a] / edge) + 1);
    edge *= 1.3;
  } while (count > std::min(most_cells, 64L + 8L * p.all));
  p.cell_inverse = static_cast<float>(1.3 / edge);
  p.cell_counts = buffers_->cell_counts.ensure(count);
  p.cell_starts = buffers_->cell_starts.ensure(count);
}

void DeviceEvaluator::build_list() {
  const mtp_gpu::Parameters& p = parameters_;
  const Kernels& k = kernels(false);
  const long cells = static_cast<long>(p.cells[0]) * p.cells[1] * p.cells[2];
  parameters_.list = buffers_->list.ensure(static_cast<std::size_t>(p.rows) * p.stride);
  device_->clear(p.cell_counts, cells * sizeof(int));
  device_->launch(k.count_cells, blocks_for(p.all, block), block, 0, p);
  device_->launch(k.place_cells, blocks_for(cells, block), block, (block + 1) * sizeof(int), p);
  device_->launch(k.fill_cells, blocks_for(p.all, block), block, 0, p);
  device_->launch(k.build_list, blocks_for(32L * p.rows, list_block), list_block, 0, p);
}

// ---- a step ---------------------------------------------------------------------------------------------------------

void DeviceEvaluator::run_step(Kernels& k) {
  mtp_gpu::Parameters& p = parameters_;
  const unsigned tiles = blocks_for(p.rows, source_.tile);
  if (source_.fused) {
    device_->launch(k.evaluate, tiles, source_.threads(), source_.shared_evaluate(p.capacity), p);
    return;
  }
  p.near = buffers_->near.ensure(static_cast<std::size_t>(tiles) * source_.tile * p.capacity);
  device_->launch(k.moments, tiles, source_.threads(), source_.shared_radial(), p);
  device_->launch(k.products, tiles * (source_.tile / source_.product_tile), source_.product_tile * source_.groups,
                  source_.shared_products(), p);
  device_->launch(k.forces, tiles, source_.threads(), source_.shared_forces(), p);
}

// Whether rows were longer than there was room for; there is now, and the step must be repeated.
bool DeviceEvaluator::made_room() {
  int filled[counters];
  std::memcpy(filled, buffers_->host_output.data() + totals, sizeof filled);
  const bool list_short = filled[1] > parameters_.stride, near_short = filled[2] > parameters_.capacity;
  if (list_short) parameters_.stride = round_up(filled[1] + filled[1] / 8, 8);
  if (near_short) parameters_.capacity = round_up(filled[2] + 4, 8);
  if (near_short && source_.fused && source_.shared_evaluate(parameters_.capacity) > device_->shared_limit())
    throw DeviceError("an atom has " + std::to_string(filled[2]) +
                      " neighbours within the cutoff, more than fit into shared memory");
  return list_short || near_short;
}

void DeviceEvaluator::compute(const double* positions, Results& results) {
  if (parameters_.rows == 0) return;
  mtp_gpu::Parameters& p = parameters_;
  Kernels& k = kernels(results.virials != nullptr);
  if (results.virials != nullptr) p.virials = buffers_->virials.ensure(6 * static_cast<std::size_t>(p.all));
  if (fresh_) fit_cells(positions);
  upload_positions(positions);
  const std::size_t size = totals + counters + 3 * static_cast<std::size_t>(p.all);
  bool again = false;
  do {
    device_->clear(p.totals, size * sizeof(double));
    device_->launch(k.pack, blocks_for(p.all, block), block, 0, p);
    if (fresh_ && own_list_) build_list();
    run_step(k);
    device_->launch(k.sum, std::min(blocks_for(p.all, block), 256u), block, 0, p);
    device_->download(buffers_->host_output.data(), p.totals, size * sizeof(double));
    device_->synchronise();
    again = made_room();
  } while (again);
  fresh_ = false;
  collect(results);
}

void DeviceEvaluator::collect(Results& results) {
  const mtp_gpu::Parameters& p = parameters_;
  const double* output = buffers_->host_output.data();
  results.energy += output[0];
  for (int a = 0; a < 6; ++a) results.virial[a] += output[1 + a];
  const double* forces = output + totals + counters;
  for (std::size_t k = 0; k < 3 * static_cast<std::size_t>(p.all); ++k) results.forces[k] += forces[k];
  if (results.energies == nullptr && results.virials == nullptr) return;
  double* atoms = buffers_->host_atoms.ensure(7 * static_cast<std::size_t>(p.all));
  device_->download(atoms, p.energies, p.all * sizeof(double));
  if (results.virials != nullptr) device_->download(atoms + p.all, p.virials, 6 * sizeof(double) * p.all);
  std::vector<int> order(p.rows);
  device_->download(order.data(), p.order, p.rows * sizeof(int));
  device_->synchronise();
  for (const int i : order) {
    if (results.energies != nullptr) results.energies[i] += atoms[i];
    for (int a = 0; results.virials != nullptr && a < 6; ++a) results.virials[i][a] += atoms[p.all + 6L * i + a];
  }
}

double DeviceEvaluator::time_step(int repeats) {
  std::vector<double> times;
  for (int n = 0; n < repeats; ++n)
    times.push_back(device_->time([&] {
      device_->launch(kernels(false).pack, blocks_for(parameters_.all, block), block, 0, parameters_);
      run_step(kernels(false));
    }));
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[repeats / 2];
}

}  // namespace mtp::gpu
