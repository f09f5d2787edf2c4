// ACKs that wait until subscriptions with ack = "settled" are done with the event, besides the
// commit: an event is settled, or stands in quarantine. Not responsible for sending. An event that
// is sent again waits for everything that its trackers had not settled when it came: which of those
// it is, nobody remembers. Bounded: Sessions stops reading a peer that is owed kPerPeerMax of them;
// what is owed to a connection that is gone is forgotten.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "daemon/broker/young_events.h"

namespace sink::broker {

class AckWaits {
 public:
  static constexpr size_t kPerPeerMax = 8'192;

  // Each of `trackers` must be done with the event first. Before its commit.
  void expect(Position position, std::vector<TrackerId> trackers, const AckTarget& target) {
    first_[position] = {std::move(trackers), target, false};
    owed_[target.connection].first.insert(position);
  }
  // Sent again: each of `trackers` must be done with everything below `end`.
  void expect_again(Position end, std::vector<TrackerId> trackers, const AckTarget& target) {
    owed_[target.connection].again.push_back({end, std::move(trackers), target});
  }

  bool empty() const { return owed_.empty(); }
  bool waits(Position position) const { return first_.count(position) != 0; }
  size_t owed(ConnectionId connection) const {
    const auto found = owed_.find(connection);
    return found == owed_.end() ? 0 : found->second.size();
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
    if (found != first_.end()) take(found);
  }

  // Those sent again whose trackers have come as far. `oldest_of(tracker)`: the oldest position
  // that it is not done with, nullopt: none; asked once for each tracker.
  template <class OldestOf>
  std::vector<AckTarget> take_again(OldestOf&& oldest_of) {
    std::vector<AckTarget> ready;
    if (!std::exchange(something_done_, false)) return ready;
    std::map<TrackerId, std::optional<Position>> oldest;
    const auto is_done = [&](TrackerId tracker, Position end) {
      const auto [known, fresh] = oldest.try_emplace(tracker);
      if (fresh) known->second = oldest_of(tracker);
      return !known->second || *known->second >= end;
    };
    for (auto owed = owed_.begin(); owed != owed_.end();) {
      std::erase_if(owed->second.again, [&](Again& one) {
        std::erase_if(one.trackers, [&](TrackerId id) { return is_done(id, one.end); });
        if (one.trackers.empty()) ready.push_back(one.target);
        return one.trackers.empty();
      });
      owed = owed->second.size() == 0 ? owed_.erase(owed) : std::next(owed);
    }
    return ready;
  }

  void forget_connection(ConnectionId connection) {
    const auto owed = owed_.find(connection);
    if (owed == owed_.end()) return;
    for (const Position position : owed->second.first) first_.erase(position);
    owed_.erase(owed);
  }
  // To a connection that is owed nothing yet.
  void redirect(ConnectionId from, ConnectionId to) {
    auto owed = owed_.extract(from);
    if (owed.empty()) return;
    owed.key() = to;
    for (const Position position : owed.mapped().first)
      first_[position].target.connection = to;
    for (Again& one : owed.mapped().again) one.target.connection = to;
    owed_.insert(std::move(owed));
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
  struct Owed {
    std::unordered_set<Position> first;
    std::vector<Again> again;
    size_t size() const { return first.size() + again.size(); }
  };
  using Firsts = std::unordered_map<Position, First>;

  std::optional<AckTarget> take_if_done(Firsts::iterator at) {
    if (!at->second.committed || !at->second.trackers.empty()) return std::nullopt;
    return take(at);
  }
  AckTarget take(Firsts::iterator at) {
    const AckTarget target = at->second.target;
    const auto owed = owed_.find(target.connection);
    owed->second.first.erase(at->first);
    if (owed->second.size() == 0) owed_.erase(owed);
    first_.erase(at);
    return target;
  }

  Firsts first_;                       // by position
  std::map<ConnectionId, Owed> owed_;  // what is owed to nobody has no entry
  bool something_done_ = false;
};

}  // namespace sink::broker
