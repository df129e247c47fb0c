// A moment tensor potential as plain data, and the strict reader of MLIP-2's `.mtp` text (version 1.1.0).
//
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mtp {

// A text that is no valid potential (or active set). The message already names the line; `line` repeats it for callers.
struct FormatError : std::runtime_error {
  FormatError(int line, const std::string& reason)
      : std::runtime_error("line " + std::to_string(line) + ": " + reason), line(line) {}
  int line;
};

enum class RadialBasis {
  chebyshev,           // RBChebyshev: T_k(x) (r - max_dist)^2
  chebyshev_repulsive  // RBChebyshev_repuls: the same, but for shorter distances its value at min_dist and a repulsion
};

// Everything that a `.mtp` file says. An untrained file lacks the coefficients; their vectors are empty then.
struct Potential {
  std::string name;
  std::string tag;
  double scaling = 1.0;  // multiplies every radial basis function
  int species_count = 0;

  RadialBasis radial_basis = RadialBasis::chebyshev;
  double min_dist = 0.0;
  double max_dist = 0.0;
  int radial_basis_size = 0;
  int radial_funcs_count = 0;
  std::vector<double> radial_coeffs;  // [central species][neighbour species][function][basis], row-major

  int alpha_moments_count = 0;
  std::vector<std::array<int, 4>> alpha_index_basic;  // {mu, power of x, of y, of z}
  std::vector<std::array<int, 4>> alpha_index_times;  // {a, b, factor, c}: m[c] += factor m[a] m[b]
  std::vector<int> alpha_moment_mapping;              // scalar k is m[alpha_moment_mapping[k]]

  std::vector<double> species_coeffs;  // [species]
  std::vector<double> moment_coeffs;   // [scalar]

  bool trained() const { return !radial_coeffs.empty() && !species_coeffs.empty() && !moment_coeffs.empty(); }

  std::size_t radial_count() const {
    return static_cast<std::size_t>(species_count) * species_count * radial_funcs_count * radial_basis_size;
  }

  // Parameters in the order of an active set: radial, species, moment.
  std::size_t parameter_count() const { return radial_count() + species_count + alpha_moment_mapping.size(); }
};

// Begins the active set in MLIP-3's files; MLIP-2's begin with '^'.
inline constexpr std::string_view mlip3_mark = "#MVS_v1.1";

// Reads a potential from text.
//
// `consumed`: where given, receives the number of characters that the potential takes, and what follows is the
// caller's. Otherwise only an active set may follow (the files `.als` and `.almtp`), which is left alone.
// Throws FormatError.
Potential parse_potential(std::string_view text, std::size_t* consumed = nullptr);

// The potential as text that MLIP-2's programs and parse_potential read back without loss.
std::string format_potential(const Potential& potential);

// The name that a `.mtp` file gives to a radial basis.
const char* radial_basis_name(RadialBasis basis);

}  // namespace mtp
