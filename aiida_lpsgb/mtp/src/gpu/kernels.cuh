// The kernels, compiled for one potential's shape: the generated text before this one defines the macros and functions
// in capitals or named in comments. Written in the CUDA that NVRTC compiles; emulation.h compiles it for the host.
//
// SPDX-License-Identifier: MIT

using namespace mtp_gpu;

#define ALL_LANES 0xffffffffu
#define ATOM_MASK ((1u << ATOM_BITS) - 1u)

static_assert(LANES == 4, "four lanes share the atomic additions of a force");

DEVICE int atom_of(unsigned entry) { return int(entry & ATOM_MASK); }
DEVICE int species_of(unsigned entry) { return int(entry >> ATOM_BITS); }

DEVICE int warp_max(int value) {
  for (int m = 16; m > 0; m >>= 1) value = max(value, __shfl_xor_sync(ALL_LANES, value, m));
  return value;
}

template <class V>
DEVICE V warp_sum(V value) {
  for (int m = 16; m > 0; m >>= 1) value += __shfl_xor_sync(ALL_LANES, value, m);
  return value;
}

// ---- positions ------------------------------------------------------------------------------------------------------

extern "C" __global__ void mtp_pack(Parameters p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.all) return;
  const double x = p.positions[3l * i] - p.origin[0], y = p.positions[3l * i + 1] - p.origin[1],
               z = p.positions[3l * i + 2] - p.origin[2];
  p.points[i] = {x, y, z, 0.0};
  p.near_points[i] = {float(x), float(y), float(z), unsigned(i) | unsigned(p.species[i]) << ATOM_BITS};
  p.energies[i] = 0.0;
}

// ---- neighbour list -------------------------------------------------------------------------------------------------

DEVICE int cell_along(const Parameters& p, float x, int axis) {
  return int(fminf(fmaxf((x - p.low[axis]) * p.cell_inverse, 0.0f), float(p.cells[axis] - 1)));
}

extern "C" __global__ void mtp_count_cells(Parameters p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.all) return;
  const NearPoint q = p.near_points[i];
  const int cell = (cell_along(p, q.z, 2) * p.cells[1] + cell_along(p, q.y, 1)) * p.cells[0] + cell_along(p, q.x, 0);
  p.cell_of[i] = cell;
  p.rank_in_cell[i] = atomicAdd(p.cell_counts + cell, 1);
}

// Gives every cell its place among the sorted points. Blocks come in any order, which does not matter.
extern "C" __global__ void mtp_place_cells(Parameters p) {
  SHARED_MEMORY(memory);
  int* sums = reinterpret_cast<int*>(memory);
  const int t = threadIdx.x, size = blockDim.x, cell = blockIdx.x * size + t;
  const int own = cell < p.cells[0] * p.cells[1] * p.cells[2] ? p.cell_counts[cell] : 0;
  sums[t] = own;
  __syncthreads();
  for (int shift = 1; shift < size; shift <<= 1) {
    const int other = t >= shift ? sums[t - shift] : 0;
    __syncthreads();
    sums[t] += other;
    __syncthreads();
  }
  const int sum = sums[t];
  if (t == size - 1) sums[size] = atomicAdd(p.filled, sum);
  __syncthreads();
  if (cell < p.cells[0] * p.cells[1] * p.cells[2]) p.cell_starts[cell] = sums[size] + sum - own;
}

extern "C" __global__ void mtp_fill_cells(Parameters p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.all) return;
  p.cell_points[p.cell_starts[p.cell_of[i]] + p.rank_in_cell[i]] = p.near_points[i];
}

// A warp a row. What finds no room is counted; the host gives more and repeats.
extern "C" __global__ void mtp_build_list(Parameters p) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= p.rows) return;
  const int i = p.order[row];
  const NearPoint c = p.near_points[i];
  const int cx = cell_along(p, c.x, 0), cy = cell_along(p, c.y, 1), cz = cell_along(p, c.z, 2);
  unsigned* out = p.list + long(row) * p.stride;
  int count = 0;
  for (int z = max(cz - 1, 0); z <= min(cz + 1, p.cells[2] - 1); ++z)
    for (int y = max(cy - 1, 0); y <= min(cy + 1, p.cells[1] - 1); ++y)
      for (int x = max(cx - 1, 0); x <= min(cx + 1, p.cells[0] - 1); ++x) {
        const int cell = (z * p.cells[1] + y) * p.cells[0] + x, size = p.cell_counts[cell];
        const NearPoint* points = p.cell_points + p.cell_starts[cell];
        for (int k = lane; k - lane < size; k += 32) {
          NearPoint q = {};
          bool in = false;
          if (k < size) {
            q = points[k];
            const float dx = q.x - c.x, dy = q.y - c.y, dz = q.z - c.z;
            in = atom_of(q.entry) != i && dx * dx + dy * dy + dz * dz < p.list_squared;
          }
          const unsigned found = __ballot_sync(ALL_LANES, in);
          const int at = count + __popc(found & ((1u << lane) - 1u));
          if (in && at < p.stride) out[at] = q.entry;
          count += __popc(found);
        }
      }
  if (lane != 0) return;
  p.lengths[row] = min(count, p.stride);
  if (count > p.stride) atomicMax(p.filled + 1, count);
}

// ---- neighbours within the cutoff -----------------------------------------------------------------------------------

// The lanes of an atom and their place among those of the warp.
struct Lane {
  int at, sub, row, atom, species;
  bool live;
};

DEVICE Lane lane_of(const Parameters& p) {
  Lane lane;
  lane.at = threadIdx.x / LANES;
  lane.sub = threadIdx.x % LANES;
  lane.row = blockIdx.x * TILE + lane.at;
  lane.live = lane.row < p.rows;
  lane.atom = p.order[lane.live ? lane.row : 0];
  lane.species = p.species[lane.atom];
  return lane;
}

// Fills `near` and returns how many there are.
DEVICE int find_near(const Parameters& p, const Lane& lane, unsigned* near) {
  const int length = lane.live ? p.lengths[lane.row] : 0, longest = warp_max(length);
  const unsigned* list = p.list + long(lane.row) * p.stride;
  const NearPoint c = p.near_points[lane.atom];
  const int place = threadIdx.x % 32;
  const unsigned mine = ((1u << LANES) - 1u) << (place - lane.sub), before = (1u << place) - 1u;
  int count = 0;
  UNROLL(4)
  for (int k = lane.sub; k - lane.sub < longest; k += LANES) {
    unsigned entry = 0;
    bool in = false;
    if (k < length) {
      entry = list[k];
      const NearPoint q = p.near_points[atom_of(entry)];
      const float dx = q.x - c.x, dy = q.y - c.y, dz = q.z - c.z;
      in = dx * dx + dy * dy + dz * dz < p.near_squared;
    }
    const unsigned found = __ballot_sync(ALL_LANES, in) & mine;
    const int at = count + __popc(found & before);
    if (in && at < p.capacity) near[at] = entry;
    count += __popc(found);
  }
  if (lane.sub == 0 && count > p.capacity) atomicMax(p.filled + 2, count);
  return min(count, p.capacity);
}

// ---- radial functions -----------------------------------------------------------------------------------------------

struct Bond {
  R x, y, z;      // unit vector to the neighbour
  R distance, inverse;
  R t, d;         // argument of the Chebyshev polynomials; distance to the cutoff, or 0 beyond it
};

DEVICE Bond bond_between(const Parameters& p, const Point& c, const Point& q) {
  const R x = R(q.x - c.x), y = R(q.y - c.y), z = R(q.z - c.z);
  const R squared = x * x + y * y + z * z, inverse = rsqrt(squared), distance = squared * inverse;
  const R argument = REPULSIVE ? fmax(distance, R(p.min_dist)) : distance;
  return {x * inverse, y * inverse, z * inverse, distance, inverse, argument * R(p.scale) + R(p.shift),
          fmin(argument - R(p.cutoff), R(0))};
}

struct alignas(16) Packet {
  R v[16 / sizeof(R)];
};
constexpr int packet = 16 / sizeof(R);

// Coefficients of the radial functions: in shared memory where they are few.
DEVICE const R* radial_coefficients(const Parameters& p, R* shared) {
  const R* all = static_cast<const R*>(p.radial);
  if (!RADIAL_SHARED) return all;
  for (int k = threadIdx.x; k < RADIAL_SHARED; k += blockDim.x) shared[k] = all[k];
  return shared;
}

DEVICE const R* radial_row(const R* coefficients, int centre, int neighbour) {
  return coefficients + (centre * SPECIES + neighbour) * RADIAL_ROW;
}

// Functions first to last.
template <int first, int last>
DEVICE void radial_values(const R* row, const Bond& bond, R* values) {
  R T[RADIAL_WIDTH];
  T[0] = 1;
  T[1] = bond.t;
  UNROLL_ALL
  for (int k = 2; k < RADIAL_WIDTH; ++k) T[k] = 2 * bond.t * T[k - 1] - T[k - 2];
  const R dd = bond.d * bond.d;
  UNROLL_ALL
  for (int mu = first; mu < last; ++mu) {
    R sum = 0;
    UNROLL_ALL
    for (int k = 0; k < RADIAL_WIDTH; k += packet) {
      const Packet c = *reinterpret_cast<const Packet*>(row + mu * RADIAL_WIDTH + k);
      UNROLL_ALL
      for (int m = 0; m < packet; ++m) sum += c.v[m] * T[k + m];
    }
    values[mu - first] = dd * sum;
  }
}

DEVICE void radial_slopes(const Parameters& p, const R* row, const Bond& bond, R* values, R* slopes) {
  R T[RADIAL_WIDTH], D[RADIAL_WIDTH];  // polynomials and their derivatives
  T[0] = 1;
  T[1] = bond.t;
  D[0] = 0;
  D[1] = 1;
  UNROLL_ALL
  for (int k = 2; k < RADIAL_WIDTH; ++k) {
    T[k] = 2 * bond.t * T[k - 1] - T[k - 2];
    D[k] = 2 * bond.t * D[k - 1] - D[k - 2] + 2 * T[k - 1];
  }
  const R dd = bond.d * bond.d;
  const bool flat = REPULSIVE && bond.distance <= R(p.min_dist);
  UNROLL_ALL
  for (int mu = 0; mu < FUNCTIONS; ++mu) {
    R sum = 0, slope = 0;
    UNROLL_ALL
    for (int k = 0; k < RADIAL_WIDTH; k += packet) {
      const Packet c = *reinterpret_cast<const Packet*>(row + mu * RADIAL_WIDTH + k);
      UNROLL_ALL
      for (int m = 0; m < packet; ++m) {
        sum += c.v[m] * T[k + m];
        slope += c.v[m] * D[k + m];
      }
    }
    values[mu] = dd * sum;
    slopes[mu] = flat ? R(0) : dd * R(p.scale) * slope + 2 * bond.d * sum;
  }
}

// ---- basic moments --------------------------------------------------------------------------------------------------

// Sums over the lanes of an atom, which put them into `column`. Each round halves what a lane holds.
template <int N, int MASK>
DEVICE void sum_over_lanes(const R (&v)[N], int sub, R* column, long stride, int total) {
  if constexpr (MASK == LANES) {
    UNROLL_ALL
    for (int k = 0; k < N; ++k)
      if (LANES * k + sub < total) column[(LANES * k + sub) * stride] = v[k];
  } else {
    constexpr int half = (N + 1) / 2;
    R kept[half];
    const bool odd = sub & MASK;
    UNROLL_ALL
    for (int k = 0; k < half; ++k) {
      const R even = v[2 * k], next = 2 * k + 1 < N ? v[2 * k + 1 < N ? 2 * k + 1 : 0] : R(0);
      kept[k] = (odd ? next : even) + __shfl_xor_sync(ALL_LANES, odd ? even : next, MASK);
    }
    sum_over_lanes<half, 2 * MASK>(kept, sub, column, stride, total);
  }
}

// A chunk is as many radial functions as have their moments in registers: `Chunk::add` is generated.
template <class Chunk>
DEVICE void basic_moments(const Parameters& p, const R* radial, const Lane& lane, const unsigned* near, int count,
                          R* column, long stride) {
  R sums[Chunk::count];
  UNROLL_ALL
  for (int k = 0; k < Chunk::count; ++k) sums[k] = 0;
  const Point c = p.points[lane.atom];
  UNROLL(1)
  for (int k = lane.sub; k < count; k += LANES) {
    const unsigned entry = near[k];
    const Bond bond = bond_between(p, c, p.points[atom_of(entry)]);
    R values[Chunk::last - Chunk::first];
    radial_values<Chunk::first, Chunk::last>(radial_row(radial, lane.species, species_of(entry)), bond, values);
    Chunk::add(bond.x, bond.y, bond.z, values, sums);
  }
  sum_over_lanes<Chunk::count, 1>(sums, lane.sub, column + Chunk::offset * stride, stride, Chunk::count);
}

// ---- products -------------------------------------------------------------------------------------------------------

// X holds the moments of an atom, slot by slot, beside those of the block's other atoms, and receives the gradients;
// groups of threads share the work between barriers. Returns a part of the energy. Without tables this is generated.
#if TABLES
#define SLOT_MASK ((1u << SLOT_BITS) - 1u)

DEVICE R weight_of(Entry entry) {
  const unsigned weight = unsigned(entry >> 2 * SLOT_BITS);
  // 2^52 + weight, exact and without the slow conversion.
  if constexpr (sizeof(R) == 8)
    return R(__hiloint2double(0x43300000, int(weight)) - (4503599627370496.0 + WEIGHT_BIAS));
  return R(int(weight - unsigned(WEIGHT_BIAS)));
}

DEVICE R product_of(Entry entry, const R* X) {
  return weight_of(entry) * X[int(entry & SLOT_MASK) * PRODUCT_TILE] *
         X[int(entry >> SLOT_BITS & SLOT_MASK) * PRODUCT_TILE];
}

DEVICE R products(const Parameters& p, R* X, int group) {
  const R* constants = static_cast<const R*>(p.task_constants);
  const R* weights = static_cast<const R*>(p.linear_weights);
  const Entry* entries = static_cast<const Entry*>(p.entries);
  R energy = 0;
  for (int s = 0; s < STAGES; ++s) {
    const Int4 begin = p.starts[s * GROUPS + group];
    const int end = p.starts[s * GROUPS + group + 1].x;
    int linear = begin.y, product = begin.z;
    for (int task = begin.x; task < end; ++task) {
      const Int4 header = p.headers[task];  // slot (negative: add to what is there), linears, products, value's slot
      R sum = 0, more = 0;
      const int linear_end = linear + header.y, product_end = product + header.z;
      UNROLL(4)
      for (; linear < linear_end; ++linear) sum += weights[linear] * X[p.linear_slots[linear] * PRODUCT_TILE];
      if (header.w >= 0) {
        const R c = constants[task];
        energy += X[header.w * PRODUCT_TILE] * (c + R(0.5) * sum);
        sum += c;
      }
      R* out = X + (header.x < 0 ? -header.x - 1 : header.x) * PRODUCT_TILE;
      if (header.x < 0) more = *out;
      UNROLL(2)
      for (; product < product_end; product += 2) {  // an even number
        sum += product_of(entries[product], X);
        more += product_of(entries[product + 1], X);
      }
      *out = sum + more;
    }
    __syncthreads();
  }
  return energy;
}
#endif

// ---- forces ---------------------------------------------------------------------------------------------------------

// From the gradients of an atom's moments, TILE apart: those of the unit vector by the generated `differentiate`.
DEVICE void forces_of(const Parameters& p, const R* radial, const Lane& lane, const unsigned* near, int count,
                      const R* gradients) {
  const Point c = p.points[lane.atom];
  R fx = 0, fy = 0, fz = 0;
#if REPULSIVE
  R repulsion = 0;
#endif
#if ATOM_VIRIALS
  R virial[6] = {};
#endif
  const int most = warp_max(count), component = threadIdx.x % 4;
  UNROLL(1)
  for (int k = lane.sub; k - lane.sub < most; k += LANES) {
    R ox = 0, oy = 0, oz = 0;
    int j = -1;
    if (k < count) {
      const unsigned entry = near[k];
      j = atom_of(entry);
      const Bond bond = bond_between(p, c, p.points[j]);
      R values[FUNCTIONS], slopes[FUNCTIONS];
      radial_slopes(p, radial_row(radial, lane.species, species_of(entry)), bond, values, slopes);
      R dx = 0, dy = 0, dz = 0, slope = 0;
      differentiate(gradients, bond.x, bond.y, bond.z, values, slopes, dx, dy, dz, slope);
#if REPULSIVE
      if (bond.distance < R(p.min_dist)) {
        const R bare = R(1e4) * exp(R(-10) * (bond.distance - R(1)));
        repulsion += bare - R(1e4) * exp(R(-10) * (R(p.min_dist) - R(1)));
        slope -= R(10) * bare;
      }
#endif
      // Along the bond the radial functions change, across it the unit vector does.
      const R along = slope - (dx * bond.x + dy * bond.y + dz * bond.z) * bond.inverse;
      ox = along * bond.x + dx * bond.inverse;
      oy = along * bond.y + dy * bond.inverse;
      oz = along * bond.z + dz * bond.inverse;
#if ATOM_VIRIALS
      const R rx = bond.x * bond.distance, ry = bond.y * bond.distance, rz = bond.z * bond.distance;
      virial[0] -= ox * rx;
      virial[1] -= oy * ry;
      virial[2] -= oz * rz;
      virial[3] -= ox * ry;
      virial[4] -= ox * rz;
      virial[5] -= oy * rz;
#endif
    }
    fx += ox;
    fy += oy;
    fz += oz;
    // Four lanes add the components of one neighbour at a time.
    UNROLL_ALL
    for (int w = 0; w < 4; ++w) {
      const int atom = __shfl_sync(ALL_LANES, j, w, 4);
      const R x = __shfl_sync(ALL_LANES, ox, w, 4), y = __shfl_sync(ALL_LANES, oy, w, 4),
              z = __shfl_sync(ALL_LANES, oz, w, 4);
      if (component < 3 && atom >= 0)
        atomicAdd(p.forces + 3l * atom + component, -double(component == 0 ? x : component == 1 ? y : z));
    }
  }
  for (int m = 1; m < LANES; m <<= 1) {
    fx += __shfl_xor_sync(ALL_LANES, fx, m);
    fy += __shfl_xor_sync(ALL_LANES, fy, m);
    fz += __shfl_xor_sync(ALL_LANES, fz, m);
#if REPULSIVE
    repulsion += __shfl_xor_sync(ALL_LANES, repulsion, m);
#endif
#if ATOM_VIRIALS
    for (int a = 0; a < 6; ++a) virial[a] += __shfl_xor_sync(ALL_LANES, virial[a], m);
#endif
  }
  if (lane.sub != 0 || !lane.live) return;
  atomicAdd(p.forces + 3l * lane.atom, double(fx));
  atomicAdd(p.forces + 3l * lane.atom + 1, double(fy));
  atomicAdd(p.forces + 3l * lane.atom + 2, double(fz));
#if REPULSIVE
  atomicAdd(p.energies + lane.atom, double(repulsion));
#endif
#if ATOM_VIRIALS
  for (int a = 0; a < 6; ++a) p.virials[6l * lane.atom + a] = virial[a];
#endif
}

DEVICE void add_energy(const Parameters& p, int row, int group, R energy) {
  if (row >= p.rows) return;
  const int i = p.order[row];
  atomicAdd(p.energies + i, double(energy) + (group == 0 ? p.constants[p.species[i]] : 0.0));
}

// ---- all of it in one kernel, or in three where one would need too much shared memory ------------------------------

#if !TABLES

extern "C" __global__ void __launch_bounds__(LANES * TILE, MIN_BLOCKS) mtp_evaluate(Parameters p) {
  SHARED_MEMORY(memory);
  R* columns = reinterpret_cast<R*>(memory);
  R* shared = columns + SLOTS * TILE;
  unsigned* near = reinterpret_cast<unsigned*>(shared + RADIAL_SHARED);
  const R* radial = radial_coefficients(p, shared);
  const Lane lane = lane_of(p);
  near += lane.at * p.capacity;
  const int count = find_near(p, lane, near);
  __syncthreads();
#define CHUNK(NAME) basic_moments<NAME>(p, radial, lane, near, count, columns + lane.at, TILE);
  CHUNKS
#undef CHUNK
  __syncthreads();
  const int at = threadIdx.x % TILE, group = threadIdx.x / TILE;
  const R energy = products(columns + at, group);
  add_energy(p, blockIdx.x * TILE + at, group, energy);
  forces_of(p, radial, lane, near, count, columns + GRADIENTS * TILE + lane.at);
}

#else

extern "C" __global__ void __launch_bounds__(LANES * TILE) mtp_moments(Parameters p) {
  SHARED_MEMORY(memory);
  const R* radial = radial_coefficients(p, reinterpret_cast<R*>(memory));
  const Lane lane = lane_of(p);
  unsigned* near = p.near + long(lane.row) * p.capacity;
  const int count = find_near(p, lane, near);
  __syncthreads();
  // Rows beyond the last one of the tile are there, and not read.
  R* column = static_cast<R*>(p.moments) + lane.row;
#define CHUNK(NAME) basic_moments<NAME>(p, radial, lane, near, count, column, PADDED_ROWS);
  CHUNKS
#undef CHUNK
  if (lane.sub == 0) p.near_counts[lane.row] = count;
}

extern "C" __global__ void __launch_bounds__(PRODUCT_TILE * GROUPS) mtp_products(Parameters p) {
  SHARED_MEMORY(memory);
  const int at = threadIdx.x % PRODUCT_TILE, group = threadIdx.x / PRODUCT_TILE;
  const long row = blockIdx.x * PRODUCT_TILE + at;
  R* X = reinterpret_cast<R*>(memory) + at;
  const R* moments = static_cast<const R*>(p.moments) + row;
  R* gradients = static_cast<R*>(p.gradients) + row;
  for (int k = group; k < MOMENTS; k += GROUPS) X[k * PRODUCT_TILE] = moments[k * PADDED_ROWS];
  if (group == 0) X[ONE * PRODUCT_TILE] = 1;
  __syncthreads();
  const R energy = products(p, X, group);
  for (int k = group; k < MOMENTS; k += GROUPS) gradients[k * PADDED_ROWS] = X[(GRADIENTS + k) * PRODUCT_TILE];
  add_energy(p, int(row), group, energy);
}

extern "C" __global__ void __launch_bounds__(LANES * TILE, 4) mtp_forces(Parameters p) {
  SHARED_MEMORY(memory);
  R* shared = reinterpret_cast<R*>(memory);
  R* columns = shared + RADIAL_SHARED;
  const R* radial = radial_coefficients(p, shared);
  const Lane lane = lane_of(p);
  const R* gradients = static_cast<const R*>(p.gradients) + blockIdx.x * TILE;
  for (int k = threadIdx.x; k < MOMENTS * TILE; k += LANES * TILE)
    columns[k] = gradients[k / TILE * PADDED_ROWS + k % TILE];
  __syncthreads();
  forces_of(p, radial, lane, p.near + long(lane.row) * p.capacity, p.near_counts[lane.row], columns + lane.at);
}

#endif

// ---- sums over all atoms --------------------------------------------------------------------------------------------

// The virial follows from positions and forces, because forces on ghosts are not yet sent home.
extern "C" __global__ void mtp_totals(Parameters p) {
  double sums[7] = {};
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < p.all; i += gridDim.x * blockDim.x) {
    const Point q = p.points[i];
    const double* f = p.forces + 3l * i;
    sums[0] += p.energies[i];
    sums[1] += q.x * f[0];
    sums[2] += q.y * f[1];
    sums[3] += q.z * f[2];
    sums[4] += q.y * f[0];
    sums[5] += q.z * f[0];
    sums[6] += q.z * f[1];
  }
  for (int a = 0; a < 7; ++a) {
    const double sum = warp_sum(sums[a]);
    if (threadIdx.x % 32 == 0) atomicAdd(p.totals + a, sum);
  }
}
