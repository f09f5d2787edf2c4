// Cuts the byte stream of one connection into frames. Not responsible for what a frame says.
// Invariant, checked after every call: carry_at_ <= carry_.size(), and a partial frame is the only
// thing that is ever copied. Memory: at most the bytes received and not yet taken.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "protocol/bytes.h"
#include "protocol/frame.h"

namespace sink::protocol {

// Call order: lend(bytes), next() until nullopt or until the caller has had enough, settle().
class FrameSplitter {
 public:
  // Borrows `input` until settle(); it follows whatever an earlier settle() kept.
  void lend(Bytes input) { lent_ = input; }

  // The next whole frame without its length prefix, valid until the next call of any method.
  std::optional<Bytes> next() {
    if (carry_at_ == carry_.size()) return next_lent();
    if (!top_up(kLengthBytes)) return std::nullopt;
    const size_t total = kLengthBytes + length_at(carry_.data() + carry_at_);
    if (!top_up(total)) return std::nullopt;
    const Bytes frame(carry_.data() + carry_at_ + kLengthBytes, total - kLengthBytes);
    carry_at_ += total;
    return frame;
  }

  // The first byte of the next frame, whole or not; nullopt while it has not arrived.
  std::optional<uint8_t> peek() const {
    const size_t carried = carry_.size() - carry_at_;
    if (carried + lent_.size() <= kLengthBytes) return std::nullopt;
    return static_cast<uint8_t>(carried > kLengthBytes ? carry_[carry_at_ + kLengthBytes]
                                                       : lent_[kLengthBytes - carried]);
  }

  // Ends the loan: copies what was not taken, so that the caller may reuse its buffer.
  void settle() {
    carry_.erase(0, carry_at_);
    carry_at_ = 0;
    carry_.append(lent_);
    lent_ = {};
    if (carry_.empty() && carry_.capacity() > kKeptCapacity) std::string().swap(carry_);
  }

  // Bytes received and not yet taken.
  size_t buffered() const { return carry_.size() - carry_at_ + lent_.size(); }

 private:
  static constexpr size_t kKeptCapacity = 64;

  static size_t length_at(const char* p) {
    return static_cast<size_t>(static_cast<uint8_t>(p[0])) << 8 | static_cast<uint8_t>(p[1]);
  }

  std::optional<Bytes> next_lent() {
    carry_.clear();
    carry_at_ = 0;
    if (lent_.size() < kLengthBytes) return std::nullopt;
    const size_t total = kLengthBytes + length_at(lent_.data());
    if (lent_.size() < total) return std::nullopt;
    const Bytes frame = lent_.substr(kLengthBytes, total - kLengthBytes);
    lent_.remove_prefix(total);
    return frame;
  }

  // Moves lent bytes behind the carried ones until `wanted` are there; false: not enough yet.
  bool top_up(size_t wanted) {
    const size_t have = carry_.size() - carry_at_;
    if (have >= wanted) return true;
    const size_t more = std::min(wanted - have, lent_.size());
    carry_.append(lent_.substr(0, more));
    lent_.remove_prefix(more);
    return have + more >= wanted;
  }

  std::string carry_;
  size_t carry_at_ = 0;
  Bytes lent_;
};

}  // namespace sink::protocol
