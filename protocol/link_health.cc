#include "protocol/link_health.h"

#include <algorithm>
#include <vector>

namespace sink::protocol {

LinkHealth LinkHealth::after(const std::optional<LinkHealth>& before, uint64_t now_us) {
  LinkHealth next(now_us);
  if (!before) return next;
  next.answers_ = before->answers_;
  next.forget_old(now_us);
  if (before->awaits_ && !before->answered_)
    next.first_us_ = std::min(2 * before->first_us_, kUnmeasuredUsMax);
  return next;
}

void LinkHealth::on_answered(uint64_t now_us) {
  if (!awaits_) return;
  awaits_ = false;
  answered_ = true;
  answers_.push_back({now_us, now_us - asked_us_});
  forget_old(now_us);
}

void LinkHealth::forget_old(uint64_t now_us) {
  while (!answers_.empty() && answers_.front().at_us + kMemoryUs < now_us) answers_.pop_front();
}

uint64_t LinkHealth::deadline_us(bool sent) const {
  const uint64_t quiet_since = std::max(heard_us_, asked_us_);
  if (awaits_) return quiet_since + kGraceUs + std::max(worst_us(), answered_ ? 0 : first_us_);
  const uint64_t ask_us = asked_us_ + kAskUs;
  return sent ? std::min(ask_us, quiet_since + kQuietUs) : ask_us;
}

uint64_t LinkHealth::median_us() const {
  if (answers_.empty()) return 0;
  std::vector<uint64_t> took;
  for (const Answer& answer : answers_) took.push_back(answer.took_us);
  const auto middle = took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2);
  std::nth_element(took.begin(), middle, took.end());
  return *middle;
}

uint64_t LinkHealth::worst_us() const {
  uint64_t worst = 0;
  for (const Answer& answer : answers_) worst = std::max(worst, answer.took_us);
  return worst;
}

}  // namespace sink::protocol
