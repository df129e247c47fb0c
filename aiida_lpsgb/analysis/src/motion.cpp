// Displacements of ions by the region they begin in, end in and stay in.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Labels = py::array_t<std::int8_t, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<int, py::array::c_style | py::array::forcecast>;

// Squared displacement by component, and how many.
struct Sum {
  double square[3] = {0, 0, 0};
  double count = 0;
  void add(const float *d)
  {
    for (int k = 0; k < 3; ++k) square[k] += d[k];
    ++count;
  }
};

py::array_t<double> regional(const Floats &positions, const Labels &labels, const Integers &lags, const Integers &blocks,
                             int n_regions, int n_blocks)
{
  if (positions.ndim() != 3 || positions.shape(2) != 3) throw std::invalid_argument("positions must have shape (n_ions, n_frames, 3)");
  const py::ssize_t n_ions = positions.shape(0), n_frames = positions.shape(1), n_lags = lags.size();
  if (labels.ndim() != 2 || labels.shape(0) != n_ions || labels.shape(1) != n_frames)
    throw std::invalid_argument("labels must have shape (n_ions, n_frames)");
  if (blocks.size() != n_frames) throw std::invalid_argument("blocks must have length n_frames");
  for (py::ssize_t i = 0; i < labels.size(); ++i)
    if (labels.data()[i] < 0 || labels.data()[i] > n_regions) throw std::invalid_argument("a label is not a region");
  for (py::ssize_t i = 0; i < n_frames; ++i)
    if (blocks.data()[i] < 0 || blocks.data()[i] >= n_blocks) throw std::invalid_argument("a block is not one of the blocks");
  for (py::ssize_t i = 0; i < n_lags; ++i)
    if (lags.data()[i] < 1 || lags.data()[i] >= n_frames) throw std::invalid_argument("a lag is not shorter than the run");
  py::array_t<double> went({n_lags, static_cast<py::ssize_t>(n_regions), static_cast<py::ssize_t>(n_regions + 2),
                            static_cast<py::ssize_t>(n_blocks), static_cast<py::ssize_t>(4)});
  double *out = went.mutable_data();
  const float *place = positions.data();
  const std::int8_t *label = labels.data();
  const int *lag = lags.data(), *block = blocks.data();
  {
    py::gil_scoped_release release;
    const size_t per_lag = static_cast<size_t>(n_regions) * (n_regions + 2) * n_blocks;
    std::vector<Sum> sums(per_lag * n_lags);
    std::vector<int> since(n_frames);
    for (py::ssize_t ion = 0; ion < n_ions; ++ion) {
      const float *r = place + ion * n_frames * 3;
      const std::int8_t *in = label + ion * n_frames;
      for (py::ssize_t t = 0; t < n_frames; ++t) since[t] = t > 0 && in[t] == in[t - 1] ? since[t - 1] : static_cast<int>(t);
      for (py::ssize_t l = 0; l < n_lags; ++l) {
        Sum *here = sums.data() + per_lag * l;
        const int step = lag[l];
        for (py::ssize_t t = 0; t + step < n_frames; ++t) {
          const int from = in[t], to = in[t + step];
          if (from == n_regions) continue;  // nobody asks for it
          float d[3];
          for (int k = 0; k < 3; ++k) {
            const float moved = r[3 * (t + step) + k] - r[3 * t + k];
            d[k] = moved * moved;
          }
          Sum *row = here + static_cast<size_t>(from) * (n_regions + 2) * n_blocks + block[t];
          row[static_cast<size_t>(to) * n_blocks].add(d);
          if (to < n_regions && since[t + step] <= t) row[static_cast<size_t>(n_regions + 1) * n_blocks].add(d);
        }
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      for (int k = 0; k < 3; ++k) out[4 * i + k] = sums[i].square[k];
      out[4 * i + 3] = sums[i].count;
    }
  }
  return went;
}

}  // namespace

PYBIND11_MODULE(_motion, module)
{
  module.doc() = "Displacements by region.";
  module.def("regional", &regional, py::arg("positions"), py::arg("labels"), py::arg("lags"), py::arg("blocks"), py::arg("n_regions"),
             py::arg("n_blocks"),
             "Sums by lag, region of the origin, region of the end (last but one: none of them; last: those that stayed throughout), "
             "block of the origin; squared "
             "displacement by component and, last, their number.");
}
