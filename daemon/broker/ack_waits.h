// ACKs that wait until subscriptions with ack = "settled" are done with the event, besides the
// commit: an event is settled, or stands in quarantine. Not responsible for sending. An event that
// is sent again waits for everything that its trackers had not settled when it came: which of those
// it is, nobody remembers. Bounded: Sessions stops reading a peer that is owed kPerPeerMax of them;
// what is owed to a connection that is gone is forgotten.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/broker/young_events.h"

namespace sink::broker {

class AckWaits {
 public:
  static constexpr size_t kPerPeerMax = 8'192;

  // Each of `trackers` must be done with the event first. Before its commit.
  void expect(Position position, std::vector<TrackerId> trackers, const AckTarget& target) {
    ++owed_[target.connection];
    first_[position] = {std::move(trackers), target, false};
  }
  // Sent again: each of `trackers` must be done with everything below `end`.
  void expect_again(Position end, std::vector<TrackerId> trackers, const AckTarget& target) {
    ++owed_[target.connection];
    again_.push_back({end, std::move(trackers), target});
  }

  bool empty() const { return first_.empty() && again_.empty(); }
  bool waits(Position position) const { return first_.count(position) != 0; }
  size_t owed(ConnectionId connection) const {
    const auto found = owed_.find(connection);
    return found == owed_.end() ? 0 : found->second;
  }

  // Each answers with the target that waits for nothing more.
  std::optional<AckTarget> committed(Position position) {
    const auto found = first_.find(position);
    if (found == first_.end()) return std::nullopt;
    found->second.committed = true;
    return take_if_done(found);
  }
  std::optional<AckTarget> done(Position position, TrackerId tracker) {
    something_done_ = true;
    const auto found = first_.find(position);
    if (found == first_.end()) return std::nullopt;
    std::erase(found->second.trackers, tracker);
    return take_if_done(found);
  }
  // Everyone has settled it, and it was never written.
  void forget(Position position) {
    const auto found = first_.find(position);
    if (found == first_.end()) return;
    discharge(found->second.target);
    first_.erase(found);
  }

  // Those sent again whose trackers have nothing left below. `has_below(tracker, end)`.
  template <class HasBelow>
  std::vector<AckTarget> take_again(HasBelow&& has_below) {
    std::vector<AckTarget> ready;
    if (again_.empty() || !std::exchange(something_done_, false)) return ready;
    std::erase_if(again_, [&](Again& one) {
      std::erase_if(one.trackers,
                    [&](TrackerId tracker) { return !has_below(tracker, one.end); });
      if (!one.trackers.empty()) return false;
      discharge(one.target);
      ready.push_back(one.target);
      return true;
    });
    return ready;
  }

  void forget_connection(ConnectionId connection) {
    if (owed_.erase(connection) == 0) return;
    std::erase_if(first_, [&](const auto& one) {
      return one.second.target.connection == connection;
    });
    std::erase_if(again_, [&](const Again& one) { return one.target.connection == connection; });
  }
  void redirect(ConnectionId from, ConnectionId to) {
    const auto owed = owed_.find(from);
    if (owed == owed_.end()) return;
    for (auto& [position, one] : first_)
      if (one.target.connection == from) one.target.connection = to;
    for (Again& one : again_)
      if (one.target.connection == from) one.target.connection = to;
    const size_t count = owed->second;
    owed_.erase(owed);
    owed_[to] += count;
  }

 private:
  struct First {
    std::vector<TrackerId> trackers;  // not done with it
    AckTarget target;
    bool committed = false;
  };
  struct Again {
    Position end = 0;
    std::vector<TrackerId> trackers;
    AckTarget target;
  };
  using Firsts = std::unordered_map<Position, First>;

  std::optional<AckTarget> take_if_done(Firsts::iterator at) {
    if (!at->second.committed || !at->second.trackers.empty()) return std::nullopt;
    const AckTarget target = at->second.target;
    discharge(target);
    first_.erase(at);
    return target;
  }
  void discharge(const AckTarget& target) {
    const auto owed = owed_.find(target.connection);
    if (owed != owed_.end() && --owed->second == 0) owed_.erase(owed);
  }

  Firsts first_;
  std::vector<Again> again_;
  std::map<ConnectionId, size_t> owed_;
  bool something_done_ = false;
};

}  // namespace sink::broker
