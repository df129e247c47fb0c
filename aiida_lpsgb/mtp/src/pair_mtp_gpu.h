// LAMMPS pair styles `mtp/gpu` and `mtp/extrapolation/gpu`: energies and forces by a GPU.
//
// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#pragma once

#include "gpu/evaluator.hpp"
#include "pair_mtp.h"
#include "pair_mtp_extrapolation.h"

namespace LAMMPS_NS {

template <class Base>
class PairOnGPU : public Base {
 public:
  using Base::Base;
  void settings(int narg, char **arg) override;
  void init_style() override;

 protected:
  std::string style() const override { return Base::style() + "/gpu"; }
  void run(mtp::Results &results) override;

 private:
  void open_device(const std::string &device, bool mixed);
  bool needs_list() const;
  void assign();

  std::unique_ptr<mtp::gpu::DeviceEvaluator> evaluator_on_gpu_;
  std::vector<int> assigned_types_;  // of all atoms when the device was told of them
  bool stale_ = true;                // LAMMPS has other atoms or neighbours since
};

using PairMTPGPU = PairOnGPU<PairMTP>;
using PairMTPExtrapolationGPU = PairOnGPU<PairMTPExtrapolation>;

}  // namespace LAMMPS_NS
