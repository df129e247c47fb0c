// LAMMPS pair style `mtp/extrapolation`: moment tensor potentials that grade how far they extrapolate.
//
// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#pragma once

#include "active_set.hpp"
#include "pair_mtp.h"

namespace LAMMPS_NS {

class PairMTPExtrapolation : public PairMTP {
 public:
  explicit PairMTPExtrapolation(class LAMMPS *lmp);
  ~PairMTPExtrapolation() override;
  void compute(int eflag, int vflag) override;
  void settings(int narg, char **arg) override;
  void *extract(const char *name, int &dim) override;
  void *extract_peratom(const char *name, int &columns) override;

 protected:
  std::string style() const override { return "mtp/extrapolation"; }

 private:
  struct Atom {
    double tag, type, x, y, z, grade;
  };

  void load_active_set(const std::string &path);
  void open_output(const std::string &path);
  void close_output();
  bool due() const;
  double configuration_grade();
  double neighbourhood_grade();
  void act_on(double grade);
  std::vector<Atom> own_atoms() const;
  std::vector<Atom> all_atoms() const;
  void write_configuration(double grade);
  void print_configuration(const std::vector<Atom> &atoms, double grade) const;

  mtp::ActiveSet active_set_;
  bool neighbourhoods_ = false;  // grade every atom rather than the configuration
  int every_ = 1;
  double select_ = 0.0, break_ = 0.0;
  std::string output_path_;
  FILE *output_ = nullptr;
  std::vector<double> row_;
  std::vector<double> atom_grades_;  // by local atom, of the latest grading
  int grade_requested_ = 0;          // set by fix pair on its steps
};

}  // namespace LAMMPS_NS
