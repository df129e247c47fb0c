// Fuzzing of the readers of `.mtp`, `.als` and `.cfg`. Whatever potential is accepted is also compiled and evaluated,
// whatever configurations are accepted are written and read again.
//
// With clang: clang++ -g -O1 -std=c++17 -fsanitize=fuzzer,address,undefined -DMTP_LIBFUZZER -I SRC fuzz_readers.cpp
//             SRC/{potential,active_set,configurations,selection,training,training_baseline,program,neighbourhoods,
//             periodic,evaluator,shortlist,kernel_baseline}.cpp
//             and then: ./a.out CORPUS_FOLDER
// With any compiler the built-in mutator does: g++ -g -O1 -std=c++17 -fsanitize=address,undefined ... (as above)
//             and then: ./a.out NUMBER_OF_INPUTS SEED FILE ...     (test_fuzz.py does this)
//
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "active_set.hpp"
#include "configurations.hpp"
#include "evaluator.hpp"
#include "periodic.hpp"
#include "selection.hpp"

namespace {

// Three atoms in reach of each other.
void evaluate(const mtp::Potential& potential) {
  if (!potential.trained() || potential.max_dist > 50 || potential.parameter_count() > 2000) return;
  const int last = potential.species_count - 1;
  const int species[3] = {0, last, last / 2};
  const double d = potential.max_dist;
  const double positions[9] = {0, 0, 0, 0.4 * d, 0.1 * d, 0, 0, 0.3 * d, 0.5 * d};
  const mtp::Cell cell = {{{4 * d, 0, 0}, {0, 4 * d, 0}, {0, 0, 0.9 * d}}, {false, false, true}};
  const mtp::PeriodicNeighbours near(3, positions, species, cell, potential.max_dist, potential.species_count);
  std::vector<double> forces(3 * near.total()), rows(3 * potential.parameter_count());
  mtp::Results results;
  results.forces = forces.data();
  results.rows = rows.data();
  mtp::Evaluator(potential, "baseline").compute(near.positions(), near.neighbourhoods(), results);
}

std::string written(std::string_view text) {
  mtp::StructureReader reader(text, 3, true);
  std::string out;
  for (mtp::Structure structure; reader.next(structure);) {
    // Vectors that span a volume only in name have no inverse.
    try {
      if (structure.atoms() < 20) structure.shortest_distance();
    } catch (const std::invalid_argument&) {
    }
    mtp::append_text(out, structure);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const mtp::Potential potential = mtp::parse_potential(text);
    if (mtp::format_potential(mtp::parse_potential(mtp::format_potential(potential))) !=
        mtp::format_potential(potential))
      std::abort();
    evaluate(potential);
  } catch (const mtp::FormatError&) {
  } catch (const std::invalid_argument&) {
  }
  try {
    const mtp::ActiveSet set = mtp::parse_active_set(text);
    set.grade(set.rows.data());
    mtp::parse_selection(text);
  } catch (const mtp::FormatError&) {
  }
  try {
    const std::string once = written(text);
    if (written(once) != once) std::abort();
  } catch (const mtp::FormatError&) {
  }
  return 0;
}

#ifndef MTP_LIBFUZZER
namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) { return limit == 0 ? 0 : random() % limit; }

// A few changes of the kinds that break parsers: bytes, numbers, pieces cut out, doubled or taken from elsewhere.
std::string mutated(std::string text, const std::vector<std::string>& seeds, Random& random) {
  static const char* const tokens[] = {"-1", "0", "999999999", "1e308", "nan", "inf", "{", "}", ",", "=", "\n", "-",
                                       "18446744073709551616", "1e-320", "BEGIN_CFG\n", "END_CFG\n", " Feature  nbh_grades\t1 2", "Size\n", "p", "n", "radial_coeffs", "moment_coeffs = ", "\n^", "\n#"};
  for (std::size_t changes = 1 + below(random, 4); changes > 0; --changes) {
    const std::size_t at = below(random, text.size() + 1), length = below(random, 40);
    switch (below(random, 6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1: text.insert(at, tokens[below(random, std::size(tokens))]); break;
      case 2: text.erase(at, length); break;
      case 3: text.insert(at, text.substr(at, length)); break;
      case 4: text.resize(at); break;
      default: {
        const std::string& other = seeds[below(random, seeds.size())];
        text.replace(at, length, other, below(random, other.size()), length);
      }
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return std::fprintf(stderr, "usage: %s NUMBER_OF_INPUTS SEED FILE ...\n", argv[0]), 2;
  std::vector<std::string> seeds;
  for (int i = 3; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  Random random(std::strtoull(argv[2], nullptr, 10));
  const long count = std::atol(argv[1]);
  for (long n = 0; n < count; ++n) {
    const std::string input = mutated(seeds[below(random, seeds.size())], seeds, random);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
  std::printf("%ld inputs, nothing found\n", count);
}
#endif
