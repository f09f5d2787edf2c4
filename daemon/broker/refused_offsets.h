// The events of one session that were refused because the store was full. Until such an event comes
// again, later ones of its key are refused too: accepted before it, they would make its offset go
// backwards, and it could never be accepted. Not responsible for answering. Bounded; a
// publisher that never sends an event again is waited for a while only: kPatienceMs from when it
// has read of the refusal, and then kGraceMs from the next event of the key on, because the one
// that is waited for may come right behind it where the process stood still. Ends with the session.
#pragma once

#include <algorithm>
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
  static constexpr uint64_t kGraceMs = 1'000;
  static constexpr uint64_t kUnreadMaxMs = 30'000;  // for a peer that does not answer PINGs

  // A refusal is about to be sent. True: a PING is due behind it, so that the PONG tells when the
  // publisher has read it; until then no patience runs out.
  [[nodiscard]] bool expect_pong(uint64_t now_ms) {
    if (unread_) return false;
    unread_ = true;
    unread_since_ms_ = now_ms;
    return true;
  }
  void on_pong(uint64_t now_ms) {
    if (!unread_) return;
    unread_ = false;
    for (auto& [name, key] : keys_)
      for (auto& [offset, refusal] : key.refused) refusal.at_ms = std::max(refusal.at_ms, now_ms);
  }
  // The answer to this BATCH is about to be sent.
  void tell(uint16_t batch) {
    for (auto& [name, key] : keys_)
      for (auto& [offset, refusal] : key.refused)
        if (refusal.untold_in == batch) refusal.untold_in.reset();
  }

  // When an older event of the key was refused for want of room, if it has not come again since.
  std::optional<uint64_t> older_refused_ms(uint64_t event_type_id, std::string_view key,
                                           uint64_t offset, uint64_t now_ms) {
    if (keys_.empty()) return std::nullopt;
    const auto found = keys_.find({event_type_id, std::string(key)});
    if (found == keys_.end()) return std::nullopt;
    Offsets& offsets = found->second.refused;
    if (unread_ && now_ms >= unread_since_ms_ + kUnreadMaxMs) on_pong(now_ms);
    const Refusal& oldest = offsets.begin()->second;
    if (unread_ || oldest.untold_in) {
      const bool waits = offsets.begin()->first < offset;
      return waits ? std::optional(oldest.at_ms) : std::nullopt;
    }
    if (!found->second.in_grace && oldest.at_ms + kPatienceMs <= now_ms) {
      found->second.in_grace = true;
      for (auto& [refused, refusal] : offsets)
        refusal.at_ms = std::max(refusal.at_ms, now_ms + kGraceMs - kPatienceMs);
    }
    while (!offsets.empty() && offsets.begin()->second.is_over(now_ms)) {
      offsets.erase(offsets.begin());
      --size_;
    }
    std::optional<uint64_t> refused_ms;
    if (!offsets.empty() && offsets.begin()->first < offset)
      refused_ms = offsets.begin()->second.at_ms;
    if (offsets.empty()) keys_.erase(found);
    return refused_ms;
  }

  // An event that is refused only because it waits for an older one inherits that one's time, so
  // that a publisher which gives refused events up is held back for kPatienceMs, not for ever.
  // `untold_in`: the BATCH whose answer will tell of it, and cannot be sent yet. Until tell()
  // nobody can know of this one, and no patience with it runs out.
  void add(uint64_t event_type_id, std::string_view key, uint64_t offset, uint64_t refused_ms,
           std::optional<uint16_t> untold_in = std::nullopt) {
    if (size_ >= kMax) return;
    auto& offsets = keys_[{event_type_id, std::string(key)}].refused;
    if (offsets.insert_or_assign(offset, Refusal{refused_ms, untold_in}).second) ++size_;
  }

  void remove(uint64_t event_type_id, std::string_view key, uint64_t offset) {
    if (keys_.empty()) return;
    const auto found = keys_.find({event_type_id, std::string(key)});
    if (found == keys_.end()) return;
    size_ -= found->second.refused.erase(offset);
    if (found->second.refused.empty()) keys_.erase(found);
  }

  size_t size() const { return size_; }

 private:
  struct Refusal {
    uint64_t at_ms = 0;
    std::optional<uint16_t> untold_in;  // message id of a BATCH
    bool is_over(uint64_t now_ms) const { return !untold_in && at_ms + kPatienceMs <= now_ms; }
  };
  using Offsets = std::map<uint64_t, Refusal>;
  struct Key {
    Offsets refused;  // never empty
    bool in_grace = false;
  };
  std::map<std::pair<uint64_t, std::string>, Key> keys_;
  size_t size_ = 0;
  bool unread_ = false;
  uint64_t unread_since_ms_ = 0;
};

}  // namespace sink::broker
