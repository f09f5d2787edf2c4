// Which link of a pool a key's events take: where the key has something under way they take that
// link or wait for it, so that their order holds. Keys are told apart by their hash, in 64 groups
// that go together. Not responsible for which links are up. Invariant: a group is on one link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sink::protocol {

class KeySlots {
 public:
  static constexpr size_t kSlots = 64;
  static size_t group_of(uint64_t key) { return key % kSlots; }

  // Forgets everything; without counting, where there is one link only, it costs nothing.
  void begin(bool counting) { slots_.assign(counting ? kSlots : 0, {}); }
  bool counts() const { return !slots_.empty(); }

  // Nullopt: nothing of the key is under way.
  std::optional<uint8_t> link_of(uint64_t key) const {
    if (!counts() || slots_[group_of(key)].under_way == 0) return std::nullopt;
    return slots_[group_of(key)].link;
  }
  // The link of the key's next event: where it has something under way, be that link up or not;
  // else the one that keys like it share, or the first behind that which is up. Nullopt: none is.
  template <class IsUp>
  std::optional<uint8_t> choose(uint64_t key, size_t links, IsUp&& is_up) const {
    if (const auto own = link_of(key)) return own;
    for (size_t step = 0; step < links; ++step) {
      const size_t link = (group_of(key) + step) % links;
      if (is_up(link)) return static_cast<uint8_t>(link);
    }
    return std::nullopt;
  }
  void on_sent(uint64_t key, uint8_t link) {
    if (!counts()) return;
    Slot& slot = slots_[group_of(key)];
    slot.link = link;
    ++slot.under_way;
  }
  // One event of the key: answered, or given up.
  void on_over(uint64_t key) {
    if (counts()) --slots_[group_of(key)].under_way;
  }
  // Whatever is under way on one link is on the other from now on.
  void move(uint8_t from, uint8_t to) {
    for (Slot& slot : slots_)
      if (slot.link == from) slot.link = to;
  }

 private:
  struct Slot {
    uint32_t under_way = 0;
    uint8_t link = 0;  // where that is
  };
  std::vector<Slot> slots_;  // by the key's remainder; none: nothing is counted
};

}  // namespace sink::protocol
