// MLIP's configuration files (`.cfg`): the text format and the binary one of `mlp convert-cfg`.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "periodic.hpp"

namespace mtp {

// A line `Feature KEY VALUE`; of a key that comes again the values are lines of one text.
struct Feature {
  std::string key, value;
  std::size_t begin = 0, end = 0;  // of the line in the text that was read
};

// What a file says about one configuration. Vectors of things that it does not say are empty.
struct Structure {
  Cell cell{};                     // directions without lattice vector are not periodic
  std::vector<int> types;          // from 0
  std::vector<double> positions;   // [atoms][3]
  std::vector<double> forces;      // [atoms][3]
  std::vector<double> site_energies, charges, neighbourhood_grades;
  std::vector<double> energy;      // one or none
  std::vector<double> virial;      // PlusStress: xx yy zz yz xz xy in eV, the sum of r f
  std::vector<Feature> features;
  std::size_t end = 0;             // where END_CFG stands in the text that was read

  int atoms() const { return static_cast<int>(types.size()); }
  bool periodic() const { return cell.periodic[0] && cell.periodic[1] && cell.periodic[2]; }
  double volume() const;
  // Between two atoms, images included; infinite for a lone atom.
  double shortest_distance() const;
  // Replaces the feature of that key.
  void set_feature(const std::string& key, std::string value);
  const std::string* feature(std::string_view key) const;
};

// For a reader that does not ask what the atoms are.
constexpr int any_species = 1 << 30;

class StructureReader {
 public:
  // Types must be below `species`, and may only be left out where there is one or any. `empty` accepts configurations
  // without atoms. `text` must outlive the reader.
  StructureReader(std::string_view text, int species, bool empty = false, int line = 1);

  // Reads the next configuration; false at the end. Throws FormatError.
  bool next(Structure& structure);
  bool binary() const { return binary_; }

 private:
  class Block;
  bool next_binary(Structure& structure);
  [[noreturn]] void fail(const std::string& reason) const;
  bool line(std::string_view& out);
  std::string_view need(const std::string& what);
  void finish(Structure& structure) const;

  std::string_view text_;
  std::size_t position_ = 0, line_begin_ = 0;
  int species_, line_;
  bool empty_, binary_, pending_ = false;
  std::string_view current_;
};

// The text of a configuration, appended; every number is read back to the last bit. Throws std::invalid_argument for
// numbers that are not finite.
void append_text(std::string& out, const Structure& structure);

// A file's content, mapped into memory where it can be. Throws std::runtime_error.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  std::string_view text() const { return data_ != nullptr ? std::string_view{data_, size_} : content_; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::string content_;  // of what cannot be mapped, such as a pipe
};

}  // namespace mtp
