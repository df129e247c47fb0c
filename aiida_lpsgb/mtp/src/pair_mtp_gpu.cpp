// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#include "pair_mtp_gpu.h"

#include <algorithm>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

// How many processes of lower rank run on the same machine.
int rank_on_machine(MPI_Comm world, int me, int count)
{
  char own[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0;
  MPI_Get_processor_name(own, &length);
  std::vector<char> names(static_cast<std::size_t>(count) * sizeof own);
  MPI_Allgather(own, sizeof own, MPI_CHAR, names.data(), sizeof own, MPI_CHAR, world);
  int before = 0;
  for (int rank = 0; rank < me; rank++)
    if (strncmp(&names[rank * sizeof own], own, sizeof own) == 0) before++;
  return before;
}

}  // namespace

template <class Base>
void PairOnGPU<Base>::settings(int narg, char **arg)
{
  std::string device = "auto", precision = "double";
  std::vector<char *> others;
  for (int k = 0; k < narg; k++) {
    std::string *value = nullptr;
    if (strcmp(arg[k], "device") == 0) value = &device;
    if (strcmp(arg[k], "precision") == 0) value = &precision;
    if (value == nullptr) {
      const bool rest = strcmp(arg[k], "species") == 0;  // whose names may be any
      others.insert(others.end(), arg + k, rest ? arg + narg : arg + k + 1);
      if (rest) break;
    } else if (++k < narg) {
      *value = arg[k];
    } else {
      this->fail(std::string(arg[k - 1]) + " needs a value");
    }
  }
  if (precision != "double" && precision != "mixed") this->fail("precision is " + precision + ", not double or mixed");
  const bool number = !device.empty() && device.find_first_not_of("0123456789") == std::string::npos;
  if (device != "auto" && device != "host" && !number)
    this->fail("device is " + device + ", not auto, the number of a card, or host");
  Base::settings(static_cast<int>(others.size()), others.data());
  if (device == "auto") device = std::to_string(rank_on_machine(this->world, this->comm->me, this->comm->nprocs));
  open_device(device, precision == "mixed");
}

template <class Base>
void PairOnGPU<Base>::open_device(const std::string &device, bool mixed)
{
  const Comm *comm = this->comm;
  evaluator_on_gpu_.reset();
  std::string problem;
  // The first process compiles the kernels, the others find them compiled.
  for (const bool first : {true, false}) {
    if ((comm->me == 0) == first) try {
        evaluator_on_gpu_ = std::make_unique<mtp::gpu::DeviceEvaluator>(this->potential_,
                                                                        mtp::gpu::open_device(device), mixed);
      } catch (const std::exception &e) {
        problem = e.what();
      }
    MPI_Barrier(this->world);
  }
  int failed = problem.empty() ? 0 : 1, all = 0;
  MPI_Allreduce(&failed, &all, 1, MPI_INT, MPI_MIN, this->world);
  if (all) this->fail(problem);
  if (failed) this->error->one(FLERR, "Pair style " + style() + ": " + problem);
  stale_ = true;
  if (comm->me == 0)
    utils::logmesg(this->lmp, "Pair style {}: {} precision on {}\n", style(), mixed ? "mixed" : "double",
                   evaluator_on_gpu_->device_name());
}

// The device finds neighbours by itself where all pairs of atoms within the cutoff are neighbours.
template <class Base>
bool PairOnGPU<Base>::needs_list() const
{
  const Neighbor *neighbor = this->neighbor;
  return this->force->pair != this || this->atom->molecular != Atom::ATOMIC || neighbor->includegroup != 0 ||
      neighbor->nex_type + neighbor->nex_group + neighbor->nex_mol > 0;
}

template <class Base>
void PairOnGPU<Base>::init_style()
{
  this->check_units();
  stale_ = true;
  if (needs_list())
    this->neighbor->add_request(this, NeighConst::REQ_FULL);
  else if (std::is_base_of_v<PairMTPExtrapolation, Base>)
    this->neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_OCCASIONAL);  // to grade with
}

template <class Base>
void PairOnGPU<Base>::run(mtp::Results &results)
{
  if (this->neighbor->ago == 0) stale_ = true;
  if (results.row != nullptr || results.grades != nullptr) {
    if (!needs_list()) this->neighbor->build_one(this->list);
    this->sorted_types_.clear();  // lists may have been rebuilt in steps that were not graded
    Base::run(results);
    return;
  }
  const Atom *atom = this->atom;
  try {
    const std::size_t all = atom->nlocal + atom->nghost;
    if (stale_ || assigned_types_.size() != all || !std::equal(atom->type, atom->type + all, assigned_types_.begin()))
      assign();
    evaluator_on_gpu_->compute(atom->nlocal > 0 ? &atom->x[0][0] : nullptr, results);
  } catch (const std::exception &e) {
    this->error->one(FLERR, "Pair style " + style() + ": " + e.what());
  }
}

template <class Base>
void PairOnGPU<Base>::assign()
{
  const Atom *atom = this->atom;
  const int all = atom->nlocal + atom->nghost;
  const mtp::SpeciesView species = {atom->type, this->species_of_.data()};
  if (needs_list()) {
    const NeighList *list = this->list;
    evaluator_on_gpu_->assign({list->inum, list->ilist, list->numneigh, list->firstneigh, NEIGHMASK}, all, species);
  } else {
    evaluator_on_gpu_->assign(atom->nlocal, all, species, this->potential_.max_dist + this->neighbor->skin);
  }
  assigned_types_.assign(atom->type, atom->type + all);
  stale_ = false;
}

template class LAMMPS_NS::PairOnGPU<PairMTP>;
template class LAMMPS_NS::PairOnGPU<PairMTPExtrapolation>;
