// SPDX-License-Identifier: MIT
#include "configurations.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "potential.hpp"

namespace mtp {
namespace {

constexpr const char* stress_order[] = {"xx", "yy", "zz", "yz", "xz", "xy"};
constexpr std::pair<char, char> escapes[] = {{' ', '_'}, {'\t', 't'}, {'\n', 'n'}, {'\r', 'r'}};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the first word away from a text.
std::string_view take_word(std::string_view& text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const std::string_view word = take_word(text);
    if (word.empty()) return words;
    words.push_back(word);
  }
}

std::string quoted(std::string_view text, std::size_t most) {
  std::string out = "'";
  for (char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + "'";
}

enum class Number { good, infinite, none };

// Reads a number and moves past it.
Number take_number(std::string_view& text, double& value) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  const char* begin = text.data();
  const char* const last = begin + text.size();
  if (begin != last && *begin == '+' && begin + 1 != last && begin[1] != '-') ++begin;
  const auto [end, error] = std::from_chars(begin, last, value);
  if (error == std::errc::invalid_argument || (end != last && !is_space(*end))) return Number::none;
  // Too small for a double is zero, too large is infinite.
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(begin, end).c_str(), nullptr);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return std::isfinite(value) ? Number::good : Number::infinite;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t k = 0; k < text.size(); ++k) {
    const auto* found = std::end(escapes);
    if (text[k] == '\\' && k + 1 < text.size())
      found = std::find_if(std::begin(escapes), std::end(escapes), [&](auto e) { return e.second == text[k + 1]; });
    out += found == std::end(escapes) ? text[k] : found->first;
    k += found != std::end(escapes);
  }
  return out;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    const auto* found = std::find_if(std::begin(escapes), std::end(escapes), [&](auto e) { return e.first == c; });
    if (found == std::end(escapes)) out += c;
    else out += {'\\', found->second};
  }
  return out;
}

double determinant(const double (&v)[3][3]) {
  return v[0][0] * (v[1][1] * v[2][2] - v[1][2] * v[2][1]) - v[0][1] * (v[1][0] * v[2][2] - v[1][2] * v[2][0]) +
         v[0][2] * (v[1][0] * v[2][1] - v[1][1] * v[2][0]);
}

}  // namespace

double Structure::volume() const { return std::fabs(determinant(cell.vectors)); }

void Structure::set_feature(const std::string& key, std::string value) {
  features.erase(std::remove_if(features.begin(), features.end(), [&](const Feature& f) { return f.key == key; }),
                 features.end());
  features.push_back({key, std::move(value)});
}

const std::string* Structure::feature(std::string_view key) const {
  for (const Feature& feature : features)
    if (feature.key == key) return &feature.value;
  return nullptr;
}

// ---- shortest distances -----------------------------------------------------------------------------------------------

namespace {

// A cell that spans space, and what goes from it to fractions of it.
struct Frame {
  Cell cell;
  double inverse[3][3];

  explicit Frame(const Cell& given) : cell(given) { settle_cell(cell, inverse); }

  // Over the periodic directions.
  double smallest_height() const {
    double least = HUGE_VAL;
    for (int a = 0; a < 3; ++a)
      if (cell.periodic[a]) least = std::min(least, height(inverse, a));
    return least;
  }

  std::vector<double> fractions(const std::vector<double>& positions) const {
    std::vector<double> out(positions.size(), 0.0);
    for (std::size_t i = 0; i < positions.size(); i += 3)
      for (int a = 0; a < 3; ++a)
        for (int k = 0; k < 3; ++k) out[i + a] += positions[i + k] * inverse[k][a];
    return out;
  }

  double squared(double x, double y, double z) const {
    double sum = 0;
    for (int k = 0; k < 3; ++k) {
      const double d = x * cell.vectors[0][k] + y * cell.vectors[1][k] + z * cell.vectors[2][k];
      sum += d * d;
    }
    return sum;
  }

  // From one atom to another's image in the same unit cell around it.
  std::array<double, 3> between(const double* from, const double* to) const {
    std::array<double, 3> d;
    for (int a = 0; a < 3; ++a) {
      d[a] = to[a] - from[a];
      if (cell.periodic[a]) d[a] -= std::nearbyint(d[a]);
    }
    return d;
  }
};

}  // namespace

double Structure::shortest_distance() const {
  const Frame frame(cell);
  const std::vector<double> places = frame.fractions(positions);
  double best = HUGE_VAL;
  for (std::size_t i = 0; i < places.size(); i += 3)
    for (std::size_t j = 0; j < i; j += 3) {
      const auto d = frame.between(&places[j], &places[i]);
      best = std::min(best, frame.squared(d[0], d[1], d[2]));
    }
  // A vector shorter than half the smallest height is found so; otherwise all images within reach are tried, also those
  // of an atom itself.
  if (std::sqrt(best) <= frame.smallest_height() / 2) return std::sqrt(best);
  int reach[3];
  for (int a = 0; a < 3; ++a)
    if (cell.periodic[a]) best = std::min(best, frame.squared(a == 0, a == 1, a == 2));
  for (int a = 0; a < 3; ++a)
    reach[a] = cell.periodic[a] ? static_cast<int>(std::ceil(std::sqrt(best) / height(frame.inverse, a) + 0.5)) : 0;
  for (std::size_t i = 0; i < places.size(); i += 3)
    for (std::size_t j = 0; j <= i; j += 3) {
      const auto d = frame.between(&places[j], &places[i]);
      for (int a = -reach[0]; a <= reach[0]; ++a)
        for (int b = -reach[1]; b <= reach[1]; ++b)
          for (int c = -reach[2]; c <= reach[2]; ++c)
            if (i != j || a != 0 || b != 0 || c != 0) best = std::min(best, frame.squared(d[0] + a, d[1] + b, d[2] + c));
    }
  return std::sqrt(best);
}

// ---- text -----------------------------------------------------------------------------------------------------------

StructureReader::StructureReader(std::string_view text, int species, bool empty, int line)
    : text_(text), species_(species), line_(line - 1), empty_(empty), binary_(!text.empty() && text[0] == 'n') {}

void StructureReader::fail(const std::string& reason) const { throw FormatError(std::max(line_, 1), reason); }

// The next line that is not blank.
bool StructureReader::line(std::string_view& out) {
  if (pending_) {
    pending_ = false;
    out = current_;
    return true;
  }
  while (position_ < text_.size()) {
    const void* found = std::memchr(text_.data() + position_, '\n', text_.size() - position_);
    const std::size_t end = found ? static_cast<const char*>(found) - text_.data() : text_.size();
    line_begin_ = position_;
    current_ = text_.substr(position_, end - position_);
    position_ = std::min(end + 1, text_.size());
    ++line_;
    if (!std::all_of(current_.begin(), current_.end(), is_space)) {
      out = current_;
      return true;
    }
  }
  return false;
}

std::string_view StructureReader::need(const std::string& what) {
  std::string_view out;
  if (!line(out)) fail("the file ends where " + what + " should be");
  return out;
}

// The fields of one configuration.
class StructureReader::Block {
 public:
  Block(StructureReader& reader, Structure& structure) : reader_(reader), structure_(structure) {}

  void read() {
    for (std::string_view line = reader_.need("END_CFG"); !field(line); line = reader_.need("END_CFG")) {
    }
    if (!placed_) reader_.fail("configuration without AtomData");
    structure_.end = reader_.line_begin_;
    if (direct_) to_cartesian();
    take_grades();
    reader_.finish(structure_);
  }

 private:
  // Takes a field that begins with the line; true at the end of the configuration.
  bool field(std::string_view rest) {
    const std::string_view key = take_word(rest);
    if (key == "END_CFG") return true;
    if (key == "Size") {
      size(rest);
    } else if (key == "Supercell" || key == "SuperCell") {
      cell(rest);
    } else if (key == "AtomData:" || key == "Atomic_data:") {
      if (size_ < 0) reader_.fail("AtomData before Size");
      atoms(words_of(rest));
    } else if (key == "Energy") {
      structure_.energy = numbers(rest, 1, "the energy");
    } else if (key == "PlusStress:") {
      virial(words_of(rest));
    } else if (key == "Stress:" || key == "Virial:") {
      reader_.fail(std::string(key) + " has no settled sign and unit; PlusStress: (= -volume·stress, eV) is needed");
    } else if (key == "Feature") {
      feature(rest);
    } else {
      reader_.fail("unknown field " + quoted(key, 40));
    }
    return false;
  }

  // Numbers of a field: on its own line, or on the line below.
  std::vector<double> numbers(std::string_view rest, std::size_t count, const std::string& what) {
    if (trimmed(rest).empty()) rest = reader_.need(what);
    const std::string_view all = trimmed(rest);
    const std::size_t found = words_of(rest).size();
    if (found != count)
      reader_.fail(what + " should be " + std::to_string(count) + " number" + (count > 1 ? "s" : "") + ", got " +
                   std::to_string(found));
    std::vector<double> values(count);
    for (double& value : values) check(take_number(rest, value), what, all);
    return values;
  }

  void check(Number number, const std::string& what, std::string_view text) const {
    if (number == Number::none) reader_.fail(what + " should be numbers, got " + quoted(text, 60));
    if (number == Number::infinite) reader_.fail(what + " should be finite, got " + quoted(text, 60));
  }

  void size(std::string_view rest) {
    const double value = numbers(rest, 1, "the number of atoms")[0];
    if (!(value >= (reader_.empty_ ? 0 : 1) && value < 2147483648.0) || value != std::floor(value))
      reader_.fail("the number of atoms should be a positive integer, got " + std::string(trimmed(reader_.current_)));
    size_ = static_cast<long>(value);
  }

  // Up to three lattice vectors; missing ones are directions without period.
  void cell(std::string_view rest) {
    structure_.cell = {};
    int count = 0;
    if (!trimmed(rest).empty()) lattice_vector(rest, count++);
    for (; count < 3; ++count) {
      const std::string_view line = reader_.need("a lattice vector");
      if (std::strchr("+-.0123456789nNiI", trimmed(line)[0]) == nullptr) {
        reader_.pending_ = true;
        break;
      }
      lattice_vector(line, count);
    }
    if (count == 0) reader_.fail("Supercell without a lattice vector");
  }

  void lattice_vector(std::string_view line, int index) {
    const std::vector<double> values = numbers(line, 3, "a lattice vector");
    std::copy(values.begin(), values.end(), structure_.cell.vectors[index]);
    structure_.cell.periodic[index] = std::any_of(values.begin(), values.end(), [](double x) { return x != 0; });
  }

  void atoms(const std::vector<std::string_view>& names) {
    static constexpr std::string_view known[] = {"id", "type", "cartes_x", "cartes_y", "cartes_z", "direct_x",
                                                 "direct_y", "direct_z", "fx", "fy", "fz", "site_en", "charge",
                                                 "nbh_grades"};
    constexpr std::size_t count = std::size(known);
    std::array<int, count> place;  // column of each
    place.fill(-1);
    for (std::size_t column = 0; column < names.size(); ++column) {
      const auto* found = std::find(std::begin(known), std::end(known), names[column]);
      if (found == std::end(known)) reader_.fail("unknown AtomData column " + quoted(names[column], 40));
      int& mine = place[found - std::begin(known)];
      if (mine >= 0) reader_.fail("an AtomData column is given twice");
      mine = static_cast<int>(column);
    }
    const auto given = [&](int first) {
      return (place[first] >= 0) + (place[first + 1] >= 0) + (place[first + 2] >= 0);
    };
    if ((given(2) == 3) == (given(5) == 3))
      reader_.fail("AtomData needs cartes_x cartes_y cartes_z or direct_x direct_y direct_z");
    if (place[1] < 0 && reader_.species_ > 1 && reader_.species_ != any_species)
      reader_.fail("AtomData without the column type, but there are " + std::to_string(reader_.species_) + " species");
    if (given(8) % 3) reader_.fail("AtomData needs fx, fy and fz together");
    direct_ = given(5) == 3;
    placed_ = true;
    std::vector<std::vector<double>*> target(names.size(), &ignored_);
    const int first = direct_ ? 5 : 2;
    structure_.types.clear();
    for (auto* list : {&structure_.positions, &structure_.forces, &structure_.site_energies, &structure_.charges,
                       &structure_.neighbourhood_grades})
      list->clear();
    std::vector<double> row(names.size());
    for (long k = 0; k < size_; ++k) {
      table_row(k, row);
      if (place[0] >= 0 && row[place[0]] != static_cast<double>(k + 1))
        reader_.fail("the ids should be 1, 2, 3, … in this order");
      structure_.types.push_back(place[1] < 0 ? 0 : type(row[place[1]]));
      for (int a = 0; a < 3; ++a) structure_.positions.push_back(row[place[first + a]]);
      if (place[8] >= 0)
        for (int a = 0; a < 3; ++a) structure_.forces.push_back(row[place[8 + a]]);
      if (place[11] >= 0) structure_.site_energies.push_back(row[place[11]]);
      if (place[12] >= 0) structure_.charges.push_back(row[place[12]]);
      if (place[13] >= 0) structure_.neighbourhood_grades.push_back(row[place[13]]);
    }
  }

  void table_row(long index, std::vector<double>& row) {
    const auto name = [&] { return "atom " + std::to_string(index + 1) + " of " + std::to_string(size_); };
    std::string_view rest;
    if (!reader_.line(rest)) reader_.need(name());
    const std::string_view all = rest;
    for (double& value : row) {
      const Number number = take_number(rest, value);
      if (number != Number::good) wrong_row(number, name(), all, row.size());
    }
    if (!trimmed(rest).empty()) wrong_row(Number::good, name(), all, row.size());
  }

  [[noreturn]] void wrong_row(Number number, const std::string& name, std::string_view line, std::size_t width) const {
    if (words_of(line).size() == width) check(number, "atom data", trimmed(line));
    reader_.fail(name + " should have " + std::to_string(width) + " columns, got " + quoted(trimmed(line), 60));
  }

  int type(double value) const {
    if (value >= 0 && value < reader_.species_ && value == std::floor(value)) return static_cast<int>(value);
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    reader_.fail(std::string("atom type ") + text + ", but there are " + std::to_string(reader_.species_) +
                 " species (types from 0)");
  }

  void virial(std::vector<std::string_view> names) {
    std::array<int, 6> place;
    for (int k = 0; k < 6; ++k) {
      const auto found = std::find(names.begin(), names.end(), stress_order[k]);
      if (found == names.end() || names.size() != 6) reader_.fail("PlusStress: should name xx yy zz yz xz xy");
      place[k] = static_cast<int>(found - names.begin());
    }
    const std::vector<double> values = numbers({}, 6, "PlusStress");
    structure_.virial.resize(6);
    for (int k = 0; k < 6; ++k) structure_.virial[k] = values[place[k]];
  }

  void feature(std::string_view rest) {
    while (!rest.empty() && (rest.back() == '\r' || rest.back() == '\n')) rest.remove_suffix(1);
    const std::string_view key = take_word(rest);
    if (key.empty()) reader_.fail("a Feature without a name");
    if (!rest.empty()) rest.remove_prefix(1);  // the one blank after the name
    structure_.features.push_back({unescaped(key), std::string(rest), reader_.line_begin_, reader_.position_});
  }

  void to_cartesian() {
    if (!structure_.periodic()) reader_.fail("direct coordinates need three lattice vectors");
    for (std::size_t k = 0; k < structure_.positions.size(); k += 3) {
      const std::array<double, 3> f = {structure_.positions[k], structure_.positions[k + 1],
                                       structure_.positions[k + 2]};
      for (int a = 0; a < 3; ++a)
        structure_.positions[k + a] = f[0] * structure_.cell.vectors[0][a] + f[1] * structure_.cell.vectors[1][a] +
                                      f[2] * structure_.cell.vectors[2][a];
    }
  }

  // Grades of neighbourhoods are a feature of as many numbers as atoms.
  void take_grades() {
    for (const Feature& feature : structure_.features) {
      if (feature.key != "nbh_grades") continue;
      const std::size_t count = words_of(feature.value).size();
      if (count != structure_.types.size())
        reader_.fail("the feature nbh_grades should be " + std::to_string(structure_.types.size()) + " numbers, got " +
                     std::to_string(count));
      structure_.neighbourhood_grades.resize(count);
      std::string_view rest = feature.value;
      for (double& grade : structure_.neighbourhood_grades)
        check(take_number(rest, grade), "the feature nbh_grades", feature.value);
    }
    if (const std::string* grade = structure_.feature("MV_grade")) numbers_of_feature(*grade);
  }

  void numbers_of_feature(const std::string& text) {
    std::string_view rest = text;
    double value;
    check(take_number(rest, value), "the feature MV_grade", text);
    if (!trimmed(rest).empty()) check(Number::none, "the feature MV_grade", text);
  }

  StructureReader& reader_;
  Structure& structure_;
  std::vector<double> ignored_;
  long size_ = -1;
  bool placed_ = false, direct_ = false;
};

bool StructureReader::next(Structure& structure) {
  structure = {};
  if (binary_) return next_binary(structure);
  std::string_view first;
  if (!line(first)) return false;
  if (trimmed(first) != "BEGIN_CFG") fail("expected BEGIN_CFG, got " + quoted(trimmed(first), 40));
  Block(*this, structure).read();
  return true;
}

void StructureReader::finish(Structure& structure) const {
  if (!structure.periodic()) {
    structure.virial.clear();  // without a volume there is no stress
    return;
  }
  const double volume = structure.volume();
  if (!(volume > 1e-6 && std::isfinite(volume))) fail("the lattice vectors are linearly dependent");
}

// ---- binary: a letter for each field, then its numbers ----------------------------------------------------------------

bool StructureReader::next_binary(Structure& structure) {
  line_ = 1;
  const auto take = [&](void* out, std::size_t bytes) {
    if (bytes > text_.size() - position_) fail("the binary file is truncated");
    if (bytes > 0) std::memcpy(out, text_.data() + position_, bytes);
    position_ += bytes;
  };
  const auto take_int = [&] {
    int value;
    take(&value, sizeof value);
    if (value < 0 || static_cast<std::size_t>(value) > text_.size()) fail("the binary file is damaged: a wrong length");
    return value;
  };
  const auto take_doubles = [&](std::vector<double>& out, std::size_t count) {
    if (count > (text_.size() - position_) / sizeof(double)) fail("the binary file is truncated");
    out.resize(count);
    take(out.data(), count * sizeof(double));
    if (!std::all_of(out.begin(), out.end(), [](double x) { return std::isfinite(x); }))
      fail("the binary file holds a number that is not finite");
  };
  const auto take_text = [&] {
    std::string out(take_int(), '\0');
    take(out.data(), out.size());
    return out;
  };
  const auto take_tag = [&] {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
    char tag;
    take(&tag, 1);
    return tag;
  };
  if (trimmed(text_.substr(position_)).empty()) return false;
  if (take_tag() != 'n') fail("the binary file is damaged: a configuration should begin with 'n'");
  const std::size_t size = take_int();
  if (size == 0 && !empty_) fail("the number of atoms should be a positive integer, got 0");
  std::vector<double> vectors, sums;
  for (char tag = take_tag(); tag != '#'; tag = take_tag()) {
    if (tag == 'l') {
      take_doubles(vectors, 9);
    } else if (tag == 'p') {
      take_doubles(structure.positions, 3 * size);
    } else if (tag == 'f') {
      take_doubles(structure.forces, 3 * size);
    } else if (tag == 'v') {
      take_doubles(structure.site_energies, size);
    } else if (tag == 'c') {
      take_doubles(structure.charges, size);
    } else if (tag == 'e') {
      take_doubles(structure.energy, 1);
    } else if (tag == 's') {
      take_doubles(sums, 6);  // xx yy zz xy yz xz
      structure.virial = {sums[0], sums[1], sums[2], sums[4], sums[5], sums[3]};
    } else if (tag == 't') {
      structure.types.resize(std::min(size, text_.size()));
      take(structure.types.data(), size * sizeof(int));
    } else if (tag == 'F') {
      std::string key = take_text();
      structure.features.push_back({std::move(key), take_text()});
    } else {
      fail(std::string("the binary file is damaged: unknown tag ") + quoted({&tag, 1}, 1));
    }
  }
  structure.types.resize(size);
  if (vectors.empty() || structure.positions.size() != 3 * size)
    fail("the binary file is damaged: a configuration without lattice or positions");
  for (int type : structure.types)
    if (type < 0 || type >= species_)
      fail("atom type " + std::to_string(type) + ", but there are " + std::to_string(species_) +
           " species (types from 0)");
  for (int a = 0; a < 3; ++a)
    for (int k = 0; k < 3; ++k) {
      structure.cell.vectors[a][k] = vectors[3 * a + k];
      structure.cell.periodic[a] = structure.cell.periodic[a] || vectors[3 * a + k] != 0;
    }
  finish(structure);
  return true;
}

// ---- writing --------------------------------------------------------------------------------------------------------

namespace {

void append_number(std::string& out, double value, const char* what, std::size_t width = 24) {
  if (!std::isfinite(value)) throw std::invalid_argument(std::string(what) + " is not finite");
  char digits[32];
  const std::size_t size = std::to_chars(digits, digits + sizeof digits, value).ptr - digits;
  out.append(size + 1 < width ? width - size : 1, ' ');
  out.append(digits, size);
}

void append_integer(std::string& out, long value, std::size_t width) {
  char digits[32];
  const std::size_t size = std::to_chars(digits, digits + sizeof digits, value).ptr - digits;
  out.append(size + 1 < width ? width - size : 1, ' ');
  out.append(digits, size);
}

void append_names(std::string& out, std::initializer_list<const char*> names) {
  for (const char* name : names) out.append(24 - std::strlen(name), ' ').append(name);
}

void append_cell(std::string& out, const Structure& structure) {
  int count = 0;
  for (int a = 0; a < 3; ++a)
    if (structure.cell.periodic[a]) count = a + 1;
  if (count > 0) out += " Supercell\n";
  for (int a = 0; a < count; ++a) {
    out += "    ";
    for (double x : structure.cell.vectors[a]) append_number(out, structure.cell.periodic[a] ? x : 0.0, "a lattice vector");
    out += '\n';
  }
}

void append_atoms(std::string& out, const Structure& structure) {
  const bool forces = !structure.forces.empty(), energies = !structure.site_energies.empty();
  out += " AtomData:  id type";
  append_names(out, {"cartes_x", "cartes_y", "cartes_z"});
  if (forces) append_names(out, {"fx", "fy", "fz"});
  if (energies) append_names(out, {"site_en"});
  if (!structure.charges.empty()) append_names(out, {"charge"});
  out += '\n';
  for (std::size_t i = 0; i < structure.types.size(); ++i) {
    append_integer(out, static_cast<long>(i) + 1, 14);
    append_integer(out, structure.types[i], 5);
    for (int a = 0; a < 3; ++a) append_number(out, structure.positions[3 * i + a], "a position");
    for (int a = 0; a < 3 && forces; ++a) append_number(out, structure.forces[3 * i + a], "a force");
    if (energies) append_number(out, structure.site_energies[i], "a site energy");
    if (!structure.charges.empty()) append_number(out, structure.charges[i], "a charge");
    out += '\n';
  }
}

void append_features(std::string& out, const Structure& structure) {
  for (const Feature& feature : structure.features) {
    if (feature.key == "nbh_grades") continue;
    const std::string key = escaped(feature.key);
    for (std::size_t begin = 0; begin <= feature.value.size();) {
      const std::size_t end = std::min(feature.value.find('\n', begin), feature.value.size());
      out.append(" Feature   ").append(key).append("\t").append(feature.value, begin, end - begin).append("\n");
      begin = end + 1;
    }
  }
  if (structure.neighbourhood_grades.empty()) return;
  // A feature, since MLIP-2 refuses a file with a column that it does not know.
  out += " Feature   nbh_grades\t";
  for (double grade : structure.neighbourhood_grades) append_number(out, grade, "a grade", 1);
  out += '\n';
}

}  // namespace

void append_text(std::string& out, const Structure& structure) {
  out += "BEGIN_CFG\n Size\n";
  append_integer(out, structure.atoms(), 5);
  out += '\n';
  append_cell(out, structure);
  append_atoms(out, structure);
  if (!structure.energy.empty()) {
    out += " Energy\n    ";
    append_number(out, structure.energy[0], "the energy");
    out += '\n';
  }
  if (!structure.virial.empty()) {
    out += " PlusStress:";
    append_names(out, {"xx", "yy", "zz", "yz", "xz", "xy"});
    out += "\n            ";
    for (double value : structure.virial) append_number(out, value, "the stress");
    out += '\n';
  }
  append_features(out, structure);
  out += "END_CFG\n\n";
}

// ---- files ----------------------------------------------------------------------------------------------------------

InputFile::InputFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status;
  bool good = descriptor >= 0 && fstat(descriptor, &status) == 0;
  if (good && S_ISREG(status.st_mode) && status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    void* memory = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (memory != MAP_FAILED) data_ = static_cast<const char*>(memory);
  }
  char block[1 << 16];
  for (ssize_t count = 1; good && data_ == nullptr && count > 0;) {
    count = read(descriptor, block, sizeof block);
    good = count >= 0;
    if (count > 0) content_.append(block, static_cast<std::size_t>(count));
  }
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  if (!good) throw std::runtime_error("cannot read " + path + ": " + std::strerror(error));
}

InputFile::~InputFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

}  // namespace mtp
