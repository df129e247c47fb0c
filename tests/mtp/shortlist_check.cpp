// Energies and forces by means of a shortlist, of atoms that move, against those of all neighbours.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "evaluator.hpp"

using namespace mtp;

namespace {

constexpr double reach = 7.0, box = 18.0;  // of the lists; atoms are put at random into an open box

// Lists as LAMMPS has them.
struct Lists {
  std::vector<std::vector<int>> near;
  std::vector<int> centres, lengths;
  std::vector<const int*> first;

  Lists(const std::vector<double>& x, int atoms) : near(atoms), centres(atoms) {
    std::iota(centres.begin(), centres.end(), 0);
    for (int i = 0; i < atoms; ++i) {
      for (int j = 0; j < atoms; ++j)
        if (j != i && std::hypot(x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]) < reach)
          near[i].push_back(j);
      lengths.push_back(static_cast<int>(near[i].size()));
      first.push_back(near[i].data());
    }
  }
  ListsView view() const { return {static_cast<int>(centres.size()), centres.data(), lengths.data(), first.data(), ~0}; }
};

struct Found {
  std::vector<double> forces;
  Results results;

  explicit Found(int atoms) : forces(3 * atoms + 3) {
    results.want_virial = true;
    results.forces = forces.data();
  }
};

double difference(const Found& a, const Found& b) {
  double scale = 1e-300, worst = std::fabs(a.results.energy - b.results.energy) / (1e-300 + std::fabs(a.results.energy));
  for (double force : a.forces) scale = std::max(scale, std::fabs(force));
  for (std::size_t k = 0; k < a.forces.size(); ++k)
    worst = std::max(worst, std::fabs(a.forces[k] - b.forces[k]) / scale);
  return worst;
}

}  // namespace

int main(int, char** arguments) {
  std::ifstream file(arguments[1]);
  std::stringstream text;
  text << file.rdbuf();
  const Potential potential = parse_potential(text.str());
  Evaluator plain(potential), quick(potential);
  std::mt19937 random(1);
  std::uniform_real_distribution<double> place(0, box);
  std::normal_distribution<double> step(0, 0.05);
  const std::vector<int> species_of = {0, 1, 2};
  double worst = 0;
  int noted = 0;
  for (int atoms : {0, 1, 2, 9, 60, 400, 900}) {
    std::vector<double> x(3 * atoms + 3);
    std::vector<int> types(atoms + 1);
    for (double& value : x) value = place(random);
    for (int i = 0; i < atoms; ++i) types[i] = i % (atoms < 10 ? 2 : 3);
    const SpeciesView species = {types.data(), species_of.data()};
    Shortlist shortlist(potential.max_dist, 0.6);
    Neighbourhoods all, alike;
    for (int n = 0; n < 40; ++n) {
      if (n % 13 == 0) {
        const Lists lists(x, atoms);
        all.assign(lists.view(), species, 3);
        alike.assign_alike(potential.max_dist, x.data(), lists.view(), species, 3);
        shortlist.forget();
      }
      noted += shortlist.holds(x.data(), atoms) ? 0 : 1;
      Found expected(atoms), found(atoms);
      plain.compute(x.data(), all, expected.results);
      quick.compute(x.data(), atoms, alike, shortlist, found.results);
      worst = std::max(worst, difference(expected, found));
      for (double& value : x) value += step(random);
    }
  }
  std::printf("worst relative difference %g; neighbours noted %d times\n", worst, noted);
  return worst < 1e-12 && noted > 28 ? 0 : 1;
}
