// What one client has published, as far as needed to know a republished event when it comes again
// (I4, P4, P5). Not responsible for persistence. Invariants: every offset in the runs of a key has
// been accepted; the last kRunsKept events are known, whatever their keys, as long as their keys
// are. Memory is bounded: keys_max keys, least recently published forgotten first, and kRunsMax
// runs a client. A client resends only what it has not had answered, at most 4095 events, so an
// event that is forgotten here is one that no correct client sends again.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sink::broker {

enum class OffsetVerdict : uint8_t {
  fresh,
  duplicate,  // accepted before: ACK again
  regressed,  // below the newest of its key and never accepted: explicit NACK
};

class ProducerProgress {
 public:
  static constexpr size_t kRunsMax = 16'384;
  static constexpr size_t kRunsKept = kRunsMax / 2;
  static constexpr size_t kKeysMax = 65'536;  // the most that keys_max may be

  OffsetVerdict check(uint64_t event_type_id, std::string_view key, uint64_t offset) const;
  // The event was accepted; its verdict was fresh.
  void record(uint64_t event_type_id, std::string_view key, uint64_t offset, size_t keys_max);
  void clear();

  size_t keys() const { return index_.size(); }
  uint64_t forgotten() const { return forgotten_; }  // keys dropped to stay within keys_max

  void append_encoded(std::string& out) const;
  // In which order its runs were published to; empty: in the order in which they are encoded.
  std::string encoded_order() const;
  [[nodiscard]] bool decode(std::string_view bytes, std::string_view order);

 private:
  struct Run {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t published = 0;  // counts up with every event of the client
  };
  struct Entry {
    std::string name;  // event type id as 8 bytes, then the key
    Run newest;
    std::vector<Run> older;  // ascending, also in `published`; only where offsets have gaps
  };
  using Entries = std::list<Entry>;  // most recently published first

  void drop_oldest_runs();
  // Of every run, in the order in which they are encoded.
  std::vector<uint64_t> published() const;
  [[nodiscard]] bool decode_order(std::string_view order);

  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> index_;  // views into Entry::name
  size_t older_runs_ = 0;
  uint64_t events_ = 0;
  uint64_t forgotten_ = 0;
};

}  // namespace sink::broker
