// Text in aligned columns, for terminals. Cells are made printable: nothing in them can control the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace steelyard::control::cli {

class Table {
 public:
  enum class Align : std::uint8_t { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  // Every line begins with `indent` spaces. Without any title there is no head line.
  explicit Table(std::vector<Column> columns, std::size_t indent = 0) : columns_(std::move(columns)), indent_(indent) {}

  // Missing cells are empty, surplus ones are left out.
  void add(std::vector<std::string> cells);
  // A line of free text below the row before it, indented further; no part of the columns.
  void note(std::string_view text);

  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // Columns two spaces apart, no trailing blanks, each line ended by a newline.
  [[nodiscard]] std::string str() const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string note;  // instead of cells
  };
  void append(std::string& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::size_t indent_;
  std::vector<Row> rows_;
};

}  // namespace steelyard::control::cli
