// SPDX-License-Identifier: MIT
#include "source.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "schedule.hpp"
#include "texts.hpp"

namespace mtp::gpu {
namespace {

// Measured with the prototype on an H200: above these, one kernel for all leaves too little shared memory for blocks
// beside it, and code that is too long for the caches of instructions is slower than tables.
constexpr std::size_t fused_bytes = 80 * 1024;
constexpr int fused_terms = 4000;
constexpr std::size_t constant_bytes = 60 * 1024;
constexpr std::size_t radial_bytes = 16 * 1024;  // more coefficients than that stay in global memory
constexpr int product_threads = 1024;
constexpr int fence = 16;  // tasks between fences

std::string text(int value) { return std::to_string(value); }

int square(int n) { return n * n; }

int rank_of(const Program& p, int function) {
  int rank = 0;
  while (square(rank + 1) < p.function_monomials[function]) ++rank;
  return rank;
}

// ---- moments and their derivatives ---------------------------------------------------------------------------------

// Monomials m0 = 1, m1 ... of one rank from those of the rank below; see Program for their order.
std::string monomials(int rank) {
  if (rank == 0) return "";
  const auto product = [&](int to, int from, const char* by) {
    const int below = square(rank - 1) + from;
    return "const R m" + text(square(rank) + to) + " = " + (below > 0 ? "m" + text(below) + " * " : "") + by + ";\n";
  };
  std::string out;
  for (int i = 0; i < rank; ++i) out += product(i, i, "x") + product(rank + 1 + i, i, "z");
  return out + product(rank, rank - 1, "y");
}

std::string chunk(const Program& p, int first, int last, int index) {
  const int offset = p.function_offset[first];
  int rank = 0, count = 0;
  for (int mu = first; mu < last; ++mu) {
    rank = std::max(rank, rank_of(p, mu));
    count += p.function_monomials[mu];
  }
  std::string out = "struct Chunk" + text(index) + " {\nenum { first = " + text(first) + ", last = " + text(last) +
                    ", offset = " + text(offset) + ", count = " + text(count) +
                    " };\nDEVICE void add(R x, R y, R z, const R* f, R* a) {\n";
  for (int n = 0; n <= rank; ++n) {
    out += monomials(n);
    for (int k = square(n); k < square(n + 1); ++k)
      for (int mu = first; mu < last; ++mu)
        if (k < p.function_monomials[mu])
          out += "a[" + text(p.function_offset[mu] - offset + k) + "] += f[" + text(mu - first) + "]" +
                 (k > 0 ? " * m" + text(k) : "") + ";\n";
  }
  return out + "}\n};\n";
}

// The polynomial sum of g x^i y^j over i + j <= degree and its slopes by x and y, by Horner's rule: into q, qx, qy.
std::string horner(int degree, int z, int offset) {
  const auto g = [&](int i, int j) {
    const int n = i + j + z;
    return "g[" + text(offset + square(n) + (z == 0 ? j : n + 1 + j)) + " * TILE]";
  };
  std::string out;
  for (int r = 0; r <= degree; ++r) {
    const int i = degree - r;
    out += "h = " + g(i, r) + ";\n";
    for (int s = 1; s <= r; ++s)
      out += (s == 1 ? "hy = h;\n" : "hy = hy * y + h;\n") + ("h = h * y + " + g(i, r - s)) + ";\n";
    if (r == 0) out += "q = h;\n";
    if (r == 1) out += "qx = q;\nqy = hy;\n";
    if (r > 1) out += "qx = qx * x + q;\nqy = qy * x + hy;\n";
    if (r > 0) out += "q = q * x + h;\n";
  }
  if (degree == 0) out += "qx = qy = 0;\n";
  return out;
}

std::string differentiate_function(const Program& p, int mu) {
  const int rank = rank_of(p, mu), offset = p.function_offset[mu];
  const std::string f = "f[" + text(mu) + "]", s = "s[" + text(mu) + "]";
  std::string out = horner(rank, 0, offset);
  if (rank == 0) return out + "slope += " + s + " * q;\n";
  out += "v = q;\nvx = qx;\nvy = qy;\n" + horner(rank - 1, 1, offset);
  return out + "slope += " + s + " * (v + z * q);\ndx += " + f + " * (vx + z * qx);\ndy += " + f +
         " * (vy + z * qy);\ndz += " + f + " * q;\n";
}

// ---- products as code -----------------------------------------------------------------------------------------------

std::string at(int slot) { return "X[" + text(slot) + " * TILE]"; }

// Statements that add products to s, those of equal weight together.
std::string add_products(const std::vector<Product>& products) {
  std::map<double, std::vector<std::string>> by_weight;
  for (const Product& t : products) by_weight[t.weight].push_back(t.b < 0 ? at(t.a) : at(t.a) + " * " + at(t.b));
  std::string out;
  for (const auto& [weight, terms] : by_weight) {
    if (weight == 1.0 || weight == -1.0) {
      for (const std::string& term : terms) out += (weight > 0 ? "s += " : "s -= ") + term + ";\n";
      continue;
    }
    out += "t = " + terms[0] + ";\n";
    for (std::size_t k = 1; k < terms.size(); ++k) out += "t += " + terms[k] + ";\n";
    out += "s += R(" + std::to_string(static_cast<long>(weight)) + ") * t;\n";
  }
  return out;
}

std::string task_code(const Task& task, std::vector<double>& weights) {
  const auto weight = [&](double value) {
    weights.push_back(value);
    return "mtp_weights[" + std::to_string(weights.size() - 1) + "]";
  };
  std::string out = "s = " + (task.add ? at(task.slot) : "0") + ";\n";
  for (const Linear& l : task.linears) out += "s += " + weight(l.weight) + " * " + at(l.a) + ";\n";
  if (task.value >= 0 && (task.constant != 0.0 || !task.linears.empty()))
    out += "c = " + weight(task.constant) + ";\ne += " + at(task.value) + " * (R(0.5) * s + c);\ns += c;\n";
  return out + add_products(task.products) + at(task.slot) + " = s;\n";
}

std::string products_code(const Schedule& schedule, int groups, std::vector<double>& weights) {
  std::string out;
  for (const auto& stage : schedule.stages) {
    out += "switch (group) {\n";
    const auto shares = share_in_order(stage, groups);
    for (int g = 0; g < groups; ++g) {
      out += "case " + text(g) + ": {\n";
      int count = 0;
      for (const Task* task : shares[g]) {
        out += task_code(*task, weights);
        if (++count % fence == 0) out += "FENCE\n";
      }
      out += "} break;\n";
    }
    out += "}\n__syncthreads();\n";
  }
  return "DEVICE R products(R* X, int group) {\nR e = 0, s, t, c;\n" + out + "return e;\n}\n";
}

// ---- products as tables ---------------------------------------------------------------------------------------------

constexpr int narrow_bits = 11, wide_bits = 16;
constexpr std::int64_t narrow_bias = 16, wide_bias = std::int64_t{1} << 31;

bool fits_narrow(const Schedule& schedule) {
  bool fits = schedule.slots <= 1 << narrow_bits;
  for (const auto& stage : schedule.stages)
    for (const Task& task : stage)
      for (const Product& t : task.products)
        fits = fits && t.weight >= -narrow_bias && t.weight + narrow_bias < 1 << (32 - 2 * narrow_bits);
  return fits;
}

Tables make_tables(const Schedule& schedule, int groups) {
  Tables tables;
  tables.wide = !fits_narrow(schedule);
  const int bits = tables.wide ? wide_bits : narrow_bits;
  const std::int64_t bias = tables.wide ? wide_bias : narrow_bias;
  const auto entry = [&](int a, int b, double weight) {
    return static_cast<std::uint64_t>(a) | static_cast<std::uint64_t>(b) << bits |
           static_cast<std::uint64_t>(static_cast<std::int64_t>(weight) + bias) << 2 * bits;
  };
  const auto mark = [&] {
    tables.starts.push_back({static_cast<int>(tables.headers.size()), static_cast<int>(tables.linear_slots.size()),
                             static_cast<int>(tables.entries.size()), 0});
  };
  for (const auto& stage : schedule.stages)
    for (const auto& share : share_balanced(stage, groups)) {
      mark();
      for (const Task* task : share) {
        const std::size_t first = tables.entries.size();
        for (const Product& t : task->products)
          tables.entries.push_back(entry(t.a, t.b < 0 ? schedule.one() : t.b, t.weight));
        if (tables.entries.size() % 2 != 0) tables.entries.push_back(entry(schedule.one(), schedule.one(), 0.0));
        tables.headers.push_back({task->add ? -task->slot - 1 : task->slot, static_cast<int>(task->linears.size()),
                                  static_cast<int>(tables.entries.size() - first), task->value});
        tables.constants.push_back(task->constant);
        for (const Linear& l : task->linears) {
          tables.linear_slots.push_back(l.a);
          tables.linear_weights.push_back(l.weight);
        }
      }
    }
  mark();
  return tables;
}

int terms_of(const Schedule& schedule) {
  std::size_t count = 0;
  for (const auto& stage : schedule.stages)
    for (const Task& task : stage) count += task.linears.size() + task.products.size();
  return static_cast<int>(count);
}

int bits_for(int count) {
  int bits = 1;
  while (1 << bits < count) ++bits;
  return bits;
}

}  // namespace

Source::Source(const Program& p, bool mixed_precision, std::size_t shared_limit)
    : mixed(mixed_precision), moments(p.independent), tile(32) {
  const Schedule schedule = make_schedule(p);
  const int packet = static_cast<int>(16 / real_size());
  slots_ = schedule.slots;
  atom_bits = 32 - bits_for(p.species_count);
  radial_width_ = (p.basis_size + packet - 1) / packet * packet;
  radial_row_ = p.funcs * radial_width_ + packet;
  radial_shared_ = square(p.species_count) * radial_row_;
  if (shared_radial() > radial_bytes) radial_shared_ = 0;

  product_tile = tile;
  groups = lanes;
  const int terms = terms_of(schedule);
  fused = terms <= fused_terms && terms * real_size() <= constant_bytes && shared_products() <= fused_bytes &&
          shared_evaluate(128) <= shared_limit;
  if (!fused) {
    product_tile = static_cast<int>(64 / real_size());
    while (product_tile > 1 && shared_products() > shared_limit) product_tile /= 2;
    groups = product_threads / product_tile;
    if (shared_products() > shared_limit || shared_forces() > shared_limit || slots_ > 1 << wide_bits)
      throw std::invalid_argument("the potential needs " +
                                  std::to_string(std::max(shared_products(), shared_forces())) +
                                  " bytes of shared memory, of which this card has " + std::to_string(shared_limit));
    tables = make_tables(schedule, groups);
  }

  generated_ = std::string("typedef ") + (mixed ? "float" : "double") + " R;\n";
  define("SPECIES", p.species_count);
  define("FUNCTIONS", p.funcs);
  define("REPULSIVE", p.repulsive ? 1 : 0);
  define("MOMENTS", moments);
  define("LANES", lanes);
  define("TILE", tile);
  define("ATOM_BITS", atom_bits);
  define("RADIAL_WIDTH", radial_width_);
  define("RADIAL_ROW", radial_row_);
  define("RADIAL_SHARED", radial_shared_);
  define("SLOTS", slots_);
  define("GRADIENTS", schedule.gradients());
  define("ONE", schedule.one());
  define("TABLES", fused ? 0 : 1);
  add_chunks(p);
  add_differentiate(p);
  if (fused) {
    const std::string code = products_code(schedule, groups, weights);
    // Registers of the sums, and about as many as everything else takes.
    const int registers = moments * static_cast<int>(real_size() / 4) + 52;
    define("MIN_BLOCKS", std::clamp(65536 / threads() / registers, 1, 8));
    generated_ += "extern \"C\" { __constant__ R mtp_weights[" + std::to_string(weights.size()) + "]; }\n" + code;
  } else {
    define("STAGES", static_cast<long>(schedule.stages.size()));
    define("GROUPS", groups);
    define("PRODUCT_TILE", product_tile);
    define("PADDED_ROWS", "(long(p.rows + TILE - 1) / TILE * TILE)");
    define("SLOT_BITS", tables.wide ? wide_bits : narrow_bits);
    define("WEIGHT_BIAS", std::to_string(tables.wide ? wide_bias : narrow_bias) + ".0");
    generated_ += std::string("typedef unsigned ") + (tables.wide ? "long long" : "int") + " Entry;\n";
  }
}

void Source::define(const char* name, const std::string& value) {
  generated_ += std::string("#define ") + name + " " + value + "\n";
}

// As many radial functions together as have their moments in registers.
void Source::add_chunks(const Program& p) {
  const int most = static_cast<int>(720 / real_size());
  std::string names;
  for (int first = 0, index = 0; first < p.funcs; ++index) {
    int last = first, count = 0;
    while (last < p.funcs && (last == first || count + p.function_monomials[last] <= most))
      count += p.function_monomials[last++];
    generated_ += chunk(p, first, last, index);
    names += " CHUNK(Chunk" + std::to_string(index) + ")";
    first = last;
  }
  define("CHUNKS", names);
}

void Source::add_differentiate(const Program& p) {
  generated_ += "DEVICE void differentiate(const R* g, R x, R y, R z, const R* f, const R* s, R& dx, R& dy, R& dz, "
                "R& slope) {\nR h, hy, q, qx, qy, v, vx, vy;\n";
  for (int mu = 0; mu < p.funcs; ++mu) generated_ += differentiate_function(p, mu);
  generated_ += "}\n";
}

std::string Source::text(bool atom_virials, bool host) const {
  return std::string(parameters_h) + (host ? emulation_h : cuda_h) + "#define ATOM_VIRIALS " +
         (atom_virials ? "1\n" : "0\n") + generated_ + kernels_cuh;
}

std::vector<double> Source::radial(const Program& p) const {
  std::vector<double> out(static_cast<std::size_t>(square(p.species_count)) * radial_row_, 0.0);
  for (int pair = 0; pair < square(p.species_count); ++pair)
    for (int mu = 0; mu < p.funcs; ++mu)
      std::copy_n(p.radial_cheb + (static_cast<long>(pair) * p.funcs + mu) * p.basis_size, p.basis_size,
                  out.begin() + static_cast<long>(pair) * radial_row_ + mu * radial_width_);
  return out;
}

std::size_t Source::shared_evaluate(int capacity) const {
  return shared_products() + shared_radial() + static_cast<std::size_t>(tile) * capacity * sizeof(unsigned);
}

std::size_t Source::shared_forces() const {
  return shared_radial() + static_cast<std::size_t>(moments) * tile * real_size();
}

}  // namespace mtp::gpu
