// The Python module aiida_lpsgb.mtp._tools.
//
// SPDX-License-Identifier: MIT
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "configurations.hpp"
#include "potential.hpp"
#include "report.hpp"
#include "selection.hpp"

namespace py = pybind11;

namespace {

using namespace mtp;
template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

std::vector<double> copied(const Array<double>& values, std::size_t size, const char* what) {
  require(static_cast<std::size_t>(values.size()) == size,
          std::string(what) + " should be " + std::to_string(size) + " numbers");
  return {values.data(), values.data() + values.size()};
}

Array<double> array_of(const std::vector<double>& values, std::vector<py::ssize_t> shape) {
  Array<double> out(std::move(shape));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

Structure make_structure(const Array<int>& types, const Array<double>& positions, const Array<double>& cell,
                         const Array<bool>& pbc) {
  Structure structure;
  require(types.ndim() == 1, "types must have the shape (n,)");
  structure.types.assign(types.data(), types.data() + types.size());
  structure.positions = copied(positions, 3 * structure.types.size(), "the positions");
  require(cell.size() == 9 && pbc.size() == 3, "a cell of three vectors and pbc of three values are needed");
  for (int a = 0; a < 3; ++a) {
    structure.cell.periodic[a] = pbc.data()[a];
    for (int k = 0; k < 3; ++k) structure.cell.vectors[a][k] = cell.data()[3 * a + k];
  }
  return structure;
}

// A property of one number for each atom, or several; None where there is none.
template <std::vector<double> Structure::*member>
void bind_list(py::class_<Structure>& type, const char* name, bool atomic, py::ssize_t width) {
  type.def_property(
      name,
      [width](const Structure& s) -> py::object {
        const std::vector<double>& values = s.*member;
        if (values.empty()) return py::none();
        if (width != 3) return array_of(values, {static_cast<py::ssize_t>(values.size())});
        return array_of(values, {static_cast<py::ssize_t>(values.size()) / 3, 3});
      },
      [name, atomic, width](Structure& s, const Array<double>& values) {
        s.*member = copied(values, (atomic ? s.types.size() : 1) * width, name);
      });
}

void bind_structure(py::module_& module) {
  py::class_<Structure> type(module, "Structure", "One configuration as a `.cfg` file holds it; types instead of symbols.");
  type.def(py::init(&make_structure), py::arg("types"), py::arg("positions"), py::arg("cell"), py::arg("pbc"))
      .def_property_readonly("types", [](const Structure& s) { return Array<int>(s.types.size(), s.types.data()); })
      .def_property_readonly("cell", [](const Structure& s) { return Array<double>({3, 3}, &s.cell.vectors[0][0]); })
      .def_property_readonly("pbc", [](const Structure& s) { return Array<bool>(3, s.cell.periodic); })
      .def("shortest_distance", &Structure::shortest_distance, "Å; infinite for a lone atom.")
      .def_property(
          "features",
          [](const Structure& s) {
            std::vector<std::pair<py::bytes, py::bytes>> out;
            for (const Feature& f : s.features) out.emplace_back(f.key, f.value);
            return out;
          },
          [](Structure& s, const std::vector<std::pair<std::string, std::string>>& features) {
            s.features.clear();
            for (const auto& [key, value] : features) s.features.push_back({key, value});
          },
          "Lines of features: key and value as bytes.");
  bind_list<&Structure::positions>(type, "positions", true, 3);
  bind_list<&Structure::forces>(type, "forces", true, 3);
  bind_list<&Structure::site_energies>(type, "site_energies", true, 1);
  bind_list<&Structure::charges>(type, "charges", true, 1);
  bind_list<&Structure::neighbourhood_grades>(type, "neighbourhood_grades", true, 1);
  bind_list<&Structure::energy>(type, "energy", false, 1);
  bind_list<&Structure::virial>(type, "virial", false, 6);
}

// A reader and what it reads.
class PythonReader {
 public:
  PythonReader(std::unique_ptr<InputFile> file, std::string content, int species, bool empty)
      : file_(std::move(file)), content_(std::move(content)), reader_(file_ ? file_->text() : content_, species, empty) {}

  Structure next() {
    Structure structure;
    if (!reader_.next(structure)) throw py::stop_iteration();
    return structure;
  }

 private:
  std::unique_ptr<InputFile> file_;
  std::string content_;
  StructureReader reader_;
};

void bind_files(py::module_& module) {
  py::class_<PythonReader>(module, "Reader", "Iterates over the configurations of a `.cfg` file, text or binary.")
      .def_static(
          "of_file",
          [](const std::string& path, int species) {
            return std::make_unique<PythonReader>(std::make_unique<InputFile>(path), "", species, false);
          },
          py::arg("path"), py::arg("species"))
      .def_static(
          "of_bytes",
          [](const py::bytes& content, int species, bool empty) {
            return std::make_unique<PythonReader>(nullptr, content, species, empty);
          },
          py::arg("content"), py::arg("species"), py::arg("empty") = false)
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__", &PythonReader::next);
  module.def(
      "format_structure",
      [](const Structure& structure) {
        std::string text;
        append_text(text, structure);
        return py::bytes(text);
      },
      "The text of a configuration.");
}

void bind_report(py::module_& module) {
  py::class_<Statistics>(module, "Statistics", "Absolute errors of one quantity.")
      .def_readonly("count", &Statistics::count, "Number of errors.")
      .def_readonly("maximum", &Statistics::largest, "Largest length of an error, 0 without any.")
      .def_property_readonly("mae", &Statistics::mae, "Mean length of an error, divided by the number of components.")
      .def_property_readonly("rmse", &Statistics::rmse, "Root mean square error of a component.");
  py::class_<ErrorReport>(module, "ErrorReport",
                          "Errors of energies (eV), energies per atom (eV), forces (eV/Å), virials (eV) and stresses (GPa).")
      .def(py::init<>())
      .def_readonly("energy", &ErrorReport::energy)
      .def_readonly("energy_per_atom", &ErrorReport::energy_per_atom)
      .def_readonly("forces", &ErrorReport::forces)
      .def_readonly("virial", &ErrorReport::virial)
      .def_readonly("stress", &ErrorReport::stress)
      .def(
          "add",
          [](ErrorReport& report, const Structure& known, double energy, const Array<double>& forces,
             const Array<double>& virial) {
            report.add(known, energy, copied(forces, known.positions.size(), "the forces").data(),
                       copied(virial, 6, "the virial").data());
          },
          py::arg("known"), py::arg("energy"), py::arg("forces"), py::arg("virial"),
          "Compare labels with predictions; the virial as xx yy zz yz xz xy.")
      .def("__str__", &ErrorReport::text);
}

std::vector<const Structure*> pointers(const std::vector<Structure>& structures) {
  std::vector<const Structure*> out;
  for (const Structure& structure : structures) out.push_back(&structure);
  return out;
}

void bind_selection(py::module_& module) {
  py::class_<Selection>(module, "Selection", "See selection.hpp.")
      .def(py::init([](const std::string& potential, bool neighbourhoods, bool sums, double threshold, int threads) {
             return std::make_unique<Selection>(parse_potential(potential),
                                                Selection::Settings{neighbourhoods, sums, threshold, threads});
           }),
           py::arg("potential"), py::arg("neighbourhoods"), py::arg("sums"), py::arg("init_threshold"), py::arg("threads"))
      .def_static(
          "read",
          [](const py::bytes& content, bool sums, int threads) {
            const std::string text = content;
            StoredSelection stored = parse_selection(text);
            auto selection = std::make_unique<Selection>(std::move(stored.set), stored.owners, sums, threads);
            return py::make_tuple(std::move(selection), std::move(stored.structures));
          },
          py::arg("content"), py::arg("sums"), py::arg("threads"), "A stored selection and its configurations.")
      .def("write",
           [](const Selection& selection, const std::map<long, Structure>& structures) {
             std::map<long, const Structure*> by_number;
             for (const auto& [number, structure] : structures) by_number[number] = &structure;
             return py::bytes(format_selection(selection, by_number));
           })
      .def_property_readonly("potential", [](const Selection& s) { return format_potential(s.potential()); })
      .def_property_readonly("neighbourhoods", &Selection::neighbourhoods)
      .def_property_readonly("owners", &Selection::owners)
      .def_property_readonly("matrix",
                             [](const Selection& s) {
                               const auto n = static_cast<py::ssize_t>(s.owners().size());
                               return array_of(s.active_set().rows, {n, n});
                             })
      .def_property_readonly("inverse_columns",
                             [](const Selection& s) {
                               const auto n = static_cast<py::ssize_t>(s.owners().size());
                               return array_of(s.active_set().inverse_columns, {n, n});
                             })
      .def("rows",
           [](Selection& s, const Structure& structure) {
             return array_of(s.rows(structure), {s.row_count(structure), static_cast<py::ssize_t>(s.owners().size())});
           })
      .def("grades",
           [](Selection& s, const std::vector<Structure>& structures) {
             std::vector<double> grades;
             {
               py::gil_scoped_release release;
               grades = s.grades(pointers(structures));
             }
             return array_of(grades, {static_cast<py::ssize_t>(grades.size())});
           })
      .def(
          "begin_with",
          [](Selection& s, const std::vector<Structure>& structures, double share) {
            py::gil_scoped_release release;
            s.begin_with(pointers(structures), share);
          },
          py::arg("structures"), py::arg("share"))
      .def(
          "extend",
          [](Selection& s, const std::vector<Structure>& structures, long first, double select_threshold,
             double swap_threshold, long swaps, long subset, long block) {
            py::gil_scoped_release release;
            return s.extend(pointers(structures), first, {select_threshold, swap_threshold, swaps, subset, block});
          },
          py::arg("structures"), py::arg("first"), py::arg("select_threshold"), py::arg("swap_threshold"),
          py::arg("swaps"), py::arg("subset"), py::arg("block"));
}

}  // namespace

PYBIND11_MODULE(_tools, module) {
  module.doc() = "Configuration files, error reports and the selection of configurations.";
  module.attr("FormatError") = py::module_::import("aiida_lpsgb.mtp._core").attr("MTPFormatError");
  bind_structure(module);
  bind_files(module);
  bind_report(module);
  bind_selection(module);
}
