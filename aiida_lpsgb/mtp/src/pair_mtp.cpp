// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#include "pair_mtp.h"

#include <algorithm>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

// LAMMPS's lists reach further than the cutoff, by 2 A as a rule, and hold some three times as many neighbours.
constexpr double shortlist_margin = 0.6;

}  // namespace

PairMTP::PairMTP(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  // The kernel sums the virial itself, cheaper than a pass over all atoms and right for every neighbour list.
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
  comm_reverse_off = 3;
}

PairMTP::~PairMTP()
{
  if (copymode || !allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

void PairMTP::fail(const std::string &reason) const
{
  error->all(FLERR, std::string("Pair style ") + style() + ": " + reason);
}

std::string PairMTP::read_file(const std::string &path) const
{
  std::string content;
  long size = -1;
  if (comm->me == 0) {
    FILE *file = utils::open_potential(path, lmp, nullptr);
    if (file != nullptr) {
      char buffer[65536];
      while (const std::size_t n = fread(buffer, 1, sizeof(buffer), file)) content.append(buffer, n);
      if (ferror(file) == 0) size = static_cast<long>(content.size());
      fclose(file);
    }
  }
  MPI_Bcast(&size, 1, MPI_LONG, 0, world);
  if (size < 0) fail("cannot read " + path + ": " + utils::getsyserror());
  content.resize(size);
  // In pieces: one message holds at most 2^31 bytes.
  constexpr long piece = 1L << 28;
  for (long at = 0; at < size; at += piece)
    MPI_Bcast(&content[at], static_cast<int>(std::min(piece, size - at)), MPI_CHAR, 0, world);
  return content;
}

void PairMTP::load_potential(const std::string &path)
{
  try {
    potential_ = mtp::parse_potential(read_file(path));
    if (!potential_.trained()) throw std::invalid_argument("the potential is not trained: it has no coefficients");
    evaluator_ = std::make_unique<mtp::Evaluator>(potential_);
    shortlist_ = std::make_unique<mtp::Shortlist>(potential_.max_dist, shortlist_margin);
  } catch (const std::exception &e) {
    fail(path + ": " + e.what());
  }
  potential_path_ = path;
  // Another potential may have fewer species: every type must be mapped anew.
  species_of_.assign(atom->ntypes + 1, -1);
  if (allocated) allocate();
  if (comm->me == 0)
    utils::logmesg(lmp, "Pair style {}: {} has {} species, {} parameters, cutoff {} A; {} kernel\n", style(), path,
                   potential_.species_count, potential_.parameter_count(), potential_.max_dist,
                   evaluator_->kernel_name());
}

void PairMTP::take_species(int narg, char **arg)
{
  species_names_.clear();
  if (narg == 0) return;
  if (strcmp(arg[0], "species") != 0) fail(std::string("unexpected argument '") + arg[0] + "'");
  species_names_.assign(arg + 1, arg + narg);
  if (static_cast<int>(species_names_.size()) != potential_.species_count)
    fail(potential_path_ + " has " + std::to_string(potential_.species_count) + " species, but 'species' names " +
         std::to_string(species_names_.size()));
}

void PairMTP::settings(int narg, char **arg)
{
  if (narg < 1) fail("expected 'pair_style mtp FILE.mtp [species NAME ...]'");
  load_potential(arg[0]);
  take_species(narg - 1, arg + 1);
}

void PairMTP::allocate()
{
  const int n = atom->ntypes;
  if (!allocated) {
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    allocated = 1;
  }
  for (int i = 1; i <= n; i++)
    for (int j = i; j <= n; j++) setflag[i][j] = species_of_[i] >= 0 && species_of_[j] >= 0 ? 1 : 0;
}

void PairMTP::map_types(int narg, char **arg)
{
  species_of_.assign(atom->ntypes + 1, -1);
  if (narg == 0) {
    if (atom->ntypes > potential_.species_count)
      fail("there are " + std::to_string(atom->ntypes) + " atom types, but " + potential_path_ + " has " +
           std::to_string(potential_.species_count) + " species; name each type's in 'pair_coeff * * ...'");
    for (int type = 1; type <= atom->ntypes; type++) species_of_[type] = type - 1;
    return;
  }
  if (narg != atom->ntypes)
    fail("pair_coeff names " + std::to_string(narg) + " species for " + std::to_string(atom->ntypes) + " atom types");
  if (species_names_.empty())
    fail("species in pair_coeff need their order in the potential: pair_style ... species NAME ...");
  for (int k = 0; k < narg; k++) {
    if (strcmp(arg[k], "NULL") == 0) continue;
    for (std::size_t s = 0; s < species_names_.size(); s++)
      if (species_names_[s] == arg[k]) species_of_[k + 1] = static_cast<int>(s);
    if (species_of_[k + 1] < 0) fail(std::string("the potential has no species ") + arg[k]);
  }
}

void PairMTP::coeff(int narg, char **arg)
{
  // That the first two are * * LAMMPS itself sees to (one_coeff).
  map_types(narg - 2, arg + 2);
  allocate();
  sorted_types_.clear();
}

void PairMTP::check_units() const
{
  if (strcmp(update->unit_style, "metal") != 0) fail("the potential's units are eV and A: use 'units metal'");
}

void PairMTP::init_style()
{
  check_units();
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairMTP::init_one(int /*i*/, int /*j*/)
{
  return potential_.max_dist;
}

void PairMTP::compute(int eflag, int vflag)
{
  mtp::Results results;
  evaluate(eflag, vflag, results);
}

void PairMTP::evaluate(int eflag, int vflag, mtp::Results &results)
{
  ev_init(eflag, vflag);
  if (force->newton_pair) {
    results.forces = atom->nlocal + atom->nghost > 0 ? &atom->f[0][0] : nullptr;
  } else {
    ghost_forces_.assign(3 * static_cast<std::size_t>(atom->nlocal + atom->nghost), 0.0);
    results.forces = ghost_forces_.data();
  }
  results.want_virial = vflag_either != 0;
  if (eflag_atom) results.energies = eatom;
  if (vflag_atom) results.virials = reinterpret_cast<double(*)[6]>(&vatom[0][0]);
  run(results);
  if (!force->newton_pair) add_own_forces();
  if (eflag_global) eng_vdwl += results.energy;
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += results.virial[k];
}

void PairMTP::run(mtp::Results &results)
{
  sort_neighbours();
  const std::size_t all = atom->nlocal + atom->nghost;
  evaluator_->compute(all > 0 ? &atom->x[0][0] : nullptr, all, neighbourhoods_, *shortlist_, results);
}

// After every rebuild, and when a fix changes the types of atoms between rebuilds.
void PairMTP::sort_neighbours()
{
  const int *types = atom->type;
  const std::size_t all = atom->nlocal + atom->nghost;
  if (neighbor->ago > 0 && sorted_types_.size() == all && std::equal(types, types + all, sorted_types_.begin())) return;
  neighbourhoods_.assign_alike(potential_.max_dist, all > 0 ? &atom->x[0][0] : nullptr,
                               {list->inum, list->ilist, list->numneigh, list->firstneigh, NEIGHMASK},
                               {types, species_of_.data()}, potential_.species_count);
  shortlist_->forget();
  sorted_types_.assign(types, types + all);
}

// With newton off LAMMPS leaves the forces on ghosts where they are; every one of them is needed.
void PairMTP::add_own_forces()
{
  comm->reverse_comm(this);
  for (int i = 0; i < atom->nlocal; i++)
    for (int k = 0; k < 3; k++) atom->f[i][k] += ghost_forces_[3 * static_cast<std::size_t>(i) + k];
}

int PairMTP::pack_reverse_comm(int n, int first, double *buf)
{
  memcpy(buf, &ghost_forces_[3 * static_cast<std::size_t>(first)], 3 * sizeof(double) * n);
  return 3 * n;
}

void PairMTP::unpack_reverse_comm(int n, int *list, double *buf)
{
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 3; k++) ghost_forces_[3 * static_cast<std::size_t>(list[i]) + k] += buf[3 * i + k];
}

double PairMTP::memory_usage()
{
  return Pair::memory_usage() + static_cast<double>(ghost_forces_.capacity() * sizeof(double));
}
