// LAMMPS pair style `mtp`: moment tensor potentials.
//
// SPDX-License-Identifier: GPL-2.0-only
// This file includes headers of LAMMPS and is therefore, unlike the evaluation library that it calls, distributed
// under LAMMPS's GNU General Public License version 2 (LICENSES/GPL-2.0-only.txt).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evaluator.hpp"
#include "pair.h"

namespace LAMMPS_NS {

class PairMTP : public Pair {
 public:
  explicit PairMTP(class LAMMPS *lmp);
  ~PairMTP() override;
  void compute(int eflag, int vflag) override;
  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;
  int pack_reverse_comm(int n, int first, double *buf) override;
  void unpack_reverse_comm(int n, int *list, double *buf) override;
  double memory_usage() override;

 protected:
  virtual std::string style() const { return "mtp"; }
  void check_units() const;
  // Content of a file, read by one process for all.
  std::string read_file(const std::string &path) const;
  void load_potential(const std::string &path);
  // "species Li P S" at the end of pair_style's arguments.
  void take_species(int narg, char **arg);
  // Energies and forces into LAMMPS, and whatever else `results` asks for.
  void evaluate(int eflag, int vflag, mtp::Results &results);
  // What `evaluate` asks for, of the atoms and neighbours at hand.
  virtual void run(mtp::Results &results);
  [[noreturn]] void fail(const std::string &reason) const;

  mtp::Potential potential_;
  std::string potential_path_;
  std::vector<std::string> species_names_;
  std::vector<int> species_of_;    // by LAMMPS type; -1 where another pair style takes over
  std::vector<int> sorted_types_;  // of all atoms when their neighbours were sorted

 private:
  void map_types(int narg, char **arg);
  void allocate();
  void sort_neighbours();
  void add_own_forces();

  std::unique_ptr<mtp::Evaluator> evaluator_;
  mtp::Neighbourhoods neighbourhoods_;
  std::unique_ptr<mtp::Shortlist> shortlist_;
  std::vector<double> ghost_forces_;  // forces of all atoms where LAMMPS does not send those of ghosts home
};

}  // namespace LAMMPS_NS
