// The program `lpsgb-mlp`: the sub-commands of MLIP-2's `mlp` that evaluate and select, with its options, files and
// printed reports. Those that train and make potentials are Python's (aiida_lpsgb/mtp/cli.py), which is started here.
//
// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <thread>

#include "configurations.hpp"
#include "evaluator.hpp"
#include "periodic.hpp"
#include "potential.hpp"
#include "report.hpp"
#include "selection.hpp"

namespace {

using namespace mtp;

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- arguments ------------------------------------------------------------------------------------------------------

struct Option {
  const char *name, *metavar, *help;  // a flag has no metavar
};

struct Command {
  const char *name, *help;
  std::vector<const char*> places;
  std::vector<Option> options;
  void (*run)(const class Arguments&);
};

class Arguments {
 public:
  Arguments(const Command& command, int count, char** values) : command_(command) {
    for (int k = 0; k < count; ++k) {
      const std::string text = values[k];
      if (text.size() > 1 && text[0] == '-') {
        const std::size_t equals = text.find('=');
        const Option& option = find(text.substr(0, equals));
        if (option.metavar == nullptr && equals != std::string::npos) throw UsageError(text + " takes no value");
        if (option.metavar != nullptr && equals == std::string::npos && ++k == count)
          throw UsageError(text + " needs a value");
        given_[option.name] = option.metavar == nullptr ? "" : equals == std::string::npos ? values[k] : text.substr(equals + 1);
      } else {
        places_.push_back(text);
      }
    }
    if (places_.size() != command.places.size())
      throw UsageError(std::to_string(command.places.size()) + " file" + (command.places.size() > 1 ? "s" : "") +
                       " should be named, got " + std::to_string(places_.size()));
  }

  const std::string& operator[](std::size_t place) const { return places_[place]; }
  bool has(const std::string& name) const { return given_.count(name) > 0; }
  std::string text(const std::string& name, const std::string& otherwise) const {
    return has(name) ? given_.at(name) : otherwise;
  }

  double number(const std::string& name, double otherwise, const std::function<bool(double)>& fits, const char* what) const {
    if (!has(name)) return otherwise;
    const std::string& value = given_.at(name);
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !std::isfinite(number) || !fits(number))
      throw UsageError("argument " + name + ": " + what + " is needed, got " + (value.empty() ? "nothing" : value));
    return number;
  }

  double positive(const char* name, double otherwise) const {
    return number(name, otherwise, [](double x) { return x > 0; }, "a positive number");
  }
  double above_one(const char* name, double otherwise) const {
    return number(name, otherwise, [](double x) { return x > 1; }, "a number above 1");
  }
  long count(const char* name, long otherwise, long least) const {
    return std::lround(number(name, static_cast<double>(otherwise),
                              [least](double x) { return x >= least && x == std::floor(x) && x < 1e9; },
                              least > 0 ? "a positive integer" : "an integer that is not negative"));
  }

  // OMP_NUM_THREADS where it is a positive integer, else 1.
  int threads() const {
    const char* variable = std::getenv("OMP_NUM_THREADS");
    const long otherwise = variable ? std::clamp(std::strtol(variable, nullptr, 10), 1L, 1024L) : 1;
    return static_cast<int>(count("--threads", otherwise, 1));
  }

 private:
  const Option& find(std::string name) const {
    if (name == "--mvs-filename") name = "--als-filename";
    for (const Option& option : command_.options)
      if (name == option.name) return option;
    throw UsageError("unrecognized arguments: " + name);
  }

  const Command& command_;
  std::vector<std::string> places_;
  std::map<std::string, std::string> given_;
};

// ---- files ----------------------------------------------------------------------------------------------------------

// Written beside its place and moved there at the end, so that it may replace what is being read; a device or a pipe
// is written to at once.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path) {
    std::error_code ignored;
    const auto status = std::filesystem::status(path, ignored);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      written_ = path;
    } else {
      const auto target = std::filesystem::canonical(path, ignored);  // a link stays one
      if (!ignored) path_ = target.string();
      written_ = path_ + ".new";
    }
    file_ = std::fopen(written_.c_str(), "wb");
    if (file_ == nullptr) fail();
  }
  ~OutputFile() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    if (written_ != path_) std::remove(written_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) fail();
  }
  void close() {
    std::FILE* file = file_;
    file_ = nullptr;
    const bool closed = std::fclose(file) == 0;
    if (!closed || (written_ != path_ && std::rename(written_.c_str(), path_.c_str()) != 0)) fail();
  }

 private:
  [[noreturn]] void fail() const { throw std::runtime_error("cannot write " + path_ + ": " + std::strerror(errno)); }

  std::string path_, written_;
  std::FILE* file_ = nullptr;
};

void write_file(const std::string& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.close();
}

Potential read_potential(const std::string& path) {
  const InputFile file(path);
  try {
    Potential potential = parse_potential(file.text());
    if (potential.trained()) return potential;
  } catch (const FormatError& error) {
    throw std::runtime_error(path + ", " + error.what());
  }
  throw std::runtime_error(path + " has no coefficients: it must be trained first");
}

// Calls `take` with so many configurations at a time and with the number of the first of them.
void for_each_batch(const std::string& path, int species, std::size_t most,
                    const std::function<void(std::vector<Structure>&, std::size_t)>& take) {
  const InputFile file(path);
  StructureReader reader(file.text(), species);
  std::size_t first = 0;
  for (bool more = true; more;) {
    std::vector<Structure> batch;
    try {
      for (Structure structure; batch.size() < most && (more = reader.next(structure));)
        batch.push_back(std::move(structure));
    } catch (const FormatError& error) {
      throw std::runtime_error(path + ", " + error.what());
    }
    if (!batch.empty()) take(batch, first);
    first += batch.size();
  }
  if (first == 0) throw std::runtime_error(path + " holds no configuration");
}

std::vector<Structure> read_structures(const std::string& path, int species) {
  std::vector<Structure> all;
  for_each_batch(path, species, 1 << 16, [&](std::vector<Structure>& batch, std::size_t) {
    all.insert(all.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
  });
  return all;
}

std::vector<const Structure*> pointers(const std::vector<Structure>& structures) {
  std::vector<const Structure*> out;
  for (const Structure& structure : structures) out.push_back(&structure);
  return out;
}

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// ---- evaluation -----------------------------------------------------------------------------------------------------

struct Prediction {
  double energy = 0;
  std::vector<double> forces;  // [atoms][3]
  double virial[6];            // in the order of Structure
};

Prediction predict(Evaluator& evaluator, const Potential& potential, const Structure& structure) {
  const PeriodicNeighbours near(structure.atoms(), structure.positions.data(), structure.types.data(), structure.cell,
                                potential.max_dist, potential.species_count);
  std::vector<double> all(3 * near.total(), 0.0);
  Results results;
  results.want_virial = true;
  results.forces = all.data();
  evaluator.compute(near.positions(), near.neighbourhoods(), results);
  Prediction found;
  found.energy = results.energy;
  found.forces.assign(structure.positions.size(), 0.0);
  near.fold(all, found.forces.data());
  constexpr int order[] = {0, 1, 2, 5, 4, 3};  // the engine's is LAMMPS's: xx yy zz xy xz yz
  for (int k = 0; k < 6; ++k) found.virial[k] = results.virial[order[k]];
  return found;
}

// Predictions for batches of a file, made by several threads, and what to do with each in order.
void predict_all(const Potential& potential, const std::string& path, int threads,
                 const std::function<void(Structure&, const Prediction&)>& take) {
  std::vector<Evaluator> evaluators;
  for (int thread = 0; thread < threads; ++thread) evaluators.emplace_back(potential);
  for_each_batch(path, potential.species_count, 64 * threads, [&](std::vector<Structure>& batch, std::size_t first) {
    std::vector<Prediction> found(batch.size());
    std::vector<std::string> errors(batch.size());
    const auto work = [&](std::size_t thread) {
      for (std::size_t k = thread; k < batch.size(); k += evaluators.size()) {
        try {
          found[k] = predict(evaluators[thread], potential, batch[k]);
        } catch (const std::exception& error) {
          errors[k] = error.what();
        }
      }
    };
    std::vector<std::thread> others;
    for (std::size_t thread = 1; thread < evaluators.size(); ++thread) others.emplace_back(work, thread);
    work(0);
    for (std::thread& other : others) other.join();
    for (std::size_t k = 0; k < batch.size(); ++k) {
      const auto fail = [&](const std::string& reason) {
        throw std::runtime_error(path + ", configuration " + std::to_string(first + k) + ": " + reason);
      };
      if (!errors[k].empty()) fail(errors[k]);
      try {
        take(batch[k], found[k]);
      } catch (const std::invalid_argument& error) {
        fail(error.what());
      }
    }
  });
}

void calc_errors(const Arguments& arguments) {
  const Potential potential = read_potential(arguments[0]);
  ErrorReport report;
  predict_all(potential, arguments[1], arguments.threads(), [&](const Structure& known, const Prediction& found) {
    report.add(known, found.energy, found.forces.data(), found.virial);
  });
  say("MTPR from " + arguments[0] + ", Database: " + arguments[1]);
  say("\n\t\t* * * TRAIN ERRORS * * *\n\n" + report.text());
}

void calc_efs(const Arguments& arguments) {
  const Potential potential = read_potential(arguments[0]);
  const std::string name = "MTP" + std::to_string(potential.alpha_moment_mapping.size() + 1);
  OutputFile output(arguments[2]);
  std::string text;
  predict_all(potential, arguments[1], arguments.threads(), [&](Structure& structure, const Prediction& found) {
    structure.energy = {found.energy};
    structure.forces = found.forces;
    structure.virial.clear();
    if (structure.periodic()) structure.virial.assign(found.virial, found.virial + 6);
    structure.site_energies.clear();
    structure.set_feature("EFS_by", name);
    text.clear();
    append_text(text, structure);
    output.write(text);
  });
  output.close();
}

// All but the feature stays as it is, down to the blanks.
void mindist(const Arguments& arguments) {
  const bool overwrite = !arguments.has("--no-overwrite");
  const InputFile file(arguments[0]);
  StructureReader reader(file.text(), any_species);
  std::string text;
  double smallest = HUGE_VAL;
  std::size_t begin = 0, count = 0;
  try {
    for (Structure structure; reader.next(structure); ++count) {
      const double distance = structure.shortest_distance();
      smallest = std::min(smallest, distance);
      if (!overwrite) continue;
      char value[64];
      std::snprintf(value, sizeof value, "%.6f", distance);
      if (reader.binary()) {
        structure.set_feature("mindist", value);
        append_text(text, structure);
        continue;
      }
      for (const Feature& feature : structure.features)
        if (feature.key == "mindist") {
          text.append(file.text().substr(begin, feature.begin - begin));
          begin = feature.end;
        }
      text.append(file.text().substr(begin, structure.end - begin)).append(" Feature   mindist\t").append(value).append("\n");
      begin = structure.end;
    }
  } catch (const FormatError& error) {
    throw std::runtime_error(arguments[0] + ", " + error.what());
  }
  if (count == 0) throw std::runtime_error(arguments[0] + " holds no configuration");
  if (overwrite && !reader.binary()) text.append(file.text().substr(begin));
  if (overwrite) write_file(arguments[0], text);
  say("Global mindist: " + short_number(smallest));
}

// ---- selection ------------------------------------------------------------------------------------------------------

const std::vector<Option> selection_options = {
    {"--init-threshold", "X", "size of the identity that the active set begins with, default 1e-5"},
    {"--init-scale", "X", "begin with this share of each coefficient's typical derivative in the training set instead"},
    {"--select-threshold", "X", "nothing is exchanged when no grade is above, default 1.1"},
    {"--swap-threshold", "X", "exchanges end when no grade is above, default 1.0000001"},
    {"--nbh-weight", "X", "if not 0, select by neighbourhoods"},
    {"--energy-weight", "X", "0 beside --nbh-weight, as MLIP-2 needs it; default 1"},
    {"--als-filename", "FILE", "active set to write, default state.als"},
    {"--weighting", "NAME", "vibrations (default), molecules or structures"},
    {"--threads", "N", "default: OMP_NUM_THREADS, or 1"},
};

std::vector<Option> with(std::vector<Option> options, const std::vector<Option>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

Selection::Settings settings_of(const Arguments& arguments) {
  const auto weight = [](double x) { return x >= 0; };
  const double energy = arguments.number("--energy-weight", 1, [](double x) { return x == 0 || x == 1; }, "0 or 1");
  Selection::Settings settings;
  settings.neighbourhoods = arguments.number("--nbh-weight", 0, weight, "a number that is not negative") != 0;
  if (!settings.neighbourhoods && energy == 0)
    throw std::runtime_error("--energy-weight=0 needs --nbh-weight=1: there would be nothing to select by");
  const std::string weighting = arguments.text("--weighting", "vibrations");
  if (weighting != "vibrations" && weighting != "molecules" && weighting != "structures")
    throw UsageError("argument --weighting: vibrations, molecules or structures is needed, got " + weighting);
  settings.sums = weighting == "molecules";
  settings.init_threshold = arguments.positive("--init-threshold", 1e-5);
  settings.threads = arguments.threads();
  return settings;
}

Selection::Limits limits_of(const Arguments& arguments) {
  Selection::Limits limits;
  limits.select_threshold = arguments.above_one("--select-threshold", 1.1);
  limits.swap_threshold = arguments.above_one("--swap-threshold", 1.0000001);
  return limits;
}

// The active set of a training set.
Selection selected_from(const std::vector<Structure>& train, const Potential& potential, const Arguments& arguments,
                        const Selection::Settings& settings, const Selection::Limits& limits) {
  Selection selection(potential, settings);
  if (arguments.has("--init-scale")) selection.begin_with(pointers(train), arguments.positive("--init-scale", 0));
  selection.extend(pointers(train), 0, limits);
  return selection;
}

// The active set that a file gives for this potential.
Selection loaded(const std::string& path, const Potential& potential, const Arguments& arguments,
                 const Selection::Settings& settings) {
  const InputFile file(path);
  ActiveSet set;
  try {
    set = parse_active_set(file.text());
    check_weights(set);
  } catch (const std::exception& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
  if (format_potential(set.potential) != format_potential(potential))
    throw std::runtime_error("the active set " + path + " is that of another potential than " + arguments[0]);
  if (arguments.has("--nbh-weight") && settings.neighbourhoods != set.by_neighbourhoods())
    throw std::runtime_error("--nbh-weight: the active set " + path + " was selected by " +
                             (set.by_neighbourhoods() ? "neighbourhoods" : "configurations"));
  const std::size_t size = potential.parameter_count();
  return {std::move(set), std::vector<long>(size, Selection::nobody), settings.sums, settings.threads};
}

void calc_grade(const Arguments& arguments) {
  const Selection::Settings settings = settings_of(arguments);
  const Selection::Limits limits = limits_of(arguments);
  const Potential potential = read_potential(arguments[0]);
  say("MTPR from " + arguments[0] + ", train: " + arguments[1] + ", input: " + arguments[2]);
  const auto selected = [&] {
    const std::vector<Structure> train = read_structures(arguments[1], potential.species_count);
    Selection selection = selected_from(train, potential, arguments, settings, limits);
    std::map<long, const Structure*> structures;
    for (std::size_t k = 0; k < train.size(); ++k) structures[static_cast<long>(k)] = &train[k];
    const std::string path = arguments.text("--als-filename", "state.als");
    write_file(path, format_selection(selection, structures));
    say("MLIP: Selection: state saved to \"" + path + "\"");
    return selection;
  };
  Selection selection = arguments.has("--load-als")
                            ? loaded(arguments.text("--load-als", ""), potential, arguments, settings)
                            : selected();
  OutputFile output(arguments[3]);
  std::string text;
  for_each_batch(arguments[2], potential.species_count, 256, [&](std::vector<Structure>& batch, std::size_t) {
    const std::vector<double> grades = selection.grades(pointers(batch));
    text.clear();
    const double* next = grades.data();
    for (Structure& structure : batch) {
      const double* const end = next + selection.row_count(structure);
      char value[40];
      std::snprintf(value, sizeof value, "%.17g", *std::max_element(next, end));
      structure.set_feature("MV_grade", value);
      structure.neighbourhood_grades.clear();
      if (selection.neighbourhoods()) structure.neighbourhood_grades.assign(next, end);
      next = end;
      append_text(text, structure);
    }
    output.write(text);
  });
  output.close();
}

bool same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return std::filesystem::weakly_canonical(a, ignored) == std::filesystem::weakly_canonical(b, ignored);
}

void select_add(const Arguments& arguments) {
  const std::string als = arguments.text("--als-filename", "state.als"),
                    both = arguments.text("--selected-filename", "selected.cfg");
  const Selection::Settings settings = settings_of(arguments);
  Selection::Limits limits = limits_of(arguments);
  const long limit = arguments.count("--selection-limit", 0, 0);
  for (int read : {1, 2})
    for (const std::string& written : {arguments[3], both, als})
      if (same_file(arguments[read], written))
        throw std::runtime_error(arguments[read] + " would be overwritten; see --selected-filename");
  const Potential potential = read_potential(arguments[0]);
  say("MTPR from " + arguments[0] + ", traning set: " + arguments[1] + ", add from set: " + arguments[2]);
  const std::vector<Structure> train = read_structures(arguments[1], potential.species_count),
                               candidates = read_structures(arguments[2], potential.species_count);
  say("loading training set... done\n" + std::to_string(train.size()) + " configurations found in the training set");
  const double select_threshold = limits.select_threshold;
  limits.select_threshold = limits.swap_threshold;
  Selection selection = selected_from(train, potential, arguments, settings, limits);
  limits.select_threshold = select_threshold;
  const long begin = static_cast<long>(train.size());
  if (limit > 0) {
    limits.swaps = limit;
    say("Swap limit = " + std::to_string(limit));
  }
  selection.extend(pointers(candidates), begin, limits);

  std::map<long, const Structure*> structures;
  for (std::size_t k = 0; k < train.size(); ++k) structures[static_cast<long>(k)] = &train[k];
  for (std::size_t k = 0; k < candidates.size(); ++k) structures[begin + static_cast<long>(k)] = &candidates[k];
  std::string added, selected;
  std::set<long> seen;
  long rows = 0, count = 0;
  for (long owner : selection.owners()) {
    if (owner == Selection::nobody) continue;
    ++rows;
    if (!seen.insert(owner).second) continue;
    append_text(selected, *structures[owner]);
    if (owner < begin) continue;
    append_text(added, *structures[owner]);
    ++count;
  }
  say(std::to_string(rows) + " configurations selected from both sets");
  say("new configuration count = " + std::to_string(candidates.size()) + "\nTS increased by " + std::to_string(count) +
      " configs");
  write_file(arguments[3], added);
  write_file(als, format_selection(selection, structures));
  say("MLIP: Selection: state saved to \"" + als + "\"");
  write_file(both, selected);
  say("MLIP: Selection: training set saved to \"" + both + "\"");
}

// ---- the program ----------------------------------------------------------------------------------------------------

const Command commands[] = {
    {"calc-errors", "compare a potential with labelled configurations", {"POTENTIAL.mtp", "CONFIGURATIONS.cfg"},
     {{"--threads", "N", "default: OMP_NUM_THREADS, or 1"}}, calc_errors},
    {"calc-efs", "calculate energies, forces and stresses", {"POTENTIAL.mtp", "IN.cfg", "OUT.cfg"},
     {{"--threads", "N", "default: OMP_NUM_THREADS, or 1"}}, calc_efs},
    {"mindist", "find the shortest distance, and write it to the configurations", {"CONFIGURATIONS.cfg"},
     {{"--no-overwrite", nullptr, "do not write"}}, mindist},
    {"calc-grade", "grade configurations by the active set of a training set",
     {"POTENTIAL.mtp", "TRAIN.cfg", "IN.cfg", "OUT.cfg"},
     with(selection_options, {{"--load-als", "FILE", "grade by this active set instead of selecting one"}}), calc_grade},
    {"select-add", "select configurations that a training set should be extended by",
     {"POTENTIAL.mtp", "TRAIN.cfg", "CANDIDATES.cfg", "OUT.cfg"},
     with(selection_options, {{"--selected-filename", "FILE", "active set's configurations, default selected.cfg"},
                              {"--selection-limit", "N", "largest number of exchanges"}}), select_add},
};

void print_help(const Command& command) {
  std::string text = std::string("usage: lpsgb-mlp ") + command.name;
  for (const char* place : command.places) text += std::string(" ") + place;
  text += std::string(" [options]\n\n") + command.help + "\n\noptions:\n";
  for (const Option& option : command.options) {
    std::string name = std::string("  ") + option.name + (option.metavar ? std::string("=") + option.metavar : "");
    name.resize(std::max<std::size_t>(name.size() + 2, 28), ' ');
    text += name + option.help + "\n";
  }
  std::fputs(text.c_str(), stdout);
}

int run_command(const Command& command, int count, char** values) {
  for (int k = 0; k < count; ++k)
    if (std::strcmp(values[k], "-h") == 0 || std::strcmp(values[k], "--help") == 0) {
      print_help(command);
      return 0;
    }
  const auto report = [](const std::string& text) {
    std::string line = text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fprintf(stderr, "ERROR: %s\n", line.c_str());
  };
  try {
    command.run(Arguments(command, count, values));
  } catch (const UsageError& error) {
    report(std::string(error.what()) + " (see lpsgb-mlp " + command.name + " --help)");
    return 2;
  } catch (const std::bad_alloc&) {
    report("not enough memory");
    return 1;
  } catch (const std::exception& error) {
    report(error.what());
    return 1;
  }
  return 0;
}

// The Python beside this program, or the one on the path.
int run_python(int count, char** values) {
  std::error_code failed;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  std::string python = (folder / "python3").string();
  if (failed || access(python.c_str(), X_OK) != 0) python = "python3";
  // -P: what is installed, also in a folder that has an `aiida_lpsgb` of its own, such as a clone.
  std::vector<char*> arguments = {python.data()};
  for (const char* argument : {"-P", "-m", "aiida_lpsgb.mtp.cli"}) arguments.push_back(const_cast<char*>(argument));
  arguments.insert(arguments.end(), values + 1, values + count);
  arguments.push_back(nullptr);
  execvp(python.c_str(), arguments.data());
  std::fprintf(stderr, "ERROR: cannot run %s: %s\n", python.c_str(), std::strerror(errno));
  return 1;
}

}  // namespace

int main(int count, char** values) {
  if (count > 1)
    for (const Command& command : commands)
      if (std::strcmp(values[1], command.name) == 0) return run_command(command, count - 2, values + 2);
  return run_python(count, values);
}
