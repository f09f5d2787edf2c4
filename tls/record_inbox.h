// Ciphertext on its way to OpenSSL. Hands over whole TLS records only, so that OpenSSL never sits
// on a 16 KiB buffer for a record of which a slow or hostile peer has sent three bytes. Not
// responsible for what records mean; whatever does not look like TLS is handed over at once for
// OpenSSL to refuse. Invariant: available() <= size(), and memory is at most twice the bytes
// received and not yet taken.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sink::tls {

class RecordInbox {
 public:
  // Borrows `bytes` until settle(); they follow what is already there.
  void lend(std::string_view bytes);

  // Ends the loan: copies what was not taken, so that the lender may reuse its buffer.
  void settle();

  // Bytes that may be taken now: all whole records.
  size_t available() const { return size() - partial_; }
  size_t size() const { return carry_.size() - carry_at_ + lent_.size(); }

  // Moves up to `capacity` available bytes to `out`; answers how many.
  size_t take(char* out, size_t capacity);

 private:
  void scan(std::string_view bytes);
  bool plausible_header() const;

  std::string carry_;  // from earlier loans
  size_t carry_at_ = 0;
  std::string_view lent_;
  size_t partial_ = 0;       // trailing bytes that are no whole record yet
  uint32_t body_left_ = 0;   // of the record whose header is complete
  uint8_t header_[5] = {};   // type, version (2), length (2)
  uint8_t header_size_ = 0;  // of `header_`; 5 while in the body
  bool foreign_ = false;     // not TLS: no longer cut into records
};

}  // namespace sink::tls
