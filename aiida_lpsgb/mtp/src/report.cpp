// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mtp {
namespace {

std::string line(const char* name, double value) {
  char text[96];
  std::snprintf(text, sizeof text, "\t%s = %g\n", name, value);
  return text;
}

// Comparisons forget what is not a number; a report must not.
double larger(double a, double b) { return std::isnan(b) || b > a ? b : a; }

// Off-diagonal elements stand twice in the tensor.
double norm(const double* v) {
  return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + 2 * (v[3] * v[3] + v[4] * v[4] + v[5] * v[5]));
}

double root_mean(double squares, long count) { return count ? std::sqrt(squares / static_cast<double>(count)) : 0.0; }

}  // namespace

void Statistics::add(double difference, double value) {
  difference = std::fabs(difference);
  value = std::fabs(value);
  ++count;
  largest = larger(largest, difference);
  sum += difference;
  squares += difference * difference;
  largest_value = larger(largest_value, value);
  value_squares += value * value;
}

void Statistics::add(const Statistics& other) {
  count += other.count;
  largest = larger(largest, other.largest);
  sum += other.sum;
  squares += other.squares;
  largest_value = larger(largest_value, other.largest_value);
  value_squares += other.value_squares;
}

double Statistics::rmse() const { return root_mean(squares, count) / std::sqrt(components); }

std::string Statistics::lines(const char* of, const char* relative) const {
  std::string out = "\tErrors checked for " + std::to_string(count) + " " + of + "\n";
  out += line("Maximal absolute difference", largest) + line("Average absolute difference", mae()) +
         line("RMS     absolute difference", rmse());
  if (relative == nullptr) return out;
  const std::string name = relative;
  out += line(("Max(" + name + "Diff) / Max(" + name + ")").c_str(), largest / (largest_value + 1e-300));
  out += line(("RMS(" + name + "Diff) / RMS(" + name + ")").c_str(),
              root_mean(squares, count) / (root_mean(value_squares, count) + 1e-300));
  return out;
}

void ErrorReport::add(const Structure& known, double found_energy, const double* found_forces,
                      const double* found_virial) {
  if (!known.energy.empty()) {
    const double difference = found_energy - known.energy[0], atoms = known.atoms();
    energy.add(difference, known.energy[0]);
    energy_per_atom.add(difference / atoms, known.energy[0] / atoms);
  }
  for (std::size_t i = 0; i < known.forces.size(); i += 3) {
    double difference = 0, value = 0;
    for (int a = 0; a < 3; ++a) {
      difference += std::pow(found_forces[i + a] - known.forces[i + a], 2);
      value += std::pow(known.forces[i + a], 2);
    }
    forces.add(std::sqrt(difference), std::sqrt(value));
  }
  if (known.virial.empty()) return;
  double difference[6];
  for (int k = 0; k < 6; ++k) difference[k] = found_virial[k] - known.virial[k];
  const double length = norm(difference), value = norm(known.virial.data()), gpa = gpa_of_ev_a3 / known.volume();
  virial.add(length, value);
  stress.add(length * gpa, value * gpa);
}

void ErrorReport::add(const ErrorReport& other) {
  energy.add(other.energy);
  energy_per_atom.add(other.energy_per_atom);
  forces.add(other.forces);
  virial.add(other.virial);
  stress.add(other.stress);
}

std::string ErrorReport::text() const {
  return "_________________Errors report_________________\nEnergy:\n" + energy.lines("configurations", nullptr) +
         "\nEnergy per atom:\n" + energy_per_atom.lines("configurations", nullptr) + "\nForces:\n" +
         forces.lines("atoms", "Force") + "\nStresses (in eV):\n" + virial.lines("configurations", "Stres") +
         "\nStresses (in GPa):\n" + stress.lines("configurations", "Stres") + std::string(47, '_') + "\n";
}

}  // namespace mtp
