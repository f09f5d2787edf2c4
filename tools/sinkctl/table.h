// An aligned table for people.
// Responsible for widths, alignment and colour; what stands in the cells is the caller's affair.
// Invariant: every row has as many cells as there are columns, and no cell holds a line break.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tools/sinkctl/context.h"

namespace sink::tools {

enum class Align { left, right };
enum class Tone { plain, good, caution, bad };

struct Column {
  std::string header;
  Align align = Align::left;
};

struct Cell {
  Cell(std::string cell_text, Tone cell_tone = Tone::plain)
      : text(std::move(cell_text)), tone(cell_tone) {}
  Cell(const char* cell_text, Tone cell_tone = Tone::plain) : text(cell_text), tone(cell_tone) {}
  std::string text;
  Tone tone;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Empty cells are shown as "-", control characters as \xNN.
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  void print(Context& context) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "Name:      value" lines, aligned; an empty value is shown as "-".
class Properties {
 public:
  void add(std::string name, std::string value, Tone tone = Tone::plain);
  void print(Context& context) const;

 private:
  struct Property {
    std::string name;
    Cell value;
  };
  std::vector<Property> properties_;
};

// The text in its tone's colour where the output may hold colour.
std::string toned(const Context& context, const std::string& text, Tone tone);

}  // namespace sink::tools
