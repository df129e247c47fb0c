// A cursor over text whose errors carry line numbers; shared by the readers of `.mtp` and `.als`.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "potential.hpp"

namespace mtp {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::size_t position() const { return position_; }
  void move_to(std::size_t position) { position_ = position; }

  int line() const { return 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + position_, '\n')); }

  [[noreturn]] void fail(const std::string& reason) const { throw FormatError(line(), reason); }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  }

  bool at_end() {
    skip_space();
    return position_ == text_.size();
  }

  // The next run of characters without white space or '=', without moving.
  std::string_view peek_word() {
    skip_space();
    std::size_t end = position_;
    while (end < text_.size() && !is_space(text_[end]) && text_[end] != '=') ++end;
    return text_.substr(position_, end - position_);
  }

  bool try_word(std::string_view word) {
    if (peek_word() != word) return false;
    position_ += word.size();
    return true;
  }

  void expect_word(std::string_view word) {
    if (!try_word(word)) fail("expected '" + std::string(word) + "', found " + found());
  }

  // Takes "key =" if it comes next.
  bool try_key(std::string_view key) {
    if (!try_word(key)) return false;
    expect('=');
    return true;
  }

  void expect_key(std::string_view key) {
    if (!try_key(key)) fail("expected '" + std::string(key) + " = ...', found " + found());
  }

  void expect(char c) {
    if (!try_char(c)) fail(std::string("expected '") + c + "', found " + found());
  }

  bool try_char(char c) {
    skip_space();
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  // What is left of the current line, trimmed.
  std::string_view rest_of_line() {
    const std::size_t end = std::min(text_.find('\n', position_), text_.size());
    std::string_view rest = text_.substr(position_, end - position_);
    position_ = end;
    while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
    while (!rest.empty() && is_space(rest.back())) rest.remove_suffix(1);
    return rest;
  }

  int integer(const char* what, long minimum, long maximum) {
    skip_space();
    long value = 0;
    const char* begin = text_.data() + position_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error == std::errc::invalid_argument) fail(std::string(what) + ": expected an integer, found " + found());
    if (error != std::errc() || value < minimum || value > maximum)
      fail(std::string(what) + ": " + std::string(begin, end) + " is not between " + std::to_string(minimum) + " and " +
           std::to_string(maximum));
    position_ += static_cast<std::size_t>(end - begin);
    return static_cast<int>(value);
  }

  double real(const char* what) {
    skip_space();
    double value = 0.0;
    if (position_ < text_.size() && text_[position_] == '+') ++position_;
    const char* begin = text_.data() + position_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error == std::errc::invalid_argument) fail(std::string(what) + ": expected a number, found " + found());
    // Values below the smallest double read as out of range; only the large ones are wrong.
    if (error == std::errc::result_out_of_range) value = std::strtod(std::string(begin, end).c_str(), nullptr);
    if (!std::isfinite(value)) fail(std::string(what) + ": " + std::string(begin, end) + " is not a finite number");
    position_ += static_cast<std::size_t>(end - begin);
    return value;
  }

 private:
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  std::string found() {
    skip_space();
    if (position_ >= text_.size()) return "the end of the file";
    std::string word;
    for (std::size_t i = position_; i < text_.size() && !is_space(text_[i]) && word.size() < 30; ++i)
      word += (text_[i] >= ' ' && text_[i] <= '~') ? text_[i] : '?';
    return "'" + word + "'";
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace mtp
