#include "protocol/version_choice.h"

#include <algorithm>
#include <utility>

namespace sink::protocol {
namespace {

constexpr uint64_t kVersion0Ms = 24 * 3'600'000;  // before version 1 is asked for again
constexpr uint32_t kUnansweredMax = 2;            // requests in version 1 before one in version 0

}  // namespace

uint8_t VersionChoice::to_ask(uint64_t now_ms) const {
  if (is_version_0(now_ms) || unanswered_requests_ >= kUnansweredMax)
    return kProtocolVersion0;
  return std::min(version_max_, kProtocolVersion1);
}

void VersionChoice::on_asked(uint8_t version) {
  asked_ = version;
  awaits_word_ = true;
}

bool VersionChoice::on_heard(uint64_t now_ms) {
  if (!std::exchange(awaits_word_, false)) return false;
  const bool had_no_answers = std::exchange(unanswered_requests_, 0) > 0;
  if (!had_no_answers || asked_ != kProtocolVersion0) return false;
  version_0_until_ms_ = now_ms + kVersion0Ms;
  return true;
}

void VersionChoice::on_ended() {
  if (!std::exchange(awaits_word_, false)) return;
  const bool may_be_of_version_0 = asked_ != kProtocolVersion0 && !speaks_1_;
  unanswered_requests_ = may_be_of_version_0 ? unanswered_requests_ + 1 : 0;
}

bool VersionChoice::on_unsupported(uint64_t now_ms) {
  if (asked_ == kProtocolVersion0) return false;
  version_0_until_ms_ = now_ms + kVersion0Ms;
  return true;
}

}  // namespace sink::protocol
