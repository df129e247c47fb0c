// The Python module aiida_lpsgb.mtp._core.
//
// SPDX-License-Identifier: MIT
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

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
      .def_property_readonly("radial_basis_type", [](const Potential& p) { return mtp::radial_basis_name(p.radial_basis); })
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

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Evaluation of moment tensor potentials.";
  py::register_exception<mtp::FormatError>(module, "MTPFormatError", PyExc_ValueError);
  bind_potential(module);
}
