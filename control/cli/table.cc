#include "control/cli/table.h"

#include <algorithm>

#include "control/config/diagnostic.h"

namespace steelyard::control::cli {
namespace {

constexpr std::size_t longest_cell = 200;
constexpr std::size_t longest_note = 1000;

}  // namespace

void Table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) {
    cell = config::printable(cell, longest_cell);
  }
  rows_.push_back({std::move(cells), {}});
}

void Table::note(std::string_view text) {
  rows_.push_back({{}, config::printable(text, longest_note)});
}

std::string Table::str() const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (std::size_t place = 0; place < columns_.size(); ++place) {
    titles.push_back(columns_[place].title);
    widths.push_back(titles.back().size());
    for (const Row& row : rows_) {
      widths[place] = std::max(widths[place], row.cells.empty() ? 0 : row.cells[place].size());
    }
  }
  std::string out;
  if (std::ranges::any_of(titles, [](const std::string& title) { return !title.empty(); })) {
    append(out, titles, widths);
  }
  for (const Row& row : rows_) {
    if (row.cells.empty()) {
      out += std::string(indent_ + 4, ' ') + row.note + '\n';
    } else {
      append(out, row.cells, widths);
    }
  }
  return out;
}

void Table::append(std::string& out, const std::vector<std::string>& cells,
                   const std::vector<std::size_t>& widths) const {
  std::string line(indent_, ' ');
  for (std::size_t place = 0; place < cells.size(); ++place) {
    const std::string padding(widths[place] - cells[place].size(), ' ');
    line += place == 0 ? "" : "  ";
    line += columns_[place].align == Align::left ? cells[place] + padding : padding + cells[place];
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + '\n';
}

}  // namespace steelyard::control::cli
