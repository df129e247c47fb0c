// Rows of numbers in text, as LAMMPS writes them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace py = pybind11;

namespace {

constexpr py::ssize_t label_width = 8;

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Reads whole rows from the front of a text; a row that does not end is left.
class Rows {
public:
  Rows(std::string_view text, py::ssize_t columns, py::ssize_t label_column) : text_(text), columns_(columns), label_column_(label_column) {}

  // How many rows were read, at most so many.
  py::ssize_t read(py::ssize_t wanted, double *numbers, char *labels)
  {
    py::ssize_t row = 0;
    for (; row < wanted; ++row) {
      const size_t end = text_.find('\n', used_);
      if (end == std::string_view::npos) break;
      const char *at = text_.data() + used_, *stop = text_.data() + end;
      for (py::ssize_t column = 0; column < columns_; ++column) {
        while (at < stop && blank(*at)) ++at;
        if (column == label_column_) {
          const char *word = std::find_if(at, stop, blank);
          if (word == at || word - at > label_width) throw std::invalid_argument("a row lacks a short name");
          std::memcpy(labels + row * label_width, at, word - at);
          at = word;
        } else {
          const auto [next, error] = std::from_chars(at, stop, *numbers);
          if (error != std::errc() || (next < stop && !blank(*next))) throw std::invalid_argument("a row lacks a number");
          at = next;
          ++numbers;
        }
      }
      while (at < stop && blank(*at)) ++at;
      if (at != stop) throw std::invalid_argument("a row has more columns");
      used_ = end + 1;
    }
    return row;
  }

  size_t used() const { return used_; }

private:
  std::string_view text_;
  py::ssize_t columns_, label_column_;
  size_t used_ = 0;
};

py::tuple rows(const py::bytes &text, py::array_t<double, py::array::c_style> numbers, py::array_t<std::int8_t, py::array::c_style> labels,
               py::ssize_t first, py::ssize_t columns, py::ssize_t label_column)
{
  const py::ssize_t numeric = columns - (label_column >= 0);
  if (numbers.ndim() != 2 || numbers.shape(1) != numeric) throw std::invalid_argument("numbers must have shape (n_rows, n_numeric)");
  const py::ssize_t wanted = numbers.shape(0) - first;
  if (first < 0 || wanted < 0) throw std::invalid_argument("first lies beyond the rows");
  if (label_column >= columns || (label_column >= 0 && labels.size() != numbers.shape(0) * label_width))
    throw std::invalid_argument("labels must have eight characters a row");
  double *target = numbers.mutable_data() + first * numeric;
  char *names = label_column < 0 ? nullptr : reinterpret_cast<char *>(labels.mutable_data()) + first * label_width;
  Rows source(text, columns, label_column);
  py::ssize_t count;
  {
    py::gil_scoped_release release;
    count = source.read(wanted, target, names);
  }
  return py::make_tuple(count, source.used());
}

}  // namespace

PYBIND11_MODULE(_dump, module)
{
  module.doc() = "Rows of numbers in text.";
  module.attr("label_width") = label_width;
  module.def("rows", &rows, py::arg("text"), py::arg("numbers"), py::arg("labels"), py::arg("first"), py::arg("columns"), py::arg("label_column"),
             "Read rows of text into `numbers` from row `first` on, and the words of `label_column` (-1: none) into `labels`; how many whole "
             "rows there were, and how many bytes they took.");
}
