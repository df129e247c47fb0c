// SPDX-License-Identifier: MIT
#include "schedule.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace mtp::gpu {
namespace {

// In terms of moments rather than slots: values are numbered like moments, gradients come behind them.
class Builder {
 public:
  explicit Builder(const Program& program)
      : p_(program), count_(program.moments()), forward_(count_), backward_(count_), ready_(2 * count_, 0) {
    collect_products();
    plan_values();
    plan_gradients();
  }

  Schedule finish() {
    Schedule schedule;
    schedule.moments = p_.independent;
    assign_slots(schedule);
    schedule.stages = std::move(stages_);
    return schedule;
  }

 private:
  int gradient(int moment) const { return count_ + moment; }

  void collect_products() {
    expand_dependents();
    for (int k = 0; k < p_.inner; ++k)
      for (int t = p_.product_start[k]; t < p_.product_start[k + 1]; ++t)
        forward_[p_.independent + p_.dependent + k].push_back({p_.factors[t].a, p_.factors[t].b, p_.weights[t]});
    for (int c = p_.independent; c < count_; ++c)
      for (const Product& t : forward_[c]) {
        backward_[t.a].push_back({t.b, gradient(c), t.a == t.b ? 2 * t.weight : t.weight});
        if (t.b >= 0 && t.a != t.b) backward_[t.b].push_back({t.a, gradient(c), t.weight});
      }
  }

  // Dependent moments as sums of independent ones, so that all of them are of one stage.
  void expand_dependents() {
    std::vector<std::map<int, double>> sums(count_);
    for (int k = 0; k < p_.independent; ++k) sums[k][k] = 1.0;
    for (int k = 0; k < p_.dependent; ++k) {
      const Dependent& d = p_.dependents[k];
      for (const auto& [source, weight] : {std::pair{d.lower, 1.0}, {d.xx, -1.0}, {d.yy, -1.0}})
        for (const auto& [moment, w] : sums[source]) sums[d.target][moment] += weight * w;
      for (const auto& [moment, w] : sums[d.target])
        if (w != 0.0) forward_[d.target].push_back({moment, -1, w});
    }
  }

  void plan_values() {
    for (int k = p_.independent; k < count_; ++k) {
      int stage = 0;
      for (const Product& t : forward_[k]) stage = std::max({stage, ready_[t.a], t.b < 0 ? 0 : ready_[t.b]});
      ready_[k] = stage + 1;
      last_value_ = std::max(last_value_, ready_[k]);
      add(ready_[k], {k, false, -1, 0.0, {}, forward_[k]});
    }
  }

  // A gradient is added to as soon as its sources are there.
  void plan_gradients() {
    for (int k = count_ - 1; k >= 0; --k) {
      std::map<int, std::vector<Product>> by_stage;
      for (const Product& t : backward_[k]) by_stage[1 + ready_[t.b]].push_back(t);
      int first = last_value_ + 1;
      if (k >= p_.independent && !by_stage.empty()) first = by_stage.begin()->first;
      by_stage[first];
      for (auto& [stage, products] : by_stage) {
        for (Product& t : products)
          if (t.a < 0) t = {t.b, -1, t.weight};
        Task task = {gradient(k), stage != first, -1, 0.0, {}, std::move(products)};
        if (stage == first) {
          task.value = k;
          task.constant = p_.constant[k];
          task.linears.assign(p_.linears + p_.linear_start[k], p_.linears + p_.linear_start[k + 1]);
        }
        ready_[gradient(k)] = stage;
        add(stage, std::move(task));
      }
    }
  }

  void add(int stage, Task task) {
    if (static_cast<int>(stages_.size()) < stage) stages_.resize(stage);
    stages_[stage - 1].push_back(std::move(task));
  }

  template <typename Visit>
  static void visit(Task& task, Visit see) {
    see(task.slot);
    if (task.value >= 0) see(task.value);
    for (Linear& l : task.linears) see(l.a);
    for (Product& t : task.products) {
      see(t.a);
      if (t.b >= 0) see(t.b);
    }
  }

  // Numbers of values and gradients become slots; one that is read for the last time is free from the next stage on.
  void assign_slots(Schedule& schedule) {
    std::vector<int> end(2 * count_, 0), slot(2 * count_, -1), free;
    for (std::size_t s = 0; s < stages_.size(); ++s)
      for (Task& task : stages_[s]) visit(task, [&](int& x) { end[x] = static_cast<int>(s); });
    for (int k = 0; k < p_.independent; ++k) {
      slot[k] = k;
      slot[gradient(k)] = schedule.gradients() + k;
    }
    schedule.slots = schedule.one() + 1;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      std::vector<int> read;
      for (Task& task : stages_[s]) {
        int& own = slot[task.slot];
        if (own < 0 && free.empty()) own = schedule.slots++;
        if (own < 0) own = free.back(), free.pop_back();
        visit(task, [&](int& x) { read.push_back(x); });
      }
      for (Task& task : stages_[s]) visit(task, [&](int& x) { x = slot[x]; });
      std::sort(read.begin(), read.end());
      read.erase(std::unique(read.begin(), read.end()), read.end());
      for (const int x : read)
        if (end[x] == static_cast<int>(s) && slot[x] > schedule.one()) free.push_back(slot[x]);
    }
  }

  const Program& p_;
  int count_;
  std::vector<std::vector<Product>> forward_;   // [moment] what it is
  std::vector<std::vector<Product>> backward_;  // [moment] what its gradient adds: the other factor, a gradient
  std::vector<int> ready_;                      // stage after which it is complete
  int last_value_ = 0;
  std::vector<std::vector<Task>> stages_;
};

}  // namespace

Schedule make_schedule(const Program& program) { return Builder(program).finish(); }

std::vector<std::vector<const Task*>> share_in_order(const std::vector<Task>& stage, int count) {
  std::vector<const Task*> tasks;
  for (const Task& task : stage) tasks.push_back(&task);
  std::sort(tasks.begin(), tasks.end(), [](const Task* a, const Task* b) { return a->slot < b->slot; });
  double total = 0.0, done = 0.0;
  for (const Task* task : tasks) total += task->cost();
  std::vector<std::vector<const Task*>> groups(count);
  for (const Task* task : tasks) {
    groups[std::min(count - 1, static_cast<int>((done + task->cost() / 2) / total * count))].push_back(task);
    done += task->cost();
  }
  return groups;
}

std::vector<std::vector<const Task*>> share_balanced(const std::vector<Task>& stage, int count) {
  std::vector<const Task*> tasks;
  for (const Task& task : stage) tasks.push_back(&task);
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task* a, const Task* b) { return a->cost() > b->cost(); });
  std::vector<std::vector<const Task*>> groups(count);
  std::vector<double> load(count, 0.0);
  for (const Task* task : tasks) {
    const auto least = std::min_element(load.begin(), load.end()) - load.begin();
    groups[least].push_back(task);
    load[least] += task->cost();
  }
  return groups;
}

}  // namespace mtp::gpu
