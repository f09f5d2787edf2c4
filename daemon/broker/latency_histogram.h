// How long something took, counted in buckets that double: cheap enough for every event. Not
// responsible for clocks. Process-lifetime, never reset.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sink::broker {

class LatencyHistogram {
 public:
  static constexpr size_t kBuckets = 20;        // the last one has no bound
  static constexpr uint64_t kFirstBoundUs = 16;  // each later bound is twice the one before

  void add(uint64_t took_us) {
    const auto steps = static_cast<size_t>(std::bit_width(took_us / kFirstBoundUs));
    ++buckets_[std::min(steps, kBuckets - 1)];
    ++count_;
    sum_us_ += took_us;
  }

  // Bucket i has what took less than bound_us(i), and not less than the bound before.
  static constexpr uint64_t bound_us(size_t i) { return kFirstBoundUs << i; }
  uint64_t in_bucket(size_t i) const { return buckets_[i]; }
  uint64_t count() const { return count_; }
  uint64_t sum_us() const { return sum_us_; }

 private:
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_us_ = 0;
};

}  // namespace sink::broker
