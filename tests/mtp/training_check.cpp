// Runs training's C++ on random configurations of a potential given as a file; meant for sanitizers.
//
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "training.hpp"

int main(int count, char** arguments) {
  for (int k = 1; k < count; ++k) {
    std::ifstream file(arguments[k]);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const mtp::Potential potential = mtp::parse_potential(text);
    std::mt19937 random(k);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (const char* kernel : {"baseline", ""}) {
      mtp::training::TrainingSet set(potential, kernel);
      for (const int atoms : {1, 2, 5, 9}) {
        std::vector<double> positions(3 * atoms);
        std::vector<int> species(atoms);
        for (double& x : positions) x = 6.0 * uniform(random);
        for (int& s : species) s = static_cast<int>(potential.species_count * uniform(random));
        const mtp::Cell cell = {{{6, 0.5, 0}, {0, 7, 0}, {1, 0, atoms == 2 ? 60.0 : 6.0}}, {true, atoms != 5, true}};
        const std::size_t rows = mtp::training::rows_of(atoms);
        mtp::training::Labels labels{std::vector<double>(rows, 0.1), std::vector<double>(rows, 1.0)};
        labels.weights[0] = 0.0;
        set.add(atoms, positions.data(), species.data(), cell, labels);
      }
      std::vector<double> parameters(set.parameters());
      for (double& p : parameters) p = uniform(random) - 0.5;
      for (const int threads : {1, 3, 20}) {
        const auto sums = set.normal_equations(parameters.data(), threads);
        const auto linear = set.linear_equations(parameters.data(), threads);
        if (std::fabs(linear.loss - sums.loss) > 1e-9 * sums.loss) return 1;
      }
      std::vector<double> values(set.rows(3)), jacobian(set.rows(3) * set.parameters());
      set.evaluate(3, parameters.data(), values.data(), jacobian.data());
      const long size = static_cast<long>(set.parameters()), count_rows = static_cast<long>(set.rows(3));
      if (mtp::training::exchange(jacobian.data(), count_rows, size, 1.01, 50).size() > 50) return 1;
    }
  }
  std::puts("finished");
}
