// The events of one connection that were refused because the store was full. Until such an event
// comes again, later ones of its key are refused too: accepted before it, they would make its
// offset go backwards, and it could never be accepted. Not responsible for answering. Bounded; a
// publisher that never sends an event again is waited for a while only. Ends with the connection.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sink::broker {

class RefusedOffsets {
 public:
  static constexpr size_t kMax = 4'096;
  static constexpr uint64_t kPatienceMs = 5'000;

  // When an older event of the key was refused for want of room, if it has not come again since.
  std::optional<uint64_t> older_refused_ms(uint64_t event_type_id, std::string_view key,
                                           uint64_t offset, uint64_t now_ms) {
    if (keys_.empty()) return std::nullopt;
    const auto found = keys_.find({event_type_id, std::string(key)});
    if (found == keys_.end()) return std::nullopt;
    Offsets& offsets = found->second;
    while (!offsets.empty() && offsets.begin()->second + kPatienceMs <= now_ms) {
      offsets.erase(offsets.begin());
      --size_;
    }
    std::optional<uint64_t> refused_ms;
    if (!offsets.empty() && offsets.begin()->first < offset) refused_ms = offsets.begin()->second;
    if (offsets.empty()) keys_.erase(found);
    return refused_ms;
  }

  // An event that is refused only because it waits for an older one inherits that one's time, so
  // that a publisher which gives refused events up is held back for kPatienceMs, not for ever.
  void add(uint64_t event_type_id, std::string_view key, uint64_t offset,
           uint64_t refused_ms) {
    if (size_ >= kMax) return;
    Offsets& offsets = keys_[{event_type_id, std::string(key)}];
    if (offsets.insert_or_assign(offset, refused_ms).second) ++size_;
  }

  void remove(uint64_t event_type_id, std::string_view key, uint64_t offset) {
    if (keys_.empty()) return;
    const auto found = keys_.find({event_type_id, std::string(key)});
    if (found == keys_.end()) return;
    size_ -= found->second.erase(offset);
    if (found->second.empty()) keys_.erase(found);
  }

  size_t size() const { return size_; }

 private:
  using Offsets = std::map<uint64_t, uint64_t>;  // offset -> when it was refused
  std::map<std::pair<uint64_t, std::string>, Offsets> keys_;
  size_t size_ = 0;
};

}  // namespace sink::broker
