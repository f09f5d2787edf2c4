// Events in memory: what was just committed and what was read back, by position, bounded in bytes.
// Not responsible for reading. Invariant: after every insert bytes() is within the limit, or only
// the newest block is left.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "storage/block.h"

namespace sink::broker {

using storage::Block;
using storage::Position;

class BlockCache {
 public:
  explicit BlockCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  void insert(std::shared_ptr<const Block> block) {
    if (!block || block->slots.empty()) return;
    const Position first = block->slots.front().position;
    erase(first);
    erase_covered(*block);
    bytes_ += block->memory();
    by_age_.push_back(first);
    last_ = block.get();  // whoever read it back looks for it next
    blocks_[first] = {std::move(block), std::prev(by_age_.end())};
    while (bytes_ > bytes_max_ && by_age_.size() > 1) erase(by_age_.front());
  }

  // The record of `position`; the view lives until the next insert, erase or clear.
  std::optional<std::string_view> find(Position position) {
    if (last_ != nullptr)
      if (auto found = last_->find(position)) return found;
    auto it = blocks_.upper_bound(position);
    // Blocks may overlap at their ends: a few neighbours to the left may hold it too.
    for (int tries = 0; it != blocks_.begin() && tries < 4; ++tries) {
      --it;
      if (auto found = it->second.block->find(position)) {
        last_ = it->second.block.get();
        return found;
      }
    }
    return std::nullopt;
  }

  void clear() {
    blocks_.clear();
    by_age_.clear();
    last_ = nullptr;
    bytes_ = 0;
  }
  void set_limit(size_t bytes_max) { bytes_max_ = bytes_max; }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::shared_ptr<const Block> block;
    std::list<Position>::iterator age;
  };

  // Small blocks over a large one would hide it from find().
  void erase_covered(const Block& by) {
    auto it = blocks_.lower_bound(by.slots.front().position);
    while (it != blocks_.end() && it->first <= by.slots.back().position) {
      const Block& block = *it->second.block;
      const Position first = it->first;
      ++it;
      if (by.find(first) && by.find(block.slots.back().position)) erase(first);
    }
  }

  void erase(Position first) {
    const auto it = blocks_.find(first);
    if (it == blocks_.end()) return;
    if (last_ == it->second.block.get()) last_ = nullptr;
    bytes_ -= it->second.block->memory();
    by_age_.erase(it->second.age);
    blocks_.erase(it);
  }

  std::map<Position, Entry> blocks_;  // by first position
  std::list<Position> by_age_;        // oldest first
  const Block* last_ = nullptr;
  size_t bytes_ = 0;
  size_t bytes_max_;
};

}  // namespace sink::broker
