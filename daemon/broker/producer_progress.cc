#include "daemon/broker/producer_progress.h"

#include <algorithm>

#include "protocol/bytes.h"
#include "storage/format.h"

namespace sink::broker {
namespace {

constexpr size_t kTypeBytes = 8;
constexpr size_t kNameStackBytes = 256;

// The lookup name without an allocation for keys of usual length.
class Name {
 public:
  Name(uint64_t event_type_id, std::string_view key) {
    char* out = stack_;
    if (kTypeBytes + key.size() > kNameStackBytes) {
      heap_.resize(kTypeBytes + key.size());
      out = heap_.data();
    }
    storage::put_u64(out, event_type_id);
    std::copy(key.begin(), key.end(), out + kTypeBytes);
    view_ = {out, kTypeBytes + key.size()};
  }
  std::string_view view() const { return view_; }

 private:
  char stack_[kNameStackBytes];
  std::string heap_;
  std::string_view view_;
};

}  // namespace

OffsetVerdict ProducerProgress::check(uint64_t event_type_id, std::string_view key,
                                      uint64_t offset) const {
  const Name name(event_type_id, key);
  const auto found = index_.find(name.view());
  if (found == index_.end()) return OffsetVerdict::fresh;
  const Entry& entry = *found->second;
  if (offset > entry.newest.last) return OffsetVerdict::fresh;
  if (offset >= entry.newest.first) return OffsetVerdict::duplicate;
  const auto run = std::partition_point(entry.older.begin(), entry.older.end(),
                                        [&](const Run& r) { return r.last < offset; });
  const bool accepted = run != entry.older.end() && offset >= run->first;
  return accepted ? OffsetVerdict::duplicate : OffsetVerdict::regressed;
}

void ProducerProgress::record(uint64_t event_type_id, std::string_view key, uint64_t offset,
                              size_t keys_max) {
  const Name name(event_type_id, key);
  const auto found = index_.find(name.view());
  if (found == index_.end()) {
    entries_.push_front({std::string(name.view()), {offset, offset, ++events_}, {}});
    index_.emplace(entries_.front().name, entries_.begin());
    if (index_.size() > keys_max) {
      older_runs_ -= entries_.back().older.size();
      index_.erase(entries_.back().name);
      entries_.pop_back();
      ++forgotten_;
    }
    return;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  Entry& entry = entries_.front();
  if (offset <= entry.newest.last) return;
  if (offset == entry.newest.last + 1) {
    entry.newest.last = offset;
    entry.newest.published = ++events_;
    return;
  }
  entry.older.push_back(entry.newest);
  entry.newest = {offset, offset, ++events_};
  if (++older_runs_ > kRunsMax) drop_oldest_runs();
}

// Whatever their keys: those that were published to longest ago.
void ProducerProgress::drop_oldest_runs() {
  std::vector<uint64_t> moments;
  for (const Entry& entry : entries_)
    for (const Run& run : entry.older) moments.push_back(run.published);
  const auto oldest_kept = moments.end() - kRunsKept;
  std::nth_element(moments.begin(), oldest_kept, moments.end());
  for (Entry& entry : entries_) {
    const auto kept =
        std::partition_point(entry.older.begin(), entry.older.end(),
                             [&](const Run& run) { return run.published < *oldest_kept; });
    if (kept == entry.older.begin()) continue;
    older_runs_ -= static_cast<size_t>(kept - entry.older.begin());
    entry.older.erase(entry.older.begin(), kept);
    entry.older.shrink_to_fit();
  }
}

void ProducerProgress::clear() {
  index_.clear();
  entries_.clear();
  older_runs_ = 0;
  events_ = 0;
}

void ProducerProgress::append_encoded(std::string& out) const {
  using protocol::append_varint;
  append_varint(out, entries_.size());
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    protocol::append_chunk(out, it->name);
    append_varint(out, it->older.size() + 1);
    uint64_t at = 0;
    const auto append_run = [&](const Run& run) {
      append_varint(out, run.first - at);
      append_varint(out, run.last - run.first);
      at = run.last;
    };
    for (const Run& run : it->older) append_run(run);
    append_run(it->newest);
  }
}

std::vector<uint64_t> ProducerProgress::published() const {
  std::vector<uint64_t> moments;
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    for (const Run& run : it->older) moments.push_back(run.published);
    moments.push_back(it->newest.published);
  }
  return moments;
}

// Without older runs it is the order of the keys.
std::string ProducerProgress::encoded_order() const {
  std::string out;
  if (older_runs_ == 0) return out;
  const std::vector<uint64_t> moments = published();
  std::vector<uint64_t> sorted = moments;
  std::sort(sorted.begin(), sorted.end());
  for (const uint64_t moment : moments) {
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), moment);
    protocol::append_varint(out, static_cast<uint64_t>(place - sorted.begin()));
  }
  return out;
}

bool ProducerProgress::decode_order(std::string_view order) {
  const size_t runs = older_runs_ + entries_.size();
  protocol::Cursor cursor(order);
  std::vector<bool> taken(runs);
  events_ = 0;
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    uint64_t place = 0, least = 0;
    const auto read = [&](Run& run) {
      if (order.empty()) {
        place = events_;
      } else if (!cursor.varint(place) || place < least || place >= runs || taken[place]) {
        return false;
      }
      taken[place] = true;
      least = place + 1;
      run.published = place + 1;
      ++events_;
      return true;
    };
    for (Run& run : it->older)
      if (!read(run)) return false;
    if (!read(it->newest)) return false;
  }
  return cursor.at_end();
}

bool ProducerProgress::decode(std::string_view bytes, std::string_view order) {
  clear();
  protocol::Cursor cursor(bytes);
  uint64_t entries = 0;
  if (!cursor.varint(entries)) return false;
  for (; entries > 0; --entries) {
    std::string_view name;
    uint64_t runs = 0, gap = 0, length = 0, at = 0;
    if (!cursor.chunk(name) || name.size() < kTypeBytes || !cursor.varint(runs) || runs == 0)
      return false;
    Entry entry{std::string(name), {}, {}};
    for (; runs > 0; --runs) {
      if (!cursor.varint(gap) || !cursor.varint(length)) return false;
      if (gap > UINT64_MAX - at || length > UINT64_MAX - at - gap) return false;
      const Run run{at + gap, at + gap + length};
      if (runs == 1) {
        entry.newest = run;
      } else {
        entry.older.push_back(run);
      }
      at = run.last;
    }
    older_runs_ += entry.older.size();
    entries_.push_front(std::move(entry));
    if (!index_.emplace(entries_.front().name, entries_.begin()).second) {
      clear();
      return false;  // a name twice
    }
  }
  return cursor.at_end() && decode_order(order);
}

}  // namespace sink::broker
