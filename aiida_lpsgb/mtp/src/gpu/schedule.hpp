// The products of a program and their derivatives as tasks in stages: tasks of one stage need only what earlier stages
// have left in slots, so that many threads can share a stage.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "../program.hpp"

namespace mtp::gpu {

struct Product {
  int a, b;  // slots; b is -1 where `a` stands alone
  double weight;
};

// slot = [slot +] constant + linear + products. A task with a value is the first of a gradient: `constant` and `linear`
// are what the energy adds to it, and the energy receives X[value] (constant + linear / 2).
struct Task {
  int slot;
  bool add;
  int value = -1;
  double constant = 0.0;
  std::vector<Linear> linears;
  std::vector<Product> products;

  double cost() const { return 2.0 + static_cast<double>(linears.size()) + 1.5 * static_cast<double>(products.size()); }
};

// Slots: the independent moments, their gradients, one that holds 1, then those that are used again and again.
struct Schedule {
  int moments;  // independent
  int slots;
  std::vector<std::vector<Task>> stages;

  int gradients() const { return moments; }
  int one() const { return 2 * moments; }
};

Schedule make_schedule(const Program& program);

// Tasks of a stage for each of `count` groups, of about the same cost: near slots together, or balanced at best.
std::vector<std::vector<const Task*>> share_in_order(const std::vector<Task>& stage, int count);
std::vector<std::vector<const Task*>> share_balanced(const std::vector<Task>& stage, int count);

}  // namespace mtp::gpu
