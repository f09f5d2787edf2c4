#include "client/service_lease.h"

#include <algorithm>
#include <utility>

namespace sink::client {
namespace {

constexpr uint64_t kRefreshPercent = 80;  // of the lease

}  // namespace

const char* to_string(ServiceChange change) {
  switch (change) {
    case ServiceChange::exposed: return "exposed";
    case ServiceChange::lapsed: return "lapsed";
    case ServiceChange::refused: return "refused";
    case ServiceChange::withdrawn: return "withdrawn";
  }
  return "unknown";
}

std::optional<protocol::ControlRequest> ServiceLease::request(uint64_t now_ms) const {
  if (asked_ != Asked::nothing) return std::nullopt;
  switch (state_) {
    case State::wanted: return offer_;
    case State::leased:
      if (now_ms < next_ms_) return std::nullopt;
      return protocol::Refresh{*uuid_};
    case State::resting:
      if (now_ms < next_ms_) return std::nullopt;
      return offer_;
    case State::leaving: return protocol::Withdraw{*uuid_};
    case State::away:
    case State::over: return std::nullopt;
  }
  return std::nullopt;
}

void ServiceLease::asked(uint64_t now_ms) {
  asked_ms_ = now_ms;
  asked_ = state_ == State::leased    ? Asked::refresh
           : state_ == State::leaving ? Asked::withdraw
                                      : Asked::expose;
}

std::optional<uint64_t> ServiceLease::deadline_ms() const {
  if (asked_ != Asked::nothing || (state_ != State::leased && state_ != State::resting))
    return std::nullopt;
  return next_ms_;
}

// The server may have kept the lease or not, so it is exposed again, which does for both.
std::optional<ServiceChange> ServiceLease::on_connected(uint64_t now_ms) {
  if (state_ != State::away) return std::nullopt;
  state_ = State::wanted;
  if (expires_ms_ == 0 || now_ms < expires_ms_) return std::nullopt;
  expires_ms_ = 0;
  return ServiceChange::lapsed;
}

void ServiceLease::on_lost() {
  asked_ = Asked::nothing;
  if (state_ == State::leaving) {
    if (!uuid_) state_ = State::over;  // if the server has granted it: that lapses
  } else if (state_ != State::over) {
    state_ = State::away;
  }
}

std::optional<ServiceChange> ServiceLease::on_outcome(const protocol::ControlOutcome& outcome,
                                                      uint64_t now_ms) {
  const Asked asked = std::exchange(asked_, Asked::nothing);
  if (outcome.lease) return granted(*outcome.lease, now_ms);
  if (asked == Asked::withdraw) {  // not found says the same
    if (state_ != State::leaving) return std::nullopt;  // replaced since
    state_ = State::over;
    return ServiceChange::withdrawn;
  }
  if (state_ == State::leaving) {  // nothing was granted that must be given back
    if (!uuid_) state_ = State::over;
    return uuid_ ? std::nullopt : std::optional(ServiceChange::withdrawn);
  }
  if (asked == Asked::refresh && outcome.code == protocol::ErrorCode::not_found) {
    if (state_ == State::wanted) return std::nullopt;  // the server has said so before
    state_ = State::wanted;
    expires_ms_ = 0;
    return ServiceChange::lapsed;
  }
  return refused(outcome, now_ms);
}

// It began when the server had the request, which was not before it was sent.
std::optional<ServiceChange> ServiceLease::granted(const protocol::Lease& lease, uint64_t now_ms) {
  uuid_ = lease.uuid;
  expires_ms_ = asked_ms_ + lease.ttl_ms;
  refusal_ = {};
  if (state_ == State::leaving) return std::nullopt;
  const bool known = state_ == State::leased || changed_;
  state_ = std::exchange(changed_, false) ? State::wanted : State::leased;
  next_ms_ = std::max(now_ms, asked_ms_ + lease.ttl_ms * kRefreshPercent / 100);
  return known ? std::nullopt : std::optional(ServiceChange::exposed);
}

// Told once for the same words.
std::optional<ServiceChange> ServiceLease::refused(const protocol::ControlOutcome& outcome,
                                                   uint64_t now_ms) {
  state_ = std::exchange(changed_, false) ? State::wanted : State::resting;
  const bool passes = outcome.code == protocol::ErrorCode::unavailable;  // a full store, say
  next_ms_ = now_ms + (passes ? kRetryMsMin : retry_ms());
  const bool told = refusal_ == outcome;
  refusal_ = outcome;
  return told ? std::nullopt : std::optional(ServiceChange::refused);
}

uint64_t ServiceLease::retry_ms() const {
  return std::max<uint64_t>(kRetryMsMin, offer_.ttl_ms * kRefreshPercent / 100);
}

std::optional<ServiceChange> ServiceLease::on_ended(protocol::ServiceEndReason reason) {
  if (state_ == State::away || state_ == State::over || !uuid_) return std::nullopt;
  expires_ms_ = 0;
  if (state_ == State::leaving || reason == protocol::ServiceEndReason::by_operator) {
    state_ = State::over;
    return ServiceChange::withdrawn;
  }
  state_ = State::wanted;
  return ServiceChange::lapsed;
}

void ServiceLease::replace(protocol::Expose offer) {
  offer_ = std::move(offer);
  changed_ = asked_ == Asked::expose || asked_ == Asked::refresh;
  if (state_ != State::away) state_ = State::wanted;
}

void ServiceLease::withdraw() {
  if (state_ == State::over) return;
  const bool nothing_there = !uuid_ && asked_ == Asked::nothing;
  state_ = nothing_there ? State::over : State::leaving;
}

}  // namespace sink::client
