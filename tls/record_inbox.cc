// Implements record_inbox.h.
#include "tls/record_inbox.h"

#include <algorithm>
#include <cstring>

namespace sink::tls {
namespace {

constexpr uint8_t kTypeFirst = 20;  // change_cipher_spec (RFC 8446, 5.1)
constexpr uint8_t kTypeLast = 23;   // application_data
constexpr uint8_t kMajorVersion = 3;
constexpr uint32_t kBodyBytesMax = 16 * 1024 + 2048;  // TLS 1.2 ciphertext (RFC 5246, 6.2.3)

}  // namespace

void RecordInbox::lend(std::string_view bytes) {
  if (!lent_.empty()) settle();
  lent_ = bytes;
  scan(bytes);
}

void RecordInbox::settle() {
  if (carry_at_ > 0) {
    carry_.erase(0, carry_at_);
    carry_at_ = 0;
  }
  carry_.append(lent_);
  lent_ = {};
  if (carry_.empty()) std::string().swap(carry_);
}

size_t RecordInbox::take(char* out, size_t capacity) {
  const size_t wanted = std::min(capacity, available());
  const size_t carried = std::min(wanted, carry_.size() - carry_at_);
  std::memcpy(out, carry_.data() + carry_at_, carried);
  carry_at_ += carried;
  if (wanted > carried) {
    std::memcpy(out + carried, lent_.data(), wanted - carried);
    lent_.remove_prefix(wanted - carried);
  }
  return wanted;
}

void RecordInbox::scan(std::string_view bytes) {
  while (!bytes.empty() && !foreign_) {
    if (header_size_ < sizeof header_) {
      const size_t n = std::min(bytes.size(), sizeof header_ - header_size_);
      std::memcpy(header_ + header_size_, bytes.data(), n);
      header_size_ += static_cast<uint8_t>(n);
      partial_ += n;
      bytes.remove_prefix(n);
      if (header_size_ < sizeof header_) return;
      body_left_ = static_cast<uint32_t>(header_[3]) << 8 | header_[4];
      foreign_ = !plausible_header();
    }
    const size_t n = std::min<size_t>(bytes.size(), body_left_);
    body_left_ -= static_cast<uint32_t>(n);
    partial_ += n;
    bytes.remove_prefix(n);
    if (body_left_ == 0) {
      partial_ = 0;
      header_size_ = 0;
    }
  }
  if (foreign_) partial_ = 0;
}

bool RecordInbox::plausible_header() const {
  return header_[0] >= kTypeFirst && header_[0] <= kTypeLast && header_[1] == kMajorVersion &&
         body_left_ <= kBodyBytesMax;
}

}  // namespace sink::tls
