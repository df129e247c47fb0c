// Displacements of ions by the region they begin in, end in and stay in.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
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
  Sum &operator+=(const Sum &other)
  {
    for (int k = 0; k < 3; ++k) square[k] += other.square[k];
    count += other.count;
    return *this;
  }
};

// One ion's way, component by component, and the region it is in.
struct Way {
  std::vector<float> place[3];
  std::vector<std::int8_t> region;
  explicit Way(size_t n_frames) : region(n_frames)
  {
    for (auto &component : place) component.resize(n_frames);
  }
};

Sum displacements(const Way &way, int first, int last, int lag)
{
  Sum sum;
  for (int k = 0; k < 3; ++k) {
    const float *r = way.place[k].data();
    // Four partial sums, which the compiler can keep side by side in a register.
    float partial[4] = {0, 0, 0, 0};
    int t = first;
    for (; t + 4 <= last; t += 4)
      for (int j = 0; j < 4; ++j) {
        const float d = r[t + j + lag] - r[t + j];
        partial[j] += d * d;
      }
    for (; t < last; ++t) {
      const float d = r[t + lag] - r[t];
      partial[0] += d * d;
    }
    sum.square[k] = static_cast<double>(partial[0]) + partial[1] + partial[2] + partial[3];
  }
  sum.count = last - first;
  return sum;
}

struct Counter {
  Counter(int n_regions, int n_frames, const int *lags, int n_lags, const int *edges, int n_blocks)
      : n_regions(n_regions), n_frames(n_frames), n_lags(n_lags), n_blocks(n_blocks), lags(lags), edges(edges),
        sums(static_cast<size_t>(n_lags) * n_regions * (n_regions + 2) * n_blocks), present(n_regions), leaves(n_regions)
  {
  }

  // Visit by visit: within one, all origins whose end lies in it too have stayed, and need no further question.
  void add(const Way &way)
  {
    for (int begin = 0, end; begin < n_frames; begin = end) {
      const int here = way.region[begin];
      for (end = begin + 1; end < n_frames && way.region[end] == here;) ++end;
      if (here == n_regions) continue;  // nobody asks for it
      present[here] += end - begin;
      leaves[here] += end < n_frames;
      for (int block = 0; block < n_blocks; ++block) {
        const int first = std::max(begin, edges[block]), last = std::min(end, edges[block + 1]);
        if (first >= last) continue;
        for (int l = 0; l < n_lags; ++l) {
          const int lag = lags[l], stay = std::clamp(end - lag, first, last), stop = std::min(last, n_frames - lag);
          if (first < stay) {
            const Sum stayed = displacements(way, first, stay, lag);
            at(l, here, here, block) += stayed;
            at(l, here, n_regions + 1, block) += stayed;
          }
          for (int t = stay; t < stop; ++t) at(l, here, way.region[t + lag], block) += displacements(way, t, t + 1, lag);
        }
      }
    }
  }

  Sum &at(int lag, int from, int to, int block)
  {
    return sums[((static_cast<size_t>(lag) * n_regions + from) * (n_regions + 2) + to) * n_blocks + block];
  }

  const int n_regions, n_frames, n_lags, n_blocks;
  const int *lags, *edges;
  std::vector<Sum> sums;
  std::vector<std::int64_t> present, leaves;
};

py::array_t<std::int64_t> array(const std::vector<std::int64_t> &values)
{
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::tuple regional(const Floats &positions, const Labels &labels, const Integers &lags, const Integers &edges, int n_regions)
{
  if (positions.ndim() != 3 || positions.shape(2) != 3) throw std::invalid_argument("positions must have shape (n_frames, n_ions, 3)");
  const py::ssize_t n_frames = positions.shape(0), n_ions = positions.shape(1), n_lags = lags.size(), n_blocks = edges.size() - 1;
  if (labels.ndim() != 2 || labels.shape(0) != n_frames || labels.shape(1) != n_ions)
    throw std::invalid_argument("labels must have shape (n_frames, n_ions)");
  if (n_blocks < 1 || edges.data()[0] != 0 || edges.data()[n_blocks] != n_frames || !std::is_sorted(edges.data(), edges.data() + edges.size()))
    throw std::invalid_argument("edges of the blocks must ascend from 0 to n_frames");
  for (py::ssize_t i = 0; i < n_lags; ++i)
    if (lags.data()[i] < 1 || lags.data()[i] >= n_frames) throw std::invalid_argument("a lag is not shorter than the run");
  const float *place = positions.data();
  const std::int8_t *label = labels.data();
  Counter counter(n_regions, static_cast<int>(n_frames), lags.data(), static_cast<int>(n_lags), edges.data(), static_cast<int>(n_blocks));
  {
    py::gil_scoped_release release;
    Way way(n_frames);
    for (py::ssize_t ion = 0; ion < n_ions; ++ion) {
      bool visits = false;
      for (py::ssize_t t = 0; t < n_frames; ++t) {
        way.region[t] = label[t * n_ions + ion];
        if (way.region[t] < 0 || way.region[t] > n_regions) throw std::invalid_argument("a label is not a region");
        visits |= way.region[t] < n_regions;
      }
      if (!visits) continue;
      for (py::ssize_t t = 0; t < n_frames; ++t)
        for (int k = 0; k < 3; ++k) way.place[k][t] = place[(t * n_ions + ion) * 3 + k];
      counter.add(way);
    }
  }
  py::array_t<double> sums({n_lags, static_cast<py::ssize_t>(n_regions), static_cast<py::ssize_t>(n_regions + 2), n_blocks,
                            static_cast<py::ssize_t>(4)});
  double *value = sums.mutable_data();
  for (const Sum &sum : counter.sums) {
    value = std::copy(sum.square, sum.square + 3, value);
    *value++ = sum.count;
  }
  return py::make_tuple(sums, array(counter.present), array(counter.leaves));
}

}  // namespace

PYBIND11_MODULE(_motion, module)
{
  module.doc() = "Displacements by region.";
  module.def("regional", &regional, py::arg("positions"), py::arg("labels"), py::arg("lags"), py::arg("edges"), py::arg("n_regions"),
             "Sums by lag, region of the origin, region of the end (last but one: none of them; last: those that stayed throughout), "
             "block of the origin, of the squared displacement by component and, last, of their number; by region, frames spent there "
             "and how often one leaves.");
}
