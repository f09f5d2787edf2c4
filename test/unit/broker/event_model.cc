#include "test/unit/broker/event_model.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace sink::broker::test {

EventModel::Tracker& EventModel::tracker(const std::string& name) {
  const auto found = trackers_.find(name);
  REQUIRE_MESSAGE(found != trackers_.end(), "a delivery for an unknown tracker: ", name);
  return found->second;
}

void EventModel::add_tracker(const std::string& name, bool ordered, uint32_t window) {
  trackers_[name].ordered = ordered;
  trackers_[name].window = window;
}

void EventModel::expect(const std::string& name, const std::string& event) {
  tracker(name).expected.insert(event);
}

void EventModel::on_publisher_ack(const std::string& event) {
  acknowledged_.insert(event);
}

void EventModel::on_delivery(const Delivery& delivery) {
  ++deliveries;
  Tracker& to = tracker(delivery.tracker);
  REQUIRE_MESSAGE(to.expected.count(delivery.event) == 1, delivery.tracker, " does not match ",
                  delivery.event);
  REQUIRE_MESSAGE(to.in_flight.count(delivery.event) == 0, "D1: ", delivery.event,
                  " is sent twice to ", delivery.tracker, " without a fault");
  REQUIRE_MESSAGE(to.settled.count(delivery.event) == 0, "S1: ", delivery.event,
                  " is sent again to ", delivery.tracker, " after its ACK");
  if (to.settled_before.count(delivery.event) != 0) {
    to.repeated.insert(delivery.event);
    REQUIRE_MESSAGE((!check_repeats || to.repeated.size() <= to.window * crashes_),
                    "D2: more than a window's worth comes twice to ", delivery.tracker);
  }
  if (to.ordered) {
    const auto refused = to.refused.find(delivery.key);
    const bool waits = refused != to.refused.end() && !refused->second.empty() &&
                       *refused->second.begin() < delivery.offset;
    REQUIRE_MESSAGE(!waits, "I3: ", delivery.event, " is sent to ", delivery.tracker,
                    " before an older refused event of its key is resolved");
  }
  to.delivered.insert(delivery.event);
  to.in_flight[delivery.event] = delivery.connection;
}

void EventModel::on_answer(const Delivery& delivery, Answer answer, bool certain) {
  Tracker& to = tracker(delivery.tracker);
  const auto flight = to.in_flight.find(delivery.event);
  const bool live = flight != to.in_flight.end() && flight->second == delivery.connection;
  if (!live) certain = false;
  if (certain) to.in_flight.erase(flight);
  auto& refused = to.refused[delivery.key];
  switch (answer) {
    case Answer::ack:
      refused.erase(delivery.offset);
      if (certain) to.settled.insert(delivery.event);
      return;
    case Answer::settle_otherwise:
      refused.erase(delivery.offset);
      return;
    case Answer::refuse:
      if (certain) refused.insert(delivery.offset);
      return;
  }
}

void EventModel::on_timeout(const Delivery& delivery) {
  Tracker& to = tracker(delivery.tracker);
  const auto flight = to.in_flight.find(delivery.event);
  if (flight != to.in_flight.end() && flight->second == delivery.connection)
    to.in_flight.erase(flight);
}

void EventModel::on_disconnect(uint64_t connection) {
  for (auto& [name, to] : trackers_)
    std::erase_if(to.in_flight, [=](const auto& flight) { return flight.second == connection; });
}

// Refusals not yet written are forgotten; so are ACKs, a window's worth of them.
void EventModel::on_crash() {
  ++crashes_;
  for (auto& [name, to] : trackers_) {
    to.in_flight.clear();
    to.refused.clear();
    to.settled_before.insert(to.settled.begin(), to.settled.end());
    to.settled.clear();
  }
}

void EventModel::on_drop(const std::string& name, const std::string& key, uint64_t offset) {
  tracker(name).refused[key].erase(offset);
  tracker(name).delivered.insert(key + "/" + std::to_string(offset));
}

void EventModel::check_complete() const {
  for (const auto& entry : trackers_)
    for (const std::string& event : entry.second.expected)
      REQUIRE_MESSAGE((acknowledged_.count(event) == 0 || entry.second.delivered.count(event) != 0),
                      "I1: ", event, " was acknowledged and never reached ", entry.first);
}

}  // namespace sink::broker::test
