#include "storage/batch_chain.h"

#include <algorithm>
#include <vector>

#include "storage/batch_reader.h"

namespace sink::storage {
namespace {

constexpr size_t kNone = SIZE_MAX;

// Small, because a segment may hold many.
struct Candidate {
  uint64_t offset = 0;
  Sequence sequence = 0;
  size_t previous = kNone;
  bool whole = false;
};

// The longest row of rising sequences, by patience sorting: ends_[n] is the candidate that a row of
// n + 1 ends with, the lowest such.
class Patience {
 public:
  void add(Candidate candidate) {
    const auto place = std::lower_bound(
        ends_.begin(), ends_.end(), candidate.sequence,
        [&](size_t end, Sequence sequence) { return all_[end].sequence < sequence; });
    if (place != ends_.end() && all_[*place].whole && !candidate.whole) return;
    if (place != ends_.end() && all_[*place].sequence == candidate.sequence &&
        all_[*place].whole == candidate.whole)
      return;
    if (place != ends_.begin()) candidate.previous = *std::prev(place);
    all_.push_back(candidate);
    if (place == ends_.end()) {
      ends_.push_back(all_.size() - 1);
    } else {
      *place = all_.size() - 1;
    }
  }

  // At most the first two of the row.
  std::vector<Candidate> beginning() const {
    std::vector<Candidate> row;
    if (ends_.empty()) return row;
    size_t second = kNone, at = ends_.back();
    for (; all_[at].previous != kNone; at = all_[at].previous) second = at;
    row.push_back(all_[at]);
    if (second != kNone) row.push_back(all_[second]);
    return row;
  }

 private:
  std::vector<Candidate> all_;
  std::vector<size_t> ends_;
};

}  // namespace

DiskResult<BatchChain> find_chain(const StoreId& store, SegmentId segment, Window& window,
                                  uint64_t offset, Sequence oldest) {
  Patience patience;
  for (;;) {
    auto found = find_batch(store, segment, window, offset, oldest);
    if (!found) return tl::unexpected(found.error());
    if (!*found) break;
    const FoundBatch& batch = **found;
    const uint64_t bytes = batch_bytes(batch.header.body_bytes);
    auto content = window.at(batch.offset, static_cast<size_t>(bytes));
    // unreached: read again only where it ends a megabyte behind the last one
    if (!content) return tl::unexpected(content.error());
    const bool whole = batch_is_whole(store, batch.header, *content);
    patience.add({batch.offset, batch.header.sequence, kNone, whole});
    offset = batch.offset + (whole ? bytes : kBatchAlignment);
  }
  BatchChain chain;
  for (const Candidate& candidate : patience.beginning()) {
    auto bytes = window.at(candidate.offset, kBatchHeaderBytes);
    if (!bytes) return tl::unexpected(bytes.error());
    const auto header = decode_batch_header(store, segment, *bytes);
    if (!header) break;  // unreached: it would have to change under our eyes
    auto& place = chain.first ? chain.second : chain.first;
    place = ChainedBatch{candidate.offset, *header, candidate.whole};
  }
  return chain;
}

}  // namespace sink::storage
