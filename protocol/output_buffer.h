// Bytes to send: append at the end, view the front, mark as sent. Partial writes need no special
// code. Not responsible for limits: its owner asks size() before it appends.
#pragma once

#include <string>

#include "protocol/bytes.h"

namespace sink::protocol {

class OutputBuffer {
 public:
  // Append frames here; bytes already there are never touched.
  std::string& tail() { return bytes_; }

  // Unsent bytes; valid until the next append or mark_sent.
  Bytes unsent() const { return Bytes(bytes_).substr(sent_); }
  size_t size() const { return bytes_.size() - sent_; }
  bool empty() const { return size() == 0; }

  void mark_sent(size_t count) {
    sent_ += count;
    if (sent_ == bytes_.size()) {
      bytes_.clear();
      sent_ = 0;
    } else if (sent_ >= kCompactBytes && sent_ * 2 >= bytes_.size()) {
      bytes_.erase(0, sent_);
      sent_ = 0;
    }
  }

  // Gives the memory of an empty buffer back.
  void release() {
    if (empty()) std::string().swap(bytes_);
  }
  size_t capacity() const { return bytes_.capacity(); }

 private:
  static constexpr size_t kCompactBytes = 16 * 1024;
  std::string bytes_;
  size_t sent_ = 0;
};

}  // namespace sink::protocol
