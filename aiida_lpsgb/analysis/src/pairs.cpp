// Pairs of atoms in periodic cells: histograms of their distances, and bond-orientational disorder.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <stdexcept>
#include <vector>

namespace py = pybind11;
using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;

namespace {

Vector cross(const Vector &a, const Vector &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector &a, const Vector &b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Atoms sorted into cells of the box, positions wrapped, in the order of the cells.
struct CellList {
  Matrix cell{};
  std::array<bool, 3> periodic{};
  std::array<int, 3> count{};   // cells along each vector
  std::array<int, 3> reach{};   // how many cells away a partner can be
  std::vector<int> first;       // first atom of each cell, and the end
  std::vector<double> x, y, z;
  std::vector<int> type;
  std::vector<int> atom;        // number that the caller knows each by

  CellList(const double *scaled, const int *types, py::ssize_t n, const Matrix &box, std::array<bool, 3> pbc, double cutoff)
      : cell(box), periodic(pbc)
  {
    const double volume = std::abs(dot(cell[0], cross(cell[1], cell[2])));
    std::vector<Vector> fraction(n);
    Vector low{0, 0, 0}, width{1, 1, 1};
    for (int k = 0; k < 3; ++k) {
      const Vector normal = cross(cell[(k + 1) % 3], cell[(k + 2) % 3]);
      double height = volume / std::sqrt(dot(normal, normal));
      bounds(scaled, n, k, low[k], width[k]);
      height *= width[k];
      // Cells a third of the cut-off wide waste the least work on pairs that are too far.
      count[k] = std::clamp(static_cast<int>(3 * height / cutoff), 1, 128);
      reach[k] = static_cast<int>(std::ceil(cutoff * count[k] / height));
    }
    std::vector<int> home(n);
    first.assign(static_cast<size_t>(count[0]) * count[1] * count[2] + 1, 0);
    for (py::ssize_t i = 0; i < n; ++i) {
      std::array<int, 3> at{};
      for (int k = 0; k < 3; ++k) {
        double f = scaled[3 * i + k];
        if (periodic[k]) f -= std::floor(f);
        fraction[i][k] = f;
        at[k] = std::clamp(static_cast<int>((f - low[k]) / width[k] * count[k]), 0, count[k] - 1);
      }
      home[i] = index(at[0], at[1], at[2]);
      ++first[home[i] + 1];
    }
    for (size_t c = 1; c < first.size(); ++c) first[c] += first[c - 1];
    std::vector<int> next(first.begin(), first.end() - 1);
    x.resize(n), y.resize(n), z.resize(n), type.resize(n), atom.resize(n);
    for (py::ssize_t i = 0; i < n; ++i) {
      const int slot = next[home[i]]++;
      const Vector &f = fraction[i];
      x[slot] = f[0] * cell[0][0] + f[1] * cell[1][0] + f[2] * cell[2][0];
      y[slot] = f[0] * cell[0][1] + f[1] * cell[1][1] + f[2] * cell[2][1];
      z[slot] = f[0] * cell[0][2] + f[1] * cell[1][2] + f[2] * cell[2][2];
      type[slot] = types ? types[i] : 0;
      atom[slot] = static_cast<int>(i);
    }
  }

  int index(int a, int b, int c) const { return (a * count[1] + b) * count[2] + c; }

private:
  // Along a vector that is not periodic the cells span what the atoms span.
  void bounds(const double *scaled, py::ssize_t n, int k, double &low, double &width) const
  {
    if (periodic[k] || n == 0) return;
    low = scaled[k];
    double high = low;
    for (py::ssize_t i = 0; i < n; ++i) {
      low = std::min(low, scaled[3 * i + k]);
      high = std::max(high, scaled[3 * i + k]);
    }
    width = std::max(high - low, 1e-9);
  }
};

// Visits every pair once for each of its images within the cut-off: slots of the cell list, vector and squared length.
template <typename Visit> class Pairs {
public:
  Pairs(const CellList &list, double cutoff, Visit visit) : list_(list), square_(cutoff * cutoff), visit_(visit) {}

  void run()
  {
    for (int a = 0; a < list_.count[0]; ++a)
      for (int b = 0; b < list_.count[1]; ++b)
        for (int c = 0; c < list_.count[2]; ++c) around({a, b, c});
  }

private:
  void around(const std::array<int, 3> &at)
  {
    const int home = list_.index(at[0], at[1], at[2]);
    if (list_.first[home] == list_.first[home + 1]) return;
    const auto &reach = list_.reach;
    // Half of the neighbourhood: each pair of cells is met from one side.
    for (int a = 0; a <= reach[0]; ++a)
      for (int b = a == 0 ? 0 : -reach[1]; b <= reach[1]; ++b)
        for (int c = a == 0 && b == 0 ? 0 : -reach[2]; c <= reach[2]; ++c) {
          const std::array<int, 3> step{a, b, c};
          Vector shift{0, 0, 0};
          std::array<int, 3> to{};
          if (!resolve(at, step, to, shift)) continue;
          cells(home, list_.index(to[0], to[1], to[2]), shift, a == 0 && b == 0 && c == 0);
        }
  }

  bool resolve(const std::array<int, 3> &at, const std::array<int, 3> &step, std::array<int, 3> &to, Vector &shift) const
  {
    for (int k = 0; k < 3; ++k) {
      const int raw = at[k] + step[k], n = list_.count[k];
      int image = raw / n;
      if (raw % n < 0) --image;
      if (image != 0 && !list_.periodic[k]) return false;
      to[k] = raw - image * n;
      for (int m = 0; m < 3; ++m) shift[m] += image * list_.cell[k][m];
    }
    return true;
  }

  void cells(int home, int other, const Vector &shift, bool same)
  {
    const int begin = list_.first[other], end = list_.first[other + 1];
    if (begin == end) return;
    for (int i = list_.first[home]; i < list_.first[home + 1]; ++i) {
      const double x = list_.x[i] - shift[0], y = list_.y[i] - shift[1], z = list_.z[i] - shift[2];
      for (int j = same ? i + 1 : begin; j < end; ++j) {
        const double dx = list_.x[j] - x, dy = list_.y[j] - y, dz = list_.z[j] - z;
        const double r2 = dx * dx + dy * dy + dz * dz;
        if (r2 < square_) visit_(i, j, dx, dy, dz, r2);
      }
    }
  }

  const CellList &list_;
  double square_;
  Visit visit_;
};

template <typename Visit> void visit_pairs(const CellList &list, double cutoff, Visit visit)
{
  Pairs<Visit>(list, cutoff, visit).run();
}

// Spherical harmonics of one degree and order m = 0 … l, of unit vectors.
class Harmonics {
public:
  explicit Harmonics(int degree) : l_(degree), head_(degree + 1), up_((degree + 1) * (degree + 1)), down_(up_.size())
  {
    head_[0] = std::sqrt(1 / (4 * 3.14159265358979323846));
    for (int m = 1; m <= l_; ++m) head_[m] = -head_[m - 1] * std::sqrt((2.0 * m + 1) / (2.0 * m));
    for (int m = 0; m <= l_; ++m)
      for (int n = m + 1; n <= l_; ++n) {
        up_[m * (l_ + 1) + n] = std::sqrt((4.0 * n * n - 1) / (1.0 * n * n - m * m));
        down_[m * (l_ + 1) + n] = n == m + 1 ? 0 : std::sqrt(((n - 1.0) * (n - 1) - m * m) / (4.0 * (n - 1) * (n - 1) - 1));
      }
  }

  void operator()(double x, double y, double z, std::complex<double> *values) const
  {
    std::complex<double> power(1, 0);
    const std::complex<double> turn(x, y);
    for (int m = 0; m <= l_; ++m) {
      double before = 0, now = 1;  // along n at fixed m, over head · turn^m
      for (int n = m + 1; n <= l_; ++n) {
        const double next = up_[m * (l_ + 1) + n] * (z * now - down_[m * (l_ + 1) + n] * before);
        before = now;
        now = next;
      }
      values[m] = head_[m] * now * power;
      power *= turn;
    }
  }

private:
  int l_;
  std::vector<double> head_, up_, down_;
};

void site_disorder(const CellList &list, double cutoff, int degree, double *values)
{
  const size_t n = list.x.size(), width = degree + 1;
  std::vector<std::array<int, 2>> bonds;
  std::vector<std::complex<double>> q(n * width), y(width);
  const Harmonics harmonics(degree);
  const double parity = degree % 2 ? -1 : 1;
  visit_pairs(list, cutoff, [&](int i, int j, double dx, double dy, double dz, double r2) {
    const double scale = 1 / std::sqrt(r2);
    harmonics(dx * scale, dy * scale, dz * scale, y.data());
    for (size_t m = 0; m < width; ++m) {
      q[i * width + m] += y[m];
      q[j * width + m] += parity * y[m];
    }
    bonds.push_back({i, j});
  });
  const auto product = [&](size_t i, size_t j) {
    // Orders -m and m give complex conjugates.
    double sum = q[i * width].real() * q[j * width].real();
    for (size_t m = 1; m < width; ++m) sum += 2 * (q[i * width + m] * std::conj(q[j * width + m])).real();
    return sum;
  };
  for (size_t i = 0; i < n; ++i) {
    const double norm = std::sqrt(product(i, i));
    if (norm > 0)
      for (size_t m = 0; m < width; ++m) q[i * width + m] /= norm;
  }
  std::vector<double> sum(n, 0.0);
  std::vector<int> count(n, 0);
  for (const auto &[i, j] : bonds) {
    const double cosine = product(i, j);
    sum[i] += cosine, sum[j] += cosine;
    ++count[i], ++count[j];
  }
  for (size_t i = 0; i < n; ++i)
    values[list.atom[i]] = count[i] ? 2 - 2 * sum[i] / count[i] : std::numeric_limits<double>::quiet_NaN();
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<int, py::array::c_style | py::array::forcecast>;

Matrix checked(const Doubles &scaled, const Doubles &cell, double cutoff)
{
  if (scaled.ndim() != 2 || scaled.shape(1) != 3) throw std::invalid_argument("scaled must have shape (n_atoms, 3)");
  if (cell.ndim() != 2 || cell.shape(0) != 3 || cell.shape(1) != 3) throw std::invalid_argument("cell must have shape (3, 3)");
  if (!(cutoff > 0)) throw std::invalid_argument("cutoff must be positive");
  for (py::ssize_t i = 0; i < scaled.size(); ++i)
    if (!std::isfinite(scaled.data()[i])) throw std::invalid_argument("scaled positions must be finite");
  Matrix box{};
  for (int k = 0; k < 3; ++k)
    for (int m = 0; m < 3; ++m) box[k][m] = cell.at(k, m);
  return box;
}

py::array_t<double> histogram(const Doubles &scaled, const Integers &types, const Doubles &cell, std::array<bool, 3> pbc,
                              int n_types, double cutoff, int n_bins)
{
  const Matrix box = checked(scaled, cell, cutoff);
  if (types.ndim() != 1 || types.shape(0) != scaled.shape(0)) throw std::invalid_argument("types must have length n_atoms");
  if (n_bins < 1 || n_types < 1) throw std::invalid_argument("n_bins and n_types must be positive");
  for (py::ssize_t i = 0; i < types.shape(0); ++i)
    if (types.at(i) < 0 || types.at(i) >= n_types) throw std::invalid_argument("types must lie between 0 and n_types - 1");
  py::array_t<double> counts({n_types, n_types, n_bins});
  std::fill_n(counts.mutable_data(), counts.size(), 0.0);
  const double *positions = scaled.data();
  const int *kinds = types.data();
  double *target = counts.mutable_data();
  {
    py::gil_scoped_release release;
    const CellList list(positions, kinds, scaled.shape(0), box, pbc, cutoff);
    const double scale = n_bins / cutoff;
    visit_pairs(list, cutoff, [&](int i, int j, double, double, double, double r2) {
      const int bin = std::min(static_cast<int>(std::sqrt(r2) * scale), n_bins - 1);
      const int low = std::min(list.type[i], list.type[j]), high = std::max(list.type[i], list.type[j]);
      target[(low * n_types + high) * n_bins + bin] += 1;
    });
  }
  return counts;
}

py::array_t<double> disorder(const Doubles &scaled, const Doubles &cell, std::array<bool, 3> pbc, double cutoff, int degree)
{
  const Matrix box = checked(scaled, cell, cutoff);
  if (degree < 1 || degree > 20) throw std::invalid_argument("degree must lie between 1 and 20");
  py::array_t<double> values(scaled.shape(0));
  const double *positions = scaled.data();
  double *target = values.mutable_data();
  {
    py::gil_scoped_release release;
    site_disorder(CellList(positions, nullptr, scaled.shape(0), box, pbc, cutoff), cutoff, degree, target);
  }
  return values;
}

}  // namespace

PYBIND11_MODULE(_pairs, module)
{
  module.doc() = "Pairs of atoms in periodic cells.";
  module.def("histogram", &histogram, py::arg("scaled"), py::arg("types"), py::arg("cell"), py::arg("pbc"), py::arg("n_types"),
             py::arg("cutoff"), py::arg("n_bins"),
             "Counts of unordered pairs by types (a <= b) and distance, shape (n_types, n_types, n_bins).");
  module.def("disorder", &disorder, py::arg("scaled"), py::arg("cell"), py::arg("pbc"), py::arg("cutoff"), py::arg("degree"),
             "Normalised disorder parameter of every atom; NaN for atoms without neighbours.");
}
