// Where the loops of a Vietoris–Rips filtration begin.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>

namespace py = pybind11;

namespace {

using Integers = py::array_t<int, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

// Symmetric distances in compressed rows, partners ascending within a row.
struct Graph {
  const int *first, *partner;
  const double *distance;

  // Whether some third point is nearer to both ends of an edge than they are to each other.
  bool spanned(int u, int v, double length) const
  {
    for (int i = first[u], j = first[v]; i < first[u + 1] && j < first[v + 1];) {
      if (partner[i] < partner[j])
        ++i;
      else if (partner[j] < partner[i])
        ++j;
      else if (std::max(distance[i++], distance[j++]) < length)
        return true;
    }
    return false;
  }
};

double last_birth(const Integers &first, const Integers &partner, const Doubles &distance)
{
  const int n = static_cast<int>(first.size()) - 1;
  if (n < 0 || first.data()[n] != partner.size() || partner.size() != distance.size())
    throw std::invalid_argument("distances are no matrix in compressed rows");
  const Graph graph{first.data(), partner.data(), distance.data()};
  double last = 0;
  py::gil_scoped_release release;
  for (int u = 0; u < n; ++u)
    for (int i = graph.first[u]; i < graph.first[u + 1]; ++i)
      if (graph.distance[i] > last && graph.partner[i] > u && !graph.spanned(u, graph.partner[i], graph.distance[i])) last = graph.distance[i];
  return last;
}

}  // namespace

PYBIND11_MODULE(_rips, module)
{
  module.doc() = "Vietoris-Rips filtrations of sparse distances.";
  module.def("last_birth", &last_birth, py::arg("first"), py::arg("partner"), py::arg("distance"),
             "Length of the longest edge that no triangle fills as soon as it appears: no loop is born later. Symmetric matrix in "
             "compressed rows, columns ascending.");
}
