// SPDX-License-Identifier: GPL-2.0-only
// See pair_mtp.h.
#include "pair_mtp_extrapolation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "neigh_list.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

// Numbers that went through text may differ in the last digit.
bool same(double a, double b)
{
  return std::fabs(a - b) <= 1e-10 * (1.0 + std::fabs(a));
}

bool same(const std::vector<double> &a, const std::vector<double> &b)
{
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) { return same(x, y); });
}

bool same(const mtp::Potential &a, const mtp::Potential &b)
{
  return a.species_count == b.species_count && a.radial_basis == b.radial_basis && same(a.scaling, b.scaling) &&
      same(a.min_dist, b.min_dist) && same(a.max_dist, b.max_dist) && a.radial_basis_size == b.radial_basis_size &&
      a.alpha_index_basic == b.alpha_index_basic && a.alpha_index_times == b.alpha_index_times &&
      a.alpha_moment_mapping == b.alpha_moment_mapping && same(a.radial_coeffs, b.radial_coeffs) &&
      same(a.species_coeffs, b.species_coeffs) && same(a.moment_coeffs, b.moment_coeffs);
}

}  // namespace

PairMTPExtrapolation::PairMTPExtrapolation(LAMMPS *lmp) : PairMTP(lmp)
{
  // The latest grade and the largest so far, for compute pair. That sums over processes, so only one holds them.
  nextra = 2;
  pvector = new double[nextra]();
}

PairMTPExtrapolation::~PairMTPExtrapolation()
{
  close_output();
  delete[] pvector;
}

void PairMTPExtrapolation::close_output()
{
  if (output_ != nullptr) fclose(output_);
  output_ = nullptr;
}

void PairMTPExtrapolation::settings(int narg, char **arg)
{
  if (narg < 6)
    fail("expected 'pair_style mtp/extrapolation FILE.mtp FILE.als EVERY GAMMA_SELECT GAMMA_BREAK OUT.cfg "
         "[configuration|neighborhood] [species NAME ...]'");
  load_potential(arg[0]);
  load_active_set(arg[1]);
  every_ = utils::inumeric(FLERR, arg[2], false, lmp);
  select_ = utils::numeric(FLERR, arg[3], false, lmp);
  break_ = utils::numeric(FLERR, arg[4], false, lmp);
  if (every_ < 1) fail("EVERY must be at least 1");
  if (!(select_ > 0.0) || !(break_ >= select_)) fail("0 < GAMMA_SELECT <= GAMMA_BREAK is required");
  neighbourhoods_ = active_set_.by_neighbourhoods();
  int next = 6;
  if (next < narg && strcmp(arg[next], "configuration") == 0) {
    neighbourhoods_ = false;
    next++;
  } else if (next < narg && strcmp(arg[next], "neighborhood") == 0) {
    neighbourhoods_ = true;
    next++;
  }
  take_species(narg - next, arg + next);
  row_.resize(potential_.parameter_count());
  pvector[0] = pvector[1] = 0.0;
  open_output(arg[5]);
}

void PairMTPExtrapolation::load_active_set(const std::string &path)
{
  try {
    active_set_ = mtp::parse_active_set(read_file(path));
  } catch (const std::exception &e) {
    fail(path + ": " + e.what());
  }
  if (!same(active_set_.potential, potential_))
    fail(path + " is an active set of another potential than " + potential_path_);
  if (active_set_.force_weight != 0.0 || active_set_.stress_weight != 0.0)
    fail(path + " was selected by forces or stresses; grades need an active set of energies or site energies");
  if (active_set_.energy_weight == 0.0 && active_set_.neighbourhood_weight == 0.0)
    fail(path + " was selected by nothing: its weights of energies and site energies are both 0");
}

// A new pair_style begins a new file; only a repeated one of the same run goes on with its own.
void PairMTPExtrapolation::open_output(const std::string &path)
{
  const bool again = output_ != nullptr && path == output_path_;
  int good = 1;
  if (comm->me == 0 && !again) {
    close_output();
    output_ = fopen(path.c_str(), "w");
    good = output_ != nullptr ? 1 : 0;
  }
  MPI_Bcast(&good, 1, MPI_INT, 0, world);
  if (!good) fail("cannot write " + path + ": " + utils::getsyserror());
  output_path_ = path;
}

bool PairMTPExtrapolation::due() const
{
  return grade_requested_ != 0 || update->ntimestep % every_ == 0;
}

void PairMTPExtrapolation::compute(int eflag, int vflag)
{
  if (!due()) {
    PairMTP::compute(eflag, vflag);
    return;
  }
  double grade = 0.0;
  mtp::Results results;
  if (neighbourhoods_) {
    atom_grades_.assign(std::max(atom->nmax, 1), 0.0);
    results.columns = active_set_.inverse_columns.data();
    results.grades = atom_grades_.data();
    evaluate(eflag, vflag, results);
    grade = neighbourhood_grade();
  } else {
    std::fill(row_.begin(), row_.end(), 0.0);
    results.row = row_.data();
    evaluate(eflag, vflag, results);
    grade = configuration_grade();
  }
  if (comm->me == 0) {
    pvector[0] = grade;
    pvector[1] = std::max(pvector[1], grade);
  }
  act_on(grade);
}

// The configuration's row is the scaled sum over all atoms.
double PairMTPExtrapolation::configuration_grade()
{
  MPI_Allreduce(MPI_IN_PLACE, row_.data(), static_cast<int>(row_.size()), MPI_DOUBLE, MPI_SUM, world);
  bigint own = list->inum, count = 0;
  MPI_Allreduce(&own, &count, 1, MPI_LMP_BIGINT, MPI_SUM, world);
  if (count == 0) return 0.0;
  const double scale = active_set_.energy_scale(static_cast<double>(count));
  for (double &value : row_) value *= scale;
  return active_set_.grade(row_.data());
}

double PairMTPExtrapolation::neighbourhood_grade()
{
  const double scale = std::fabs(active_set_.site_scale());
  double own = 0.0, largest = 0.0;
  for (int k = 0; k < list->inum; k++) {
    const double grade = atom_grades_[list->ilist[k]] *= scale;
    // Comparisons forget what is not a number; no finite grade is worse.
    own = std::isnan(grade) ? std::numeric_limits<double>::infinity() : std::max(own, grade);
  }
  MPI_Allreduce(&own, &largest, 1, MPI_DOUBLE, MPI_MAX, world);
  return largest;
}

void PairMTPExtrapolation::act_on(double grade)
{
  // Atoms in one place have no finite grade: there is nothing to learn from them, but the run ends.
  if (std::isfinite(grade) && grade > select_) write_configuration(grade);
  if (grade <= break_) return;
  const std::string message = fmt::format("MTP extrapolation: grade {:.6g} at step {} exceeds the break threshold {:g}",
                                          grade, update->ntimestep, break_);
  if (comm->me == 0) utils::logmesg(lmp, message + "\n");
  error->all(FLERR, message);
}

std::vector<PairMTPExtrapolation::Atom> PairMTPExtrapolation::own_atoms() const
{
  std::vector<Atom> atoms;
  for (int k = 0; k < list->inum; k++) {
    const int i = list->ilist[k];
    double x[3] = {atom->x[i][0], atom->x[i][1], atom->x[i][2]};
    // Between rebuilds of neighbour lists atoms stray out of the box.
    domain->remap(x);
    atoms.push_back({static_cast<double>(atom->tag[i]), static_cast<double>(species_of_[atom->type[i]]),
                     x[0] - domain->boxlo[0], x[1] - domain->boxlo[1], x[2] - domain->boxlo[2],
                     neighbourhoods_ ? atom_grades_[i] : 0.0});
  }
  return atoms;
}

// Everyone's atoms on the first process, ordered by their identifiers.
std::vector<PairMTPExtrapolation::Atom> PairMTPExtrapolation::all_atoms() const
{
  constexpr int width = sizeof(Atom) / sizeof(double);
  std::vector<Atom> own = own_atoms();  // not const: see MPI_Gatherv of LAMMPS's STUBS
  int size = width * static_cast<int>(own.size());
  std::vector<int> sizes(comm->nprocs, 0), starts(comm->nprocs, 0);
  MPI_Gather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, 0, world);
  int total = 0;
  for (int p = 0; p < comm->nprocs; p++) {
    starts[p] = total;
    total += sizes[p];
  }
  std::vector<Atom> all(total / width);
  MPI_Gatherv(own.data(), size, MPI_DOUBLE, all.data(), sizes.data(), starts.data(), MPI_DOUBLE, 0, world);
  std::sort(all.begin(), all.end(), [](const Atom &a, const Atom &b) { return a.tag < b.tag; });
  return all;
}

void PairMTPExtrapolation::write_configuration(double grade)
{
  const std::vector<Atom> atoms = all_atoms();
  int good = 1;
  if (comm->me == 0) {
    print_configuration(atoms, grade);
    // At once: the run may die before the next one.
    good = fflush(output_) == 0 && ferror(output_) == 0 ? 1 : 0;
  }
  MPI_Bcast(&good, 1, MPI_INT, 0, world);
  if (!good) fail("cannot write " + output_path_ + ": " + utils::getsyserror());
}

void PairMTPExtrapolation::print_configuration(const std::vector<Atom> &atoms, double grade) const
{
  const double cell[3][3] = {
      {domain->xprd, 0.0, 0.0}, {domain->xy, domain->yprd, 0.0}, {domain->xz, domain->yz, domain->zprd}};
  const int periodic[3] = {domain->xperiodic, domain->yperiodic, domain->zperiodic};
  fprintf(output_, "BEGIN_CFG\n Size\n%8zu\n", atoms.size());
  if (periodic[0] || periodic[1] || periodic[2]) fprintf(output_, " Supercell\n");
  for (int a = 0; a < 3; a++)
    if (periodic[a]) fprintf(output_, "  %20.12f %20.12f %20.12f\n", cell[a][0], cell[a][1], cell[a][2]);
  fprintf(output_, " AtomData:  id type       cartes_x      cartes_y      cartes_z\n");
  long id = 0;
  for (const Atom &a : atoms)
    fprintf(output_, "%10ld %4d  %20.12f %20.12f %20.12f\n", ++id, static_cast<int>(a.type), a.x, a.y, a.z);
  fprintf(output_, " Feature   MV_grade\t%.6f\n Feature   timestep\t" BIGINT_FORMAT "\n", grade, update->ntimestep);
  if (neighbourhoods_) {
    // A feature, since MLIP-2 refuses a file with a column that it does not know.
    fprintf(output_, " Feature   nbh_grades\t");
    for (const Atom &a : atoms) fprintf(output_, " %.6g", a.grade);
    fprintf(output_, "\n");
  }
  fprintf(output_, "END_CFG\n\n");
}

void *PairMTPExtrapolation::extract(const char *name, int &dim)
{
  dim = 0;
  if (strcmp(name, "extrapolation_flag") == 0) return &grade_requested_;
  if (strcmp(name, "grade") == 0) return &pvector[0];
  if (strcmp(name, "largest_grade") == 0) return &pvector[1];
  return nullptr;
}

void *PairMTPExtrapolation::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "extrapolation") != 0) return nullptr;
  if (!neighbourhoods_) fail("grades of atoms exist in neighborhood mode only");
  atom_grades_.resize(std::max<std::size_t>(atom_grades_.size(), atom->nmax), 0.0);
  columns = 0;
  return atom_grades_.data();
}
