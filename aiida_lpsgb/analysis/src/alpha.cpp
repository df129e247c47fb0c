// Persistent loops (H1) of the alpha filtration of points on a torus, a slab, a rod or in free space.
//
// The complex is the Delaunay triangulation of the periodic points: each tetrahedron once, its vertices named by the point and the
// image it is. Faces that differ by a lattice vector are the same face, so the boundary matrix is that of the quotient, and loops that
// close only through the periodic boundary appear as what they are: classes that never die.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace py = pybind11;
using Vector = std::array<double, 3>;
using Shift = std::array<int, 3>;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Vertex {
  std::int32_t point = 0;
  Shift image{};
};

bool operator<(const Vertex &a, const Vertex &b)
{
  return a.point != b.point ? a.point < b.point : a.image < b.image;
}

Vector minus(const Vector &a, const Vector &b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
double dot(const Vector &a, const Vector &b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vector cross(const Vector &a, const Vector &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double distance2(const Vector &a, const Vector &b)
{
  const Vector d = minus(a, b);
  return dot(d, d);
}

struct Sphere {
  Vector centre{};
  double square = infinity;
};

Sphere around(const Vector &a, const Vector &b)
{
  return {{(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2}, distance2(a, b) / 4};
}

Sphere around(const Vector &a, const Vector &b, const Vector &c)
{
  const Vector u = minus(b, a), v = minus(c, a), n = cross(u, v);
  const double n2 = dot(n, n), uu = dot(u, u), vv = dot(v, v);
  if (n2 <= 0) return {};
  const Vector w = {uu * v[0] - vv * u[0], uu * v[1] - vv * u[1], uu * v[2] - vv * u[2]};
  const Vector q = cross(w, n);
  const Vector r = {q[0] / (2 * n2), q[1] / (2 * n2), q[2] / (2 * n2)};
  return {{a[0] + r[0], a[1] + r[1], a[2] + r[2]}, dot(r, r)};
}

Sphere around(const Vector &a, const Vector &b, const Vector &c, const Vector &d)
{
  const Vector u = minus(b, a), v = minus(c, a), w = minus(d, a);
  const Vector vw = cross(v, w), wu = cross(w, u), uv = cross(u, v);
  const double volume = 2 * dot(u, vw);
  if (volume == 0) return {};
  const double uu = dot(u, u), vv = dot(v, v), ww = dot(w, w);
  Vector r{};
  for (int k = 0; k < 3; ++k) r[k] = (uu * vw[k] + vv * wu[k] + ww * uv[k]) / volume;
  return {{a[0] + r[0], a[1] + r[1], a[2] + r[2]}, dot(r, r)};
}

using Key = std::array<std::uint64_t, 2>;

std::uint64_t packed(const Shift &s)
{
  for (const int c : s)
    if (c < -512 || c > 511) throw std::invalid_argument("an image is more than 511 cells away");
  return (static_cast<std::uint64_t>(s[0] + 512) << 20) | (static_cast<std::uint64_t>(s[1] + 512) << 10) |
         static_cast<std::uint64_t>(s[2] + 512);
}

Shift relative(const Vertex &v, const Vertex &to)
{
  return {v.image[0] - to.image[0], v.image[1] - to.image[1], v.image[2] - to.image[2]};
}

struct UnionFind {
  std::vector<int> parent;
  explicit UnionFind(size_t n) : parent(n) { std::iota(parent.begin(), parent.end(), 0); }
  int find(int i)
  {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }
};

struct Edge {
  Vertex a, b;      // a is in the home cell
  double value = infinity;
};

struct Triangle {
  std::array<int, 3> edges{};
  std::array<int, 2> tetrahedra{-1, -1};
  double value = infinity;
};

struct Pairs {
  std::vector<double> birth, death, essential;
  std::vector<int> ring;
  std::vector<std::array<int, 2>> edge;  // points of the edge that closes the ring
  long euler = 0;
  double largest = 0;
};

class Complex {
public:
  // Tetrahedra beyond the cap count as outside. At the rim of points that are not periodic they need not even be consistent, but
  // their corners still tell which faces have a point in their sphere.
  Complex(std::vector<std::array<Vertex, 4>> tetrahedra, std::vector<std::array<Vector, 4>> corners, int n_points, double cap)
      : tetrahedra_(std::move(tetrahedra)), corners_(std::move(corners)), n_points_(n_points), cap_(cap)
  {
    values_.resize(tetrahedra_.size());
    for (size_t t = 0; t < corners_.size(); ++t)
      values_[t] = around(corners_[t][0], corners_[t][1], corners_[t][2], corners_[t][3]).square;
    find_triangles();
    find_edges();
  }

  Pairs persistence(int longest_ring)
  {
    Pairs result;
    for (const double v : values_) result.largest = std::max(result.largest, v);
    result.euler = static_cast<long>(n_points_) - static_cast<long>(edges_.size()) + static_cast<long>(triangles_.size()) -
                   static_cast<long>(tetrahedra_.size());
    const std::vector<int> edge_order = order(edges_), triangle_order = order(triangles_);
    std::vector<int> rank(edges_.size());
    for (size_t k = 0; k < edge_order.size(); ++k) rank[edge_order[k]] = static_cast<int>(k);
    const std::vector<char> cleared = creators_of_voids(triangle_order);
    std::vector<char> merges = mergers(edge_order);
    std::vector<int> killer(edges_.size(), -1);  // by rank
    reduce(triangle_order, rank, cleared, killer);
    adjacency(edge_order);
    for (size_t k = 0; k < edge_order.size(); ++k) {
      const Edge &edge = edges_[edge_order[k]];
      if (merges[k] || edge.value > cap_) continue;
      if (killer[k] < 0) {
        result.essential.push_back(edge.value);
        continue;
      }
      const double death = triangles_[killer[k]].value;
      if (death <= edge.value) continue;
      result.birth.push_back(edge.value);
      result.death.push_back(death);
      result.edge.push_back({edge.a.point, edge.b.point});
      result.ring.push_back(longest_ring > 0 ? ring(edge, static_cast<int>(k), longest_ring) : 0);
    }
    return result;
  }

private:
  struct Face {
    Key key;  // the three points; their images are kept beside
    int of, without;
  };

  void find_triangles()
  {
    std::vector<Face> faces;
    faces.reserve(4 * tetrahedra_.size());
    for (size_t t = 0; t < tetrahedra_.size(); ++t)
      for (int k = 0; k < 4; ++k) {
        const auto v = face(tetrahedra_[t], k);
        faces.push_back({{(static_cast<std::uint64_t>(v[0].point) << 32) | static_cast<std::uint32_t>(v[1].point),
                          (static_cast<std::uint64_t>(v[2].point) << 32)},
                         static_cast<int>(t), k});
      }
    // The images do not fit in the key beside three points: they follow in a second key, compared where the points agree.
    std::vector<std::uint64_t> images(faces.size());
    for (size_t f = 0; f < faces.size(); ++f) {
      const auto v = face(tetrahedra_[faces[f].of], faces[f].without);
      images[f] = (packed(relative(v[1], v[0])) << 32) | packed(relative(v[2], v[0]));
    }
    std::vector<int> index(faces.size());
    std::iota(index.begin(), index.end(), 0);
    std::sort(index.begin(), index.end(), [&](int a, int b) {
      if (faces[a].key != faces[b].key) return faces[a].key < faces[b].key;
      return images[a] != images[b] ? images[a] < images[b] : a < b;
    });
    for (size_t i = 0; i < index.size();) {
      size_t end = i;
      Triangle triangle;
      const Face &first = faces[index[i]];
      const auto corner = corners(first.of, first.without);
      const Sphere own = around(corner[0], corner[1], corner[2]);
      double least = infinity;
      bool attached = false;
      while (end < index.size() && faces[index[end]].key == first.key && images[index[end]] == images[index[i]]) {
        const Face &f = faces[index[end]];
        if (values_[f.of] <= cap_) {
          if (triangle.tetrahedra[1] >= 0)
            throw std::runtime_error("a triangle has more than two tetrahedra: the triangulation is not consistent");
          triangle.tetrahedra[triangle.tetrahedra[0] >= 0] = f.of;
          least = std::min(least, values_[f.of]);
        }
        // The sphere in the frame of this tetrahedron.
        const auto c = corners(f.of, f.without);
        const Sphere here = around(c[0], c[1], c[2]);
        attached |= distance2(corners_[f.of][f.without], here.centre) < here.square * (1 - 1e-12);
        ++end;
      }
      triangle.value = attached ? least : std::min(own.square, least);
      sources_.push_back({first.of, first.without});
      triangles_.push_back(triangle);
      i = end;
    }
  }

  void find_edges()
  {
    struct Side {
      std::array<std::uint64_t, 2> key;
      int triangle, without;
    };
    std::vector<Side> sides;
    sides.reserve(3 * triangles_.size());
    for (size_t t = 0; t < triangles_.size(); ++t) {
      const auto v = face(tetrahedra_[sources_[t][0]], sources_[t][1]);
      for (int k = 0; k < 3; ++k) {
        const Vertex &a = v[k == 0 ? 1 : 0], &b = v[k == 2 ? 1 : 2];
        sides.push_back({{(static_cast<std::uint64_t>(a.point) << 32) | static_cast<std::uint32_t>(b.point), packed(relative(b, a))},
                         static_cast<int>(t), k});
      }
    }
    std::sort(sides.begin(), sides.end(), [](const Side &a, const Side &b) {
      return a.key != b.key ? a.key < b.key : a.triangle != b.triangle ? a.triangle < b.triangle : a.without < b.without;
    });
    for (size_t i = 0; i < sides.size();) {
      Edge edge;
      double least = infinity;
      bool attached = false;
      size_t end = i;
      for (; end < sides.size() && sides[end].key == sides[i].key; ++end) {
        const Side &side = sides[end];
        const auto &source = sources_[side.triangle];
        const auto v = face(tetrahedra_[source[0]], source[1]);
        const auto c = corners(source[0], source[1]);
        const int a = side.without == 0 ? 1 : 0, b = side.without == 2 ? 1 : 2;
        const Sphere here = around(c[a], c[b]);
        attached |= distance2(c[side.without], here.centre) < here.square * (1 - 1e-12);
        least = std::min(least, triangles_[side.triangle].value);
        edge.a = {v[a].point, {0, 0, 0}};
        edge.b = {v[b].point, relative(v[b], v[a])};
        edge.value = here.square;
        triangles_[side.triangle].edges[side.without] = static_cast<int>(edges_.size());
      }
      edge.value = attached ? least : std::min(edge.value, least);
      edges_.push_back(edge);
      i = end;
    }
  }

  static std::array<Vertex, 3> face(const std::array<Vertex, 4> &t, int without)
  {
    std::array<Vertex, 3> v{};
    for (int k = 0, n = 0; k < 4; ++k)
      if (k != without) v[n++] = t[k];
    return v;
  }

  std::array<Vector, 3> corners(int t, int without) const
  {
    std::array<Vector, 3> v{};
    for (int k = 0, n = 0; k < 4; ++k)
      if (k != without) v[n++] = corners_[t][k];
    return v;
  }

  template <typename Simplex> static std::vector<int> order(const std::vector<Simplex> &simplices)
  {
    std::vector<int> index(simplices.size());
    std::iota(index.begin(), index.end(), 0);
    std::stable_sort(index.begin(), index.end(), [&](int a, int b) { return simplices[a].value < simplices[b].value; });
    return index;
  }

  // Triangles that close a void, found from above: going down, voids (tetrahedra and the outside) merge through triangles.
  std::vector<char> creators_of_voids(const std::vector<int> &triangle_order) const
  {
    const int outside = static_cast<int>(tetrahedra_.size());
    UnionFind sets(tetrahedra_.size() + 1);
    std::vector<char> creates(triangles_.size(), 0);
    for (auto it = triangle_order.rbegin(); it != triangle_order.rend(); ++it) {
      const Triangle &triangle = triangles_[*it];
      std::array<int, 2> side{};
      for (int k = 0; k < 2; ++k) {
        const int t = triangle.tetrahedra[k];
        side[k] = t < 0 ? outside : t;
      }
      const int a = sets.find(side[0]), b = sets.find(side[1]);
      if (a == b) continue;
      creates[*it] = 1;
      sets.parent[a] = b;
    }
    return creates;
  }

  std::vector<char> mergers(const std::vector<int> &edge_order) const
  {
    UnionFind sets(n_points_);
    std::vector<char> merges(edges_.size(), 0);
    for (size_t k = 0; k < edge_order.size(); ++k) {
      const int a = sets.find(edges_[edge_order[k]].a.point), b = sets.find(edges_[edge_order[k]].b.point);
      if (a == b) continue;
      merges[k] = 1;
      sets.parent[a] = b;
    }
    return merges;
  }

  // Column reduction over Z/2 of the triangles that can kill a loop.
  void reduce(const std::vector<int> &triangle_order, const std::vector<int> &rank, const std::vector<char> &cleared,
              std::vector<int> &killer) const
  {
    std::vector<std::vector<int>> columns(edges_.size());  // reduced, by pivot, descending
    std::vector<int> column, sum;
    for (const int t : triangle_order) {
      if (cleared[t] || triangles_[t].value > cap_) continue;
      const auto &e = triangles_[t].edges;
      column = {rank[e[0]], rank[e[1]], rank[e[2]]};
      std::sort(column.rbegin(), column.rend());
      // Sides that are images of one another cancel.
      for (size_t i = 0; i + 1 < column.size();)
        if (column[i] == column[i + 1])
          column.erase(column.begin() + i, column.begin() + i + 2);
        else
          ++i;
      while (!column.empty() && killer[column.front()] >= 0) {
        sum.clear();
        const auto &other = columns[column.front()];
        std::set_symmetric_difference(column.begin(), column.end(), other.begin(), other.end(), std::back_inserter(sum),
                                      std::greater<int>());
        column.swap(sum);
      }
      if (column.empty()) continue;
      killer[column.front()] = t;
      columns[column.front()] = column;
    }
  }

  struct Step {
    int to, rank;
    Shift shift;
  };

  void adjacency(const std::vector<int> &edge_order)
  {
    neighbours_.assign(n_points_, {});
    for (size_t k = 0; k < edge_order.size(); ++k) {
      const Edge &e = edges_[edge_order[k]];
      const Shift &s = e.b.image;
      neighbours_[e.a.point].push_back({e.b.point, static_cast<int>(k), s});
      neighbours_[e.b.point].push_back({e.a.point, static_cast<int>(k), {-s[0], -s[1], -s[2]}});
    }
  }

  static std::uint64_t name(int point, const Shift &s) { return (static_cast<std::uint64_t>(point) << 30) | packed(s); }

  // Points of the shortest ring that an edge closes, by a search from both of its ends through the edges before it;
  // 0 if it is longer than asked.
  int ring(const Edge &edge, int rank, int longest) const
  {
    std::array<std::unordered_map<std::uint64_t, int>, 2> seen;
    std::array<std::vector<Vertex>, 2> front{{{edge.a}, {edge.b}}};
    seen[0][name(edge.a.point, edge.a.image)] = 0;
    seen[1][name(edge.b.point, edge.b.image)] = 0;
    for (int depth = 1; depth < longest; ++depth) {
      const int side = front[0].size() <= front[1].size() ? 0 : 1;
      std::vector<Vertex> next;
      int best = 0;
      const int here = front[side].empty() ? 0 : seen[side].at(name(front[side][0].point, front[side][0].image));
      for (const Vertex &v : front[side])
        for (const Step &step : neighbours_[v.point]) {
          if (step.rank >= rank) break;
          const Vertex to{step.to, {v.image[0] + step.shift[0], v.image[1] + step.shift[1], v.image[2] + step.shift[2]}};
          const std::uint64_t id = name(to.point, to.image);
          const auto met = seen[1 - side].find(id);
          if (met != seen[1 - side].end()) {
            const int points = here + met->second + 2;
            best = best == 0 ? points : std::min(best, points);
          }
          if (seen[side].emplace(id, here + 1).second) next.push_back(to);
        }
      if (best) return best <= longest ? best : 0;
      if (next.empty()) return 0;
      front[side].swap(next);
    }
    return 0;
  }

  std::vector<std::array<Vertex, 4>> tetrahedra_;
  std::vector<std::array<Vector, 4>> corners_;
  int n_points_;
  double cap_;
  std::vector<double> values_;
  std::vector<Triangle> triangles_;
  std::vector<std::array<int, 2>> sources_;
  std::vector<Edge> edges_;
  std::vector<std::vector<Step>> neighbours_;
};

// Delaunay triangulation of points on a torus by gift wrapping: from each open face to the point whose sphere is empty.
class Torus {
public:
  Torus(const double *scaled, int n, const std::array<Vector, 3> &cell) : n_(n), cell_(cell)
  {
    const double volume = std::abs(dot(cell[0], cross(cell[1], cell[2])));
    for (int k = 0; k < 3; ++k) {
      const Vector normal = cross(cell[(k + 1) % 3], cell[(k + 2) % 3]);
      const double height = volume / std::sqrt(dot(normal, normal));
      for (int m = 0; m < 3; ++m) inverse_[m][k] = normal[m] / dot(cell[k], normal);
      // About one point a bin.
      count_[k] = std::max(1, static_cast<int>(height / std::cbrt(volume / n)));
      width_[k] = height / count_[k];
    }
    first_.assign(static_cast<size_t>(count_[0]) * count_[1] * count_[2] + 1, 0);
    std::vector<int> home(n);
    std::vector<Vector> place(n);
    for (int i = 0; i < n; ++i) {
      place[i] = position(&scaled[3 * i]);
      const Shift at = bin(place[i]);
      for (int k = 0; k < 3; ++k)
        if (at[k] < 0 || at[k] >= count_[k]) throw std::invalid_argument("points must lie in the cell");
      home[i] = (at[0] * count_[1] + at[1]) * count_[2] + at[2];
      ++first_[home[i] + 1];
    }
    for (size_t c = 1; c < first_.size(); ++c) first_[c] += first_[c - 1];
    std::vector<int> next(first_.begin(), first_.end() - 1);
    point_.resize(n), place_.resize(n);
    for (int i = 0; i < n; ++i) {
      const int slot = next[home[i]]++;
      point_[slot] = i;
      place_[slot] = place[i];
    }
    by_point_ = std::move(place);
  }

  void triangulate(std::vector<std::array<Vertex, 4>> &tetrahedra, std::vector<std::array<Vector, 4>> &corners)
  {
    const auto start = first_face();
    open(start);
    open({start[0], start[2], start[1]});
    const size_t limit = 60 * static_cast<size_t>(n_) + 1000;
    while (!queue_.empty()) {
      const std::array<Vertex, 3> face = queue_.back();
      queue_.pop_back();
      const auto found = open_.find(key(face));
      if (found == open_.end()) continue;
      open_.erase(found);
      const Vertex apex = wrap(face);
      std::array<Vertex, 4> t{face[0], face[1], face[2], apex};
      std::sort(t.begin(), t.end());
      for (int k = 1; k < 4; ++k) t[k].image = relative(t[k], t[0]);
      t[0].image = {0, 0, 0};
      std::array<Vector, 4> c{};
      for (int k = 0; k < 4; ++k) c[k] = at(t[k]);
      tetrahedra.push_back(t);
      corners.push_back(c);
      if (tetrahedra.size() > limit) throw std::runtime_error("the triangulation does not close");
      // The face itself was met from its other side; the three new ones look outwards.
      meet({face[0], face[1], apex});
      meet({face[1], face[2], apex});
      meet({face[2], face[0], apex});
    }
  }

private:
  // An oriented face: the free side is that of (b - a) × (c - a). Images of one another are the same.
  struct Oriented {
    std::array<std::uint64_t, 3> words;
    bool operator==(const Oriented &o) const { return words == o.words; }
  };
  struct Hash {
    size_t operator()(const Oriented &o) const
    {
      std::uint64_t h = 0;
      for (const std::uint64_t w : o.words) h = (h ^ w) * 0x9E3779B97F4A7C15ull, h ^= h >> 29;
      return h;
    }
  };

  static Oriented key(const std::array<Vertex, 3> &face)
  {
    // Turn the smallest vertex to the front: even permutations keep the orientation.
    const int least = static_cast<int>(std::min_element(face.begin(), face.end()) - face.begin());
    const Vertex &a = face[least], &b = face[(least + 1) % 3], &c = face[(least + 2) % 3];
    return {{(static_cast<std::uint64_t>(a.point) << 32) | static_cast<std::uint32_t>(b.point),
             static_cast<std::uint64_t>(c.point), (packed(relative(b, a)) << 32) | packed(relative(c, a))}};
  }

  void open(const std::array<Vertex, 3> &face)
  {
    if (open_.insert(key(face)).second) queue_.push_back(face);
  }

  // A new face, given so that its free side looks out of the new tetrahedron, closes the one that looks in, if that is open.
  void meet(const std::array<Vertex, 3> &face)
  {
    const auto other = open_.find(key({face[0], face[2], face[1]}));
    if (other != open_.end())
      open_.erase(other);
    else
      open(face);
  }

  Vector position(const double *f) const
  {
    Vector r{};
    for (int m = 0; m < 3; ++m) r[m] = f[0] * cell_[0][m] + f[1] * cell_[1][m] + f[2] * cell_[2][m];
    return r;
  }

  Vector at(const Vertex &v) const
  {
    Vector r = by_point_[v.point];
    for (int k = 0; k < 3; ++k)
      for (int m = 0; m < 3; ++m) r[m] += v.image[k] * cell_[k][m];
    return r;
  }

  Shift bin(const Vector &r) const
  {
    Shift at{};
    for (int k = 0; k < 3; ++k)
      at[k] = static_cast<int>(std::floor((r[0] * inverse_[0][k] + r[1] * inverse_[1][k] + r[2] * inverse_[2][k]) * count_[k]));
    return at;
  }

  // Visit points ring by ring around a place until `reach()` says how far is far enough.
  template <typename Visit, typename Reach> void search(const Vector &centre, Visit visit, Reach reach) const
  {
    const Shift middle = bin(centre);
    const double width = std::min({width_[0], width_[1], width_[2]});
    for (int ring = 0;; ++ring) {
      // The bins of the rings before hold everything within (ring - 1) widths at least.
      if (ring > 0 && (ring - 1) * width > reach()) return;
      if (ring > 400) throw std::runtime_error("a face of the triangulation has no point before it");
      for (int a = -ring; a <= ring; ++a)
        for (int b = -ring; b <= ring; ++b) {
          const bool side = std::abs(a) == ring || std::abs(b) == ring;
          for (int c = -ring; c <= ring; c += side || ring == 0 ? 1 : 2 * ring) {
            Shift image{}, where{middle[0] + a, middle[1] + b, middle[2] + c};
            for (int k = 0; k < 3; ++k) {
              image[k] = where[k] >= 0 ? where[k] / count_[k] : -((count_[k] - 1 - where[k]) / count_[k]);
              where[k] -= image[k] * count_[k];
            }
            Vector shift{};
            for (int k = 0; k < 3; ++k)
              for (int m = 0; m < 3; ++m) shift[m] += image[k] * cell_[k][m];
            const int home = (where[0] * count_[1] + where[1]) * count_[2] + where[2];
            for (int slot = first_[home]; slot < first_[home + 1]; ++slot) {
              const Vector r = {place_[slot][0] + shift[0], place_[slot][1] + shift[1], place_[slot][2] + shift[2]};
              visit(r, slot, image);
            }
          }
        }
    }
  }

  // The point on the free side whose sphere with the face holds no other: its centre is the least far along the normal.
  Vertex wrap(const std::array<Vertex, 3> &face) const
  {
    const Vector a = at(face[0]), b = at(face[1]), c = at(face[2]);
    const Sphere flat = around(a, b, c);
    Vector normal = cross(minus(b, a), minus(c, a));
    const double length = std::sqrt(dot(normal, normal));
    for (double &x : normal) x /= length;
    double least = infinity;
    Vertex best;
    search(
        flat.centre,
        [&](const Vector &r, int slot, const Shift &image) {
          const Vector d = minus(r, flat.centre);
          const double height = dot(d, normal);
          if (height <= 1e-9) return;
          const double along = (dot(d, d) - flat.square) / (2 * height);
          if (along >= least) return;
          const Vertex v{point_[slot], image};
          for (const Vertex &own : face)
            if (own.point == v.point && own.image == v.image) return;
          least = along;
          best = v;
        },
        [&] { return least == infinity ? infinity : std::max(0.0, least) + std::sqrt(flat.square + least * least); });
    return best;
  }

  // A point, its nearest neighbour, and the third with the smallest circle: a face of the triangulation.
  std::array<Vertex, 3> first_face() const
  {
    std::array<Vertex, 3> face{};
    face[0] = {0, {0, 0, 0}};
    const Vector a = at(face[0]);
    double nearest = infinity;
    search(
        a,
        [&](const Vector &r, int slot, const Shift &image) {
          const double d2 = distance2(a, r);
          if (d2 > 1e-12 && d2 < nearest) nearest = d2, face[1] = {point_[slot], image};
        },
        [&] { return std::sqrt(nearest); });
    const Vector b = at(face[1]);
    double smallest = infinity;
    search(
        around(a, b).centre,
        [&](const Vector &r, int slot, const Shift &image) {
          if (distance2(a, r) < 1e-12 || distance2(b, r) < 1e-12) return;
          const double square = around(a, b, r).square;
          if (square < smallest) smallest = square, face[2] = {point_[slot], image};
        },
        [&] { return 2 * std::sqrt(smallest); });
    return face;
  }

  int n_;
  std::array<Vector, 3> cell_{};
  std::array<Vector, 3> inverse_{};
  Shift count_{};
  std::array<double, 3> width_{};
  std::vector<int> first_, point_;
  std::vector<Vector> place_, by_point_;
  std::vector<std::array<Vertex, 3>> queue_;
  std::unordered_set<Oriented, Hash> open_;
};

using Integers = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::dict to_dict(const Pairs &pairs)
{
  py::dict result;
  result["birth"] = py::array_t<double>(pairs.birth.size(), pairs.birth.data());
  result["death"] = py::array_t<double>(pairs.death.size(), pairs.death.data());
  result["essential"] = py::array_t<double>(pairs.essential.size(), pairs.essential.data());
  result["ring"] = py::array_t<int>(pairs.ring.size(), pairs.ring.data());
  result["edge"] = py::array_t<int>({static_cast<py::ssize_t>(pairs.edge.size()), static_cast<py::ssize_t>(2)},
                                    pairs.edge.empty() ? nullptr : pairs.edge.front().data());
  result["euler"] = pairs.euler;
  result["largest"] = pairs.largest;
  return result;
}

py::dict loops(const Integers &points, const Integers &images, const Doubles &corners, int n_points, double cap, int longest_ring)
{
  const py::ssize_t n = points.shape(0);
  if (points.ndim() != 2 || points.shape(1) != 4 || images.size() != 12 * n || corners.size() != 12 * n)
    throw std::invalid_argument("points, images and corners must have shapes (n, 4), (n, 4, 3) and (n, 4, 3)");
  std::vector<std::array<Vertex, 4>> tetrahedra(n);
  std::vector<std::array<Vector, 4>> places(n);
  for (py::ssize_t t = 0; t < n; ++t) {
    std::array<int, 4> by{0, 1, 2, 3};
    std::array<Vertex, 4> v{};
    for (int k = 0; k < 4; ++k) {
      v[k].point = points.data()[4 * t + k];
      if (v[k].point < 0 || v[k].point >= n_points) throw std::invalid_argument("a vertex is not one of the points");
      for (int m = 0; m < 3; ++m) v[k].image[m] = images.data()[12 * t + 3 * k + m];
    }
    std::sort(by.begin(), by.end(), [&](int a, int b) { return v[a] < v[b]; });
    for (int k = 0; k < 4; ++k) {
      tetrahedra[t][k] = v[by[k]];
      for (int m = 0; m < 3; ++m) places[t][k][m] = corners.data()[12 * t + 3 * by[k] + m];
    }
  }
  Pairs pairs;
  {
    py::gil_scoped_release release;
    Complex complex(std::move(tetrahedra), std::move(places), n_points, cap);
    pairs = complex.persistence(longest_ring);
  }
  return to_dict(pairs);
}

py::dict torus_loops(const Doubles &scaled, const Doubles &cell, int longest_ring)
{
  if (scaled.ndim() != 2 || scaled.shape(1) != 3 || scaled.shape(0) < 4)
    throw std::invalid_argument("scaled must have shape (n_points, 3) with four points or more");
  if (cell.ndim() != 2 || cell.shape(0) != 3 || cell.shape(1) != 3) throw std::invalid_argument("cell must have shape (3, 3)");
  std::array<Vector, 3> box{};
  for (int k = 0; k < 3; ++k)
    for (int m = 0; m < 3; ++m) box[k][m] = cell.at(k, m);
  const int n = static_cast<int>(scaled.shape(0));
  const double *positions = scaled.data();
  Pairs pairs;
  {
    py::gil_scoped_release release;
    std::vector<std::array<Vertex, 4>> tetrahedra;
    std::vector<std::array<Vector, 4>> corners;
    Torus(positions, n, box).triangulate(tetrahedra, corners);
    Complex complex(std::move(tetrahedra), std::move(corners), n, infinity);
    pairs = complex.persistence(longest_ring);
  }
  return to_dict(pairs);
}

}  // namespace

PYBIND11_MODULE(_alpha, module)
{
  module.doc() = "Persistent loops of the alpha filtration of periodic points.";
  module.def("loops", &loops, py::arg("points"), py::arg("images"), py::arg("corners"), py::arg("n_points"), py::arg("cap"),
             py::arg("longest_ring"), "Squared radii at which loops are born and die, and the points of the edge that closes each, from one tetrahedron of each "
             "periodic class.");
  module.def("torus_loops", &torus_loops, py::arg("scaled"), py::arg("cell"), py::arg("longest_ring"),
             "The same for points in a fully periodic cell, which is triangulated here; scaled positions in [0, 1).");
}
