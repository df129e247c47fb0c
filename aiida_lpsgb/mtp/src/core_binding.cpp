// The Python module aiida_lpsgb.mtp._core.
//
// SPDX-License-Identifier: MIT
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "evaluator.hpp"
#include "gpu/evaluator.hpp"
#include "periodic.hpp"
#include "potential.hpp"

namespace py = pybind11;

namespace {

void bind_potential(py::module_& module) {
  using mtp::Potential;
  py::class_<Potential>(module, "Potential", "A moment tensor potential read from the text of a .mtp file.")
      .def(py::init([](const std::string& text) { return mtp::parse_potential(text); }), py::arg("text"))
      .def("to_string", &mtp::format_potential, "The potential as .mtp text that reads back without loss.")
      .def_readonly("name", &Potential::name)
      .def_readonly("scaling", &Potential::scaling)
      .def_readonly("species_count", &Potential::species_count)
      .def_property_readonly("radial_basis_type",
                             [](const Potential& p) { return mtp::radial_basis_name(p.radial_basis); })
      .def_readonly("min_dist", &Potential::min_dist)
      .def_readonly("max_dist", &Potential::max_dist)
      .def_readonly("radial_basis_size", &Potential::radial_basis_size)
      .def_readonly("radial_funcs_count", &Potential::radial_funcs_count)
      .def_readonly("alpha_moments_count", &Potential::alpha_moments_count)
      .def_readonly("alpha_index_basic", &Potential::alpha_index_basic)
      .def_readonly("alpha_index_times", &Potential::alpha_index_times)
      .def_readonly("alpha_moment_mapping", &Potential::alpha_moment_mapping)
      .def_readonly("radial_coeffs", &Potential::radial_coeffs)
      .def_readonly("species_coeffs", &Potential::species_coeffs)
      .def_readonly("moment_coeffs", &Potential::moment_coeffs)
      .def_property_readonly("trained", &Potential::trained)
      .def_property_readonly("parameter_count", &Potential::parameter_count);
}

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// What Python hands over for one configuration, checked.
mtp::PeriodicNeighbours neighbours_of(const mtp::Potential& potential, const Array<int>& types,
                                      const Array<double>& positions, const Array<double>& cell,
                                      const Array<bool>& pbc) {
  if (types.ndim() != 1) throw std::invalid_argument("types must have the shape (n,)");
  const int count = static_cast<int>(types.size());
  if (positions.ndim() != 2 || positions.shape(0) != count || positions.shape(1) != 3)
    throw std::invalid_argument("positions must have the shape (" + std::to_string(count) + ", 3)");
  if (cell.ndim() != 2 || cell.shape(0) != 3 || cell.shape(1) != 3)
    throw std::invalid_argument("cell must have the shape (3, 3)");
  if (pbc.ndim() != 1 || pbc.size() != 3) throw std::invalid_argument("pbc must have the shape (3,)");
  for (int i = 0; i < count; ++i)
    if (types.at(i) < 0 || types.at(i) >= potential.species_count)
      throw std::invalid_argument("atom " + std::to_string(i) + " has type " + std::to_string(types.at(i)) +
                                  ", the potential has species 0 to " + std::to_string(potential.species_count - 1));
  mtp::Cell box;
  for (int a = 0; a < 3; ++a) {
    box.periodic[a] = pbc.at(a);
    for (int k = 0; k < 3; ++k) box.vectors[a][k] = cell.at(a, k);
  }
  return mtp::PeriodicNeighbours(count, positions.data(), types.data(), box, potential.max_dist,
                                 potential.species_count);
}

// Energy, energies and forces of atoms, and the virial, by name.
py::dict named(const mtp::Results& results, const Array<double>& energies, const Array<double>& forces) {
  Array<double> virial(6);
  std::copy_n(results.virial, 6, virial.mutable_data());
  py::dict out;
  out["energy"] = results.energy;
  out["energies"] = energies;
  out["forces"] = forces;
  out["virial"] = virial;
  return out;
}

// A potential with its compiled program. One evaluation at a time: the work space is the object's own.
class PythonEvaluator {
 public:
  PythonEvaluator(const mtp::Potential& potential, const std::string& kernel)
      : potential_(potential), evaluator_(potential, kernel) {}

  std::string kernel() const { return evaluator_.kernel_name(); }
  const mtp::Program& program() const { return evaluator_.program(); }

  py::dict evaluate(const Array<int>& types, const Array<double>& positions, const Array<double>& cell,
                    const Array<bool>& pbc) {
    const mtp::PeriodicNeighbours near = neighbours_of(potential_, types, positions, cell, pbc);
    Array<double> energies(types.size()), forces({types.size(), py::ssize_t{3}});
    std::fill_n(energies.mutable_data(), energies.size(), 0.0);
    std::fill_n(forces.mutable_data(), forces.size(), 0.0);
    std::vector<double> all(3 * near.total(), 0.0);
    mtp::Results results;
    results.want_virial = true;
    results.forces = all.data();
    results.energies = energies.mutable_data();
    {
      py::gil_scoped_release release;
      evaluator_.compute(near.positions(), near.neighbourhoods(), results);
    }
    near.fold(all, forces.mutable_data());
    return named(results, energies, forces);
  }

  // dE_i/dp of every atom, [atoms][parameters].
  Array<double> rows(const Array<int>& types, const Array<double>& positions, const Array<double>& cell,
                     const Array<bool>& pbc) {
    const mtp::PeriodicNeighbours near = neighbours_of(potential_, types, positions, cell, pbc);
    const py::ssize_t size = static_cast<py::ssize_t>(potential_.parameter_count());
    Array<double> out({types.size(), size});
    std::vector<double> all(3 * near.total(), 0.0);
    mtp::Results results;
    results.forces = all.data();
    results.rows = out.mutable_data();
    {
      py::gil_scoped_release release;
      evaluator_.compute(near.positions(), near.neighbourhoods(), results);
    }
    return out;
  }

 private:
  mtp::Potential potential_;
  mtp::Evaluator evaluator_;
};

void bind_evaluator(py::module_& module) {
  const char* arguments = R"(

Parameters
----------
types : array of int, shape (n,)
    The potential's species of each atom, from 0.
positions : array of float, shape (n, 3)
    Cartesian coordinates in angstrom.
cell : array of float, shape (3, 3)
    Cell vectors as rows in angstrom; vectors of directions without period may be zero.
pbc : array of bool, shape (3,)
    Which directions are periodic.
)";
  const std::string evaluate_doc = std::string("Energy, forces and virial of a configuration.") + arguments + R"(
Returns
-------
dict
    energy (eV), energies (n,), forces (n, 3) in eV/angstrom and virial (6,) in eV: the sum of r f as
    xx yy zz xy xz yz, so that the stress is -virial / volume.
)";
  const std::string rows_doc =
      std::string("Derivatives of each atom's energy with respect to all coefficients.") + arguments + R"(
Returns
-------
array of float, shape (n, parameters)
    In the order radial, species, moment coefficients.
)";
  py::class_<PythonEvaluator>(module, "Evaluator",
                              "Evaluates a potential. `kernel` names one of available_kernels(); the best by default.")
      .def(py::init<const mtp::Potential&, const std::string&>(), py::arg("potential"), py::arg("kernel") = "")
      .def_property_readonly("kernel", &PythonEvaluator::kernel)
      .def_property_readonly(
          "flops_per_atom", [](const PythonEvaluator& e) { return e.program().flops_per_atom(); },
          "Floating-point operations of energy and forces of one atom, its neighbours aside.")
      .def_property_readonly(
          "flops_per_neighbour", [](const PythonEvaluator& e) { return e.program().flops_per_neighbour(); },
          "Floating-point operations that each neighbour within the cutoff adds.")
      .def("evaluate", &PythonEvaluator::evaluate, py::arg("types"), py::arg("positions"), py::arg("cell"),
           py::arg("pbc"), evaluate_doc.c_str())
      .def("rows", &PythonEvaluator::rows, py::arg("types"), py::arg("positions"), py::arg("cell"), py::arg("pbc"),
           rows_doc.c_str());
  module.def("available_kernels", &mtp::available_kernels,
             "Names of the instruction sets that this build has and this processor runs, best last.");
  module.def(
      "evaluate",
      [](const mtp::Potential& potential, const Array<int>& types, const Array<double>& positions,
         const Array<double>& cell, const Array<bool>& pbc) {
        return PythonEvaluator(potential, "").evaluate(types, positions, cell, pbc);
      },
      py::arg("potential"), py::arg("types"), py::arg("positions"), py::arg("cell"), py::arg("pbc"),
      "One evaluation; see Evaluator.evaluate, which is faster for many.");
}

// The same by a device that runs the GPU's kernels.
class PythonDeviceEvaluator {
 public:
  PythonDeviceEvaluator(const mtp::Potential& potential, const std::string& device, bool mixed)
      : potential_(potential),
        evaluator_(potential, mtp::gpu::open_device(device), mixed) {}

  std::string device() const { return evaluator_.device_name(); }
  double time_step(int repeats) {
    py::gil_scoped_release release;
    return evaluator_.time_step(repeats);
  }

  py::dict evaluate(const Array<int>& types, const Array<double>& positions, const Array<double>& cell,
                    const Array<bool>& pbc, double skin, bool want_virials) {
    const mtp::PeriodicNeighbours near = neighbours_of(potential_, types, positions, cell, pbc);
    const int count = static_cast<int>(types.size()), all = static_cast<int>(near.total());
    Array<double> energies(count), forces({count, 3}), virials({count, 6});
    for (auto* array : {&energies, &forces, &virials}) std::fill_n(array->mutable_data(), array->size(), 0.0);
    std::vector<double> every(3 * near.total(), 0.0), own_virials(6 * near.total(), 0.0), own_energies(all, 0.0);
    std::vector<int> species(potential_.species_count), kinds(all);
    for (int s = 0; s < potential_.species_count; ++s) species[s] = s;
    for (int i = 0; i < all; ++i) kinds[i] = types.at(near.owners()[i]);
    mtp::Results results;
    results.forces = every.data();
    results.energies = own_energies.data();
    if (want_virials) results.virials = reinterpret_cast<double(*)[6]>(own_virials.data());
    {
      py::gil_scoped_release release;
      evaluator_.assign(count, all, {kinds.data(), species.data()}, potential_.max_dist + skin);
      evaluator_.compute(near.positions(), results);
    }
    near.fold(every, forces.mutable_data());
    std::copy_n(own_energies.data(), count, energies.mutable_data());
    std::copy_n(own_virials.data(), 6 * count, virials.mutable_data());
    py::dict out = named(results, energies, forces);
    if (want_virials) out["virials"] = virials;
    return out;
  }

 private:
  mtp::Potential potential_;
  mtp::gpu::DeviceEvaluator evaluator_;
};

void bind_gpu(py::module_& module) {
  py::register_exception<mtp::gpu::DeviceError>(module, "DeviceError", PyExc_RuntimeError);
  py::class_<PythonDeviceEvaluator>(module, "DeviceEvaluator", R"(Evaluates a potential by the GPU's kernels.

`device`: number of the card, or "host" for the emulation on the host, which is slow. `mixed`: sums over neighbours in
single precision. Raises DeviceError where the kernels cannot run.)")
      .def(py::init<const mtp::Potential&, const std::string&, bool>(), py::arg("potential"), py::arg("device") = "0",
           py::arg("mixed") = false)
      .def_property_readonly("device", &PythonDeviceEvaluator::device, "What the device is.")
      .def("evaluate", &PythonDeviceEvaluator::evaluate, py::arg("types"), py::arg("positions"), py::arg("cell"),
           py::arg("pbc"), py::arg("skin") = 0.0, py::arg("virials") = false,
           "See Evaluator.evaluate; on wish also virials (n, 6) of atoms. `skin` (angstrom) widens the neighbour list.")
      .def("time_step", &PythonDeviceEvaluator::time_step, py::arg("repeats") = 20,
           "Median microseconds of the kernels of one step, of what was evaluated last.");
  module.def(
      "gpu_source",
      [](const mtp::Potential& potential, bool mixed, bool atom_virials, long shared_limit) {
        const mtp::CompiledProgram program(potential);
        return mtp::gpu::Source(program.view(), mixed, shared_limit).text(atom_virials, false);
      },
      py::arg("potential"), py::arg("mixed") = false, py::arg("atom_virials") = false,
      py::arg("shared_limit") = 227 * 1024,
      "Source of the kernels of a potential, for a card with so much shared memory.");
  module.def(
      "gpu_compile",
      [](const std::string& source, const std::string& architecture) {
        std::string image;
        {
          py::gil_scoped_release release;
          image = mtp::gpu::compile(source, architecture);
        }
        return py::bytes(image);
      },
      py::arg("source"), py::arg("architecture") = "sm_90",
      "Compile kernels by NVRTC; needs no card. Raises DeviceError.");
  module.def("nvrtc_description", &mtp::gpu::nvrtc_description, "Version and file of NVRTC. Raises DeviceError.");
  module.def(
      "card_description", [](int number) { return mtp::gpu::open_card(number)->name(); }, py::arg("number") = 0,
      "What the card is. Raises DeviceError.");
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Evaluation of moment tensor potentials.";
  py::register_exception<mtp::FormatError>(module, "MTPFormatError", PyExc_ValueError);
  bind_potential(module);
  bind_evaluator(module);
  bind_gpu(module);
}
