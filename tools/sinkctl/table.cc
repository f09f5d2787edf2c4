#include "tools/sinkctl/table.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

// On one line; what is empty is shown as "-".
std::string shown_text(std::string text) {
  if (text.empty()) return std::string(1, '-');
  std::replace(text.begin(), text.end(), '\n', ' ');
  return terminal_safe(text);
}

void print_padded(std::ostream& out, const std::string& shown, size_t shown_width, size_t columns,
                  Align align) {
  const std::string padding(columns - shown_width, ' ');
  out << (align == Align::right ? padding + shown : shown + padding);
}

}  // namespace

std::string toned(const Context& context, const std::string& text, Tone tone) {
  if (!context.terminal.colour) return text;
  switch (tone) {
    case Tone::plain:
      return text;
    case Tone::good:
      return "\x1b[32m" + text + "\x1b[0m";
    case Tone::caution:
      return "\x1b[33m" + text + "\x1b[0m";
    case Tone::bad:
      return "\x1b[31m" + text + "\x1b[0m";
  }
  return text;
}

void Table::add(std::vector<Cell> row) {
  assert(row.size() == columns_.size());
  for (Cell& cell : row) cell.text = shown_text(std::move(cell.text));
  rows_.push_back(std::move(row));
}

void Table::print(Context& context) const {
  std::vector<size_t> widths;
  for (size_t n = 0; n < columns_.size(); ++n) {
    size_t columns = context.options.no_headers ? 0 : columns_[n].header.size();
    for (const auto& row : rows_) columns = std::max(columns, width(row[n].text));
    widths.push_back(columns);
  }
  const auto print_row = [&](auto cell_at) {
    for (size_t n = 0; n < columns_.size(); ++n) {
      const Cell& cell = cell_at(n);
      const bool last = n + 1 == columns_.size();
      const size_t shown = width(cell.text);
      const bool unpadded = last && columns_[n].align == Align::left;
      print_padded(context.out, toned(context, cell.text, cell.tone), shown,
                   unpadded ? shown : widths[n], columns_[n].align);
      if (!last) context.out << "  ";
    }
    context.out << '\n';
  };
  if (!context.options.no_headers) {
    std::vector<Cell> headers;
    for (const Column& column : columns_) headers.emplace_back(column.header);
    print_row([&](size_t n) -> const Cell& { return headers[n]; });
  }
  for (const auto& row : rows_) print_row([&](size_t n) -> const Cell& { return row[n]; });
}

void Properties::add(std::string name, std::string value, Tone tone) {
  properties_.push_back({std::move(name) + ":", Cell(shown_text(std::move(value)), tone)});
}

void Properties::print(Context& context) const {
  size_t columns = 0;
  for (const Property& property : properties_) columns = std::max(columns, width(property.name));
  for (const Property& property : properties_) {
    print_padded(context.out, property.name, width(property.name), columns, Align::left);
    context.out << "  " << toned(context, property.value.text, property.value.tone) << '\n';
  }
}

}  // namespace sink::tools
