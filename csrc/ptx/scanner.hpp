#pragma once
#include <cctype>
#include <cstring>
#include <string>

#include "ptx/text.hpp"

namespace moesaic::ptx {

// The characters of a PTX text, one after another: blanks and comments are passed, lines counted.
class Scanner {
 public:
  explicit Scanner(const std::string& text) : s_(text) {}

  bool ends() const { return at_ >= s_.size(); }
  bool at(const char* words) const { return s_.compare(at_, std::strlen(words), words) == 0; }
  int line() const { return line_; }
  bool take(char c) {
    const bool there = !ends() && s_[at_] == c;
    at_ += there;
    return there;
  }

  void skip() {  // blanks and comments
    while (at_ < s_.size()) {
      if (s_[at_] == '\n') {
        ++line_, ++at_;
      } else if (std::isspace(static_cast<unsigned char>(s_[at_]))) {
        ++at_;
      } else if (s_.compare(at_, 2, "//") == 0) {
        while (at_ < s_.size() && s_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  // A name, number or directive; else one character.
  std::string take_word() {
    const std::size_t from = at_;
    while (at_ < s_.size() && of_name(s_[at_])) ++at_;
    if (at_ == from) {
      if (at_ < s_.size()) ++at_;
      return s_.substr(from, 1);
    }
    return s_.substr(from, at_ - from);
  }

  std::string end_line() {
    const std::size_t from = at_;
    while (at_ < s_.size() && s_[at_] != '\n') ++at_;
    return s_.substr(from, at_ - from);
  }

  // The text before `end`, which is passed; blanks become one space.
  std::string to(char end) {
    std::string text;
    while (skip_into(text), at_ < s_.size() && s_[at_] != end) text += s_[at_++];
    if (at_ == s_.size()) refuse(line_, std::string("the text ends before '") + end + "'");
    ++at_;
    return text;
  }

 private:
  static bool of_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
           c == '.';
  }

  void skip_into(std::string& text) {
    const std::size_t from = at_;
    skip();
    if (at_ > from && !text.empty() && text.back() != ' ') text += ' ';
  }

  const std::string& s_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace moesaic::ptx
