// The Python module aiida_lpsgb.mtp._training.
//
// SPDX-License-Identifier: MIT
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "training.hpp"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;
using mtp::training::TrainingSet;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

void add(TrainingSet& set, const Array<int>& types, const Array<double>& positions, const Array<double>& cell,
         const Array<bool>& pbc, const Array<double>& targets, const Array<double>& weights) {
  const py::ssize_t count = types.size();
  require(types.ndim() == 1 && count > 0, "types must have the shape (n,), n > 0");
  require(positions.ndim() == 2 && positions.shape(0) == count && positions.shape(1) == 3,
          "positions must have the shape (n, 3)");
  require(cell.ndim() == 2 && cell.shape(0) == 3 && cell.shape(1) == 3, "cell must have the shape (3, 3)");
  require(pbc.ndim() == 1 && pbc.size() == 3, "pbc must have the shape (3,)");
  mtp::Cell box;
  for (int a = 0; a < 3; ++a) {
    box.periodic[a] = pbc.at(a);
    for (int k = 0; k < 3; ++k) box.vectors[a][k] = cell.at(a, k);
  }
  set.add(static_cast<int>(count), positions.data(), types.data(), box,
          {{targets.data(), targets.data() + targets.size()}, {weights.data(), weights.data() + weights.size()}});
}

const double* checked(const TrainingSet& set, const Array<double>& parameters) {
  require(parameters.ndim() == 1 && parameters.size() == static_cast<py::ssize_t>(set.parameters()),
          "there should be " + std::to_string(set.parameters()) + " parameters");
  return parameters.data();
}

template <typename Sums>
py::tuple as_tuple(Sums compute) {
  mtp::training::NormalEquations sums;
  {
    py::gil_scoped_release release;
    sums = compute();
  }
  const auto n = static_cast<py::ssize_t>(sums.gradient.size());
  Array<double> matrix({n, n}), gradient(n);
  std::copy(sums.matrix.begin(), sums.matrix.end(), matrix.mutable_data());
  std::copy(sums.gradient.begin(), sums.gradient.end(), gradient.mutable_data());
  return py::make_tuple(matrix, gradient, sums.loss);
}

}  // namespace

PYBIND11_MODULE(_training, module) {
  module.doc() = "Derivatives of moment tensor potentials with respect to their coefficients.";
  py::class_<TrainingSet>(module, "TrainingSet",
                          "Labelled configurations to which a potential's coefficients are fitted.")
      .def(py::init([](const std::string& text, const std::string& kernel) {
             return std::make_unique<TrainingSet>(mtp::parse_potential(text), kernel);
           }),
           py::arg("text"), py::arg("kernel") = "")
      .def("add", &add, py::arg("types"), py::arg("positions"), py::arg("cell"), py::arg("pbc"), py::arg("targets"),
           py::arg("weights"),
           R"(Add a configuration.

Parameters
----------
types : array of int, shape (n,)
positions : array of float, shape (n, 3)
    Cartesian coordinates in angstrom.
cell : array of float, shape (3, 3)
pbc : array of bool, shape (3,)
targets : array of float, shape (3 n + 7,)
    Energy (eV), forces (eV/angstrom, atom by atom), virial (eV, the sum of r f as xx yy zz yz xz xy).
weights : array of float, shape (3 n + 7,)
    Weights of the squared errors; zero where there is no label.
)")
      .def("__len__", &TrainingSet::size)
      .def_property_readonly("n_parameters", &TrainingSet::parameters)
      .def_property_readonly("kernel", &TrainingSet::kernel_name)
      .def(
          "normal_equations",
          [](const TrainingSet& set, const Array<double>& parameters, int threads) {
            const double* p = checked(set, parameters);
            return as_tuple([&] { return set.normal_equations(p, threads); });
          },
          py::arg("parameters"), py::arg("threads") = 1,
          "J^T W J (p, p), J^T W r (p,) and r^T W r of all configurations, with J the derivatives of the labels' "
          "predictions and r the predictions' errors.")
      .def(
          "linear_equations",
          [](const TrainingSet& set, const Array<double>& parameters, int threads) {
            const double* p = checked(set, parameters);
            return as_tuple([&] { return set.linear_equations(p, threads); });
          },
          py::arg("parameters"), py::arg("threads") = 1,
          "The same for the species and moment coefficients alone, which takes less time.")
      .def(
          "predict",
          [](const TrainingSet& set, std::size_t index, const Array<double>& parameters) {
            require(index < set.size(), "there is no configuration " + std::to_string(index));
            Array<double> values(static_cast<py::ssize_t>(set.rows(index)));
            set.evaluate(index, checked(set, parameters), values.mutable_data(), nullptr);
            return values;
          },
          py::arg("index"), py::arg("parameters"),
          "Energy, forces and virial of a configuration, in the order of its targets.")
      .def(
          "jacobian",
          [](const TrainingSet& set, std::size_t index, const Array<double>& parameters) {
            require(index < set.size(), "there is no configuration " + std::to_string(index));
            const auto rows = static_cast<py::ssize_t>(set.rows(index));
            Array<double> values(rows), jacobian({rows, static_cast<py::ssize_t>(set.parameters())});
            set.evaluate(index, checked(set, parameters), values.mutable_data(), jacobian.mutable_data());
            return jacobian;
          },
          py::arg("index"), py::arg("parameters"), "Derivatives (3 n + 7, p) of what `predict` returns.");
}
