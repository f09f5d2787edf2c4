// Durations in buckets that are at most 1/64 wide: recording costs a few instructions and no memory
// however long a run lasts. Not responsible for measuring. Invariant: percentile() overstates by at
// most one bucket and never understates.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace sink::tools {

class LatencyHistogram {
 public:
  void record(uint64_t ns) {
    ++buckets_[bucket_of(ns)];
    ++count_;
    max_ns_ = std::max(max_ns_, ns);
  }
  void merge(const LatencyHistogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
  }

  // The duration in ns that `share` (0 to 1) of the records do not exceed; 0 without records.
  uint64_t percentile(double share) const {
    const double wanted = share * static_cast<double>(count_);
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return std::min(upper_end(i), max_ns_);
    }
    return max_ns_;
  }
  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr uint64_t kSub = 1u << kSubBits;  // buckets per power of two

  static size_t bucket_of(uint64_t ns) {
    if (ns < kSub) return static_cast<size_t>(ns);
    const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - kSubBits;
    return (static_cast<size_t>(shift) << kSubBits) + static_cast<size_t>(ns >> shift);
  }
  static uint64_t upper_end(size_t bucket) {
    if (bucket < 2 * kSub) return bucket;
    const size_t shift = (bucket >> kSubBits) - 1;
    const uint64_t mantissa = (bucket & (kSub - 1)) + kSub;
    return ((mantissa + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kSubBits + 1) * kSub> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace sink::tools
