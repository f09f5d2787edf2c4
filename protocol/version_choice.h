// Which version of the protocol to ask a server for: the newest that the user allows, until the
// server has shown that it speaks version 0 only. Not responsible for asking. Time comes in as an
// argument.
#pragma once

#include <cstdint>

#include "protocol/frame.h"

namespace sink::protocol {

class VersionChoice {
 public:
  explicit VersionChoice(uint8_t version_max) : version_max_(version_max) {}

  uint8_t to_ask(uint64_t now_ms) const;
  // It has shown that it speaks version 0 only, and not a day has gone by.
  bool is_version_0(uint64_t now_ms) const { return now_ms < version_0_until_ms_; }

  // A request in this version is on its way.
  void on_asked(uint8_t version);
  // The server has said something. True for the first time that shows that it speaks version 0
  // only: there are servers of version 0 that close the connection instead of answering version 1.
  // If one answers version 0 afterwards, it is one of these; if it does not, it had other reasons.
  [[nodiscard]] bool on_heard(uint64_t now_ms);
  // Welcomed in this version: a server that speaks version 1 has other reasons to close.
  void on_welcomed(uint8_t version) { speaks_1_ = speaks_1_ || version == kProtocolVersion1; }
  // The connection has ended; without a word from the server, if none was heard.
  void on_ended();
  // The server has refused version 1 in so many words. False: that was not what it was asked for.
  [[nodiscard]] bool on_unsupported(uint64_t now_ms);

 private:
  uint8_t version_max_;
  uint8_t asked_ = 0;
  bool awaits_word_ = false;          // asked, and not heard yet
  bool speaks_1_ = false;             // since this was made
  uint32_t unanswered_requests_ = 0;  // of version 1, in a row
  uint64_t version_0_until_ms_ = 0;
};

}  // namespace sink::protocol
