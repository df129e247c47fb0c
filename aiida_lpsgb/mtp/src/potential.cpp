// SPDX-License-Identifier: MIT
#include "potential.hpp"

#include <climits>
#include <cstdio>

#include "scanner.hpp"

namespace mtp {
namespace {

constexpr int max_species = 128;
constexpr int max_rank = 32;

// Counts come before what they count: one that the text cannot hold would only make us allocate.
int read_count(Scanner& scan, const char* key, long minimum, std::size_t text_size) {
  scan.expect_key(key);
  return scan.integer(key, minimum, std::min<long>(INT_MAX, static_cast<long>(text_size)));
}

RadialBasis read_basis_type(Scanner& scan) {
  scan.expect_key("radial_basis_type");
  const std::string_view type = scan.peek_word();
  for (const RadialBasis basis : {RadialBasis::chebyshev, RadialBasis::chebyshev_repulsive})
    if (scan.try_word(radial_basis_name(basis))) return basis;
  scan.fail("radial_basis_type " + std::string(type.substr(0, 40)) +
            " is not supported; RBChebyshev and RBChebyshev_repuls are");
}

void read_radial_basis(Scanner& scan, Potential& potential, std::size_t text_size) {
  potential.radial_basis = read_basis_type(scan);
  if (scan.try_key("scaling")) potential.scaling *= scan.real("scaling");
  if (scan.peek_word() == "min")
    scan.fail("a radial basis given by 'min', 'max', 'size' is no MLIP-2 format; write min_dist, max_dist, "
              "radial_basis_size (motep: legacy=True)");
  scan.expect_key("min_dist");
  potential.min_dist = scan.real("min_dist");
  if (potential.min_dist < 0) scan.fail("min_dist is negative");
  scan.expect_key("max_dist");
  potential.max_dist = scan.real("max_dist");
  if (potential.max_dist <= potential.min_dist) scan.fail("max_dist must be larger than min_dist");
  potential.radial_basis_size = read_count(scan, "radial_basis_size", 1, text_size);
  potential.radial_funcs_count = read_count(scan, "radial_funcs_count", 1, text_size);
}

void read_list(Scanner& scan, const char* what, std::size_t count, std::vector<double>& values) {
  scan.expect('{');
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) scan.expect(',');
    values.push_back(scan.real(what));
  }
  scan.expect('}');
}

void read_radial_coeffs(Scanner& scan, Potential& potential, std::size_t text_size) {
  // Species 0 ... n-1 squared times both sizes, without overflow: each factor is at most the size of the text.
  if (static_cast<double>(potential.species_count) * potential.species_count * potential.radial_funcs_count *
          potential.radial_basis_size > static_cast<double>(text_size))
    scan.fail("the file is too short for its radial coefficients");
  for (int a = 0; a < potential.species_count; ++a)
    for (int b = 0; b < potential.species_count; ++b) {
      const int found_a = scan.integer("species pair", 0, max_species);
      scan.expect('-');
      const int found_b = scan.integer("species pair", 0, max_species);
      if (found_a != a || found_b != b)
        scan.fail("radial_coeffs: expected the pair " + std::to_string(a) + "-" + std::to_string(b) + ", found " +
                  std::to_string(found_a) + "-" + std::to_string(found_b));
      for (int mu = 0; mu < potential.radial_funcs_count; ++mu)
        read_list(scan, "radial_coeffs", potential.radial_basis_size, potential.radial_coeffs);
    }
}

std::array<int, 4> read_quad(Scanner& scan, const char* what) {
  std::array<int, 4> quad;
  scan.expect('{');
  for (int i = 0; i < 4; ++i) {
    if (i > 0) scan.expect(',');
    quad[i] = scan.integer(what, INT_MIN, INT_MAX);
  }
  scan.expect('}');
  return quad;
}

void read_index_basic(Scanner& scan, Potential& potential, int count) {
  scan.expect_key("alpha_index_basic");
  scan.expect('{');
  int largest = -1;
  for (int i = 0; i < count; ++i) {
    if (i > 0) scan.expect(',');
    const auto [mu, x, y, z] = read_quad(scan, "alpha_index_basic");
    if (mu < 0 || mu >= potential.radial_funcs_count)
      scan.fail("alpha_index_basic: radial function " + std::to_string(mu) + " of " +
                std::to_string(potential.radial_funcs_count));
    for (const int power : {x, y, z})
      if (power < 0 || power > max_rank) scan.fail("alpha_index_basic: power " + std::to_string(power));
    if (x + y + z > max_rank) scan.fail("alpha_index_basic: rank " + std::to_string(x + y + z));
    largest = std::max(largest, mu);
    potential.alpha_index_basic.push_back({mu, x, y, z});
  }
  scan.expect('}');
  if (largest != potential.radial_funcs_count - 1)
    scan.fail("radial_funcs_count is " + std::to_string(potential.radial_funcs_count) + " but alpha_index_basic uses " +
              std::to_string(largest + 1));
}

// A moment may be a factor only after all its terms have been added: derivatives run the list backwards.
void read_index_times(Scanner& scan, Potential& potential, int count) {
  scan.expect_key("alpha_index_times");
  scan.expect('{');
  const int basic = static_cast<int>(potential.alpha_index_basic.size());
  std::vector<char> used(potential.alpha_moments_count, 0);
  std::vector<char> made(potential.alpha_moments_count, 0);
  std::fill(made.begin(), made.begin() + basic, 1);
  for (int i = 0; i < count; ++i) {
    if (i > 0) scan.expect(',');
    const auto [a, b, factor, c] = read_quad(scan, "alpha_index_times");
    const std::string entry = "alpha_index_times: {" + std::to_string(a) + ", " + std::to_string(b) + ", " +
                              std::to_string(factor) + ", " + std::to_string(c) + "} ";
    for (const int m : {a, b})
      if (m < 0 || m >= potential.alpha_moments_count || !made[m]) scan.fail(entry + "uses a moment not yet computed");
    if (c < basic || c >= potential.alpha_moments_count) scan.fail(entry + "writes no product moment");
    used[a] = used[b] = made[c] = 1;
    if (used[c]) scan.fail(entry + "changes a moment that was used before");
    potential.alpha_index_times.push_back({a, b, factor, c});
  }
  scan.expect('}');
}

void read_mapping(Scanner& scan, Potential& potential, int count) {
  scan.expect_key("alpha_moment_mapping");
  scan.expect('{');
  for (int i = 0; i < count; ++i) {
    if (i > 0) scan.expect(',');
    potential.alpha_moment_mapping.push_back(
        scan.integer("alpha_moment_mapping", 0, potential.alpha_moments_count - 1));
  }
  scan.expect('}');
}

void append_real(std::string& out, double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.15e", value);
  // Fifteen digits are MLIP-2's; where they would change the number, write what reads back exactly.
  if (std::strtod(buffer, nullptr) != value) std::snprintf(buffer, sizeof buffer, "%.16e", value);
  out += buffer;
}

void append_list(std::string& out, const double* values, std::size_t count) {
  out += '{';
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += ", ";
    append_real(out, values[i]);
  }
  out += '}';
}

void append_quads(std::string& out, const std::vector<std::array<int, 4>>& quads) {
  out += '{';
  for (std::size_t i = 0; i < quads.size(); ++i) {
    out += i > 0 ? ", {" : "{";
    for (int k = 0; k < 4; ++k) out += (k > 0 ? ", " : "") + std::to_string(quads[i][k]);
    out += '}';
  }
  out += "}\n";
}

void append_radial(std::string& out, const Potential& potential) {
  out += "\tradial_coeffs\n";
  const double* row = potential.radial_coeffs.data();
  for (int a = 0; a < potential.species_count; ++a)
    for (int b = 0; b < potential.species_count; ++b) {
      out += "\t\t" + std::to_string(a) + "-" + std::to_string(b) + "\n";
      for (int mu = 0; mu < potential.radial_funcs_count; ++mu, row += potential.radial_basis_size) {
        out += "\t\t\t";
        append_list(out, row, potential.radial_basis_size);
        out += '\n';
      }
    }
}

}  // namespace

const char* radial_basis_name(RadialBasis basis) {
  return basis == RadialBasis::chebyshev ? "RBChebyshev" : "RBChebyshev_repuls";
}

Potential parse_potential(std::string_view text, std::size_t* consumed) {
  Scanner scan(text);
  Potential potential;
  if (!scan.try_word("MTP")) scan.fail("no moment tensor potential: the first line must be 'MTP'");
  scan.expect_key("version");
  if (!scan.try_word("1.1.0"))
    scan.fail("version " + std::string(scan.rest_of_line().substr(0, 40)) + " is not supported; 1.1.0 is");
  if (scan.try_key("potential_name")) potential.name = scan.rest_of_line();
  if (scan.try_key("scaling")) potential.scaling = scan.real("scaling");
  scan.expect_key("species_count");
  potential.species_count = scan.integer("species_count", 1, max_species);
  if (scan.try_key("potential_tag")) potential.tag = scan.rest_of_line();
  read_radial_basis(scan, potential, text.size());
  const bool with_radial = scan.try_word("radial_coeffs");
  if (with_radial) read_radial_coeffs(scan, potential, text.size());

  potential.alpha_moments_count = read_count(scan, "alpha_moments_count", 1, text.size());
  const int basic_count = read_count(scan, "alpha_index_basic_count", 1, text.size());
  if (potential.alpha_moments_count < basic_count)
    scan.fail("alpha_moments_count is smaller than alpha_index_basic_count");
  read_index_basic(scan, potential, basic_count);
  read_index_times(scan, potential, read_count(scan, "alpha_index_times_count", 0, text.size()));
  read_mapping(scan, potential, read_count(scan, "alpha_scalar_moments", 1, text.size()));

  if (scan.try_key("species_coeffs")) {
    if (!with_radial) scan.fail("species_coeffs without radial_coeffs: the file is only partly trained");
    read_list(scan, "species_coeffs", potential.species_count, potential.species_coeffs);
    scan.expect_key("moment_coeffs");
    read_list(scan, "moment_coeffs", potential.alpha_moment_mapping.size(), potential.moment_coeffs);
  }
  if (consumed != nullptr)
    *consumed = scan.position();
  else if (!scan.at_end() && scan.peek_word().substr(0, 1) != "^" && scan.peek_word() != mlip3_mark)
    scan.fail("unexpected text after the potential: '" + std::string(scan.peek_word().substr(0, 30)) + "'");
  return potential;
}

std::string format_potential(const Potential& potential) {
  std::string out = "MTP\nversion = 1.1.0\npotential_name = " + potential.name + "\n";
  if (potential.scaling != 1.0) {
    out += "scaling = ";
    append_real(out, potential.scaling);
    out += '\n';
  }
  out += "species_count = " + std::to_string(potential.species_count) + "\npotential_tag = " + potential.tag + "\n";
  out += std::string("radial_basis_type = ") + radial_basis_name(potential.radial_basis) + "\n\tmin_dist = ";
  append_real(out, potential.min_dist);
  out += "\n\tmax_dist = ";
  append_real(out, potential.max_dist);
  out += "\n\tradial_basis_size = " + std::to_string(potential.radial_basis_size);
  out += "\n\tradial_funcs_count = " + std::to_string(potential.radial_funcs_count) + "\n";
  if (!potential.radial_coeffs.empty()) append_radial(out, potential);
  out += "alpha_moments_count = " + std::to_string(potential.alpha_moments_count);
  out += "\nalpha_index_basic_count = " + std::to_string(potential.alpha_index_basic.size());
  out += "\nalpha_index_basic = ";
  append_quads(out, potential.alpha_index_basic);
  out += "alpha_index_times_count = " + std::to_string(potential.alpha_index_times.size());
  out += "\nalpha_index_times = ";
  append_quads(out, potential.alpha_index_times);
  out += "alpha_scalar_moments = " + std::to_string(potential.alpha_moment_mapping.size());
  out += "\nalpha_moment_mapping = {";
  for (std::size_t i = 0; i < potential.alpha_moment_mapping.size(); ++i)
    out += (i > 0 ? ", " : "") + std::to_string(potential.alpha_moment_mapping[i]);
  out += "}\n";
  if (potential.species_coeffs.empty()) return out;
  out += "species_coeffs = ";
  append_list(out, potential.species_coeffs.data(), potential.species_coeffs.size());
  out += "\nmoment_coeffs = ";
  append_list(out, potential.moment_coeffs.data(), potential.moment_coeffs.size());
  return out + "\n";
}

}  // namespace mtp
