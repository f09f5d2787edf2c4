// What must be true of all deliveries, kept in plain maps: which events were published, which were
// acknowledged to their publisher, what each consumer got and answered, per subscription. Shares no
// code with the broker. Whoever drives a simulation reports to it; it fails the test.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace sink::broker::test {

enum class Answer : uint8_t { ack, refuse, settle_otherwise };

class EventModel {
 public:
  // One tracker: "subscription consumer"; its window bounds what a crash may deliver twice.
  void add_tracker(const std::string& tracker, bool ordered, uint32_t window);
  // What it should get, decided when the event is published.
  void expect(const std::string& tracker, const std::string& event);
  void on_publisher_ack(const std::string& event);

  struct Delivery {
    std::string tracker;
    std::string event;  // unique over all publishers
    std::string key;    // of order
    uint64_t offset = 0;
    uint64_t connection = 0;
    uint64_t sent_ms = 0;  // or earlier
  };
  void on_delivery(const Delivery& delivery);
  // `certain`: the delivery cannot have timed out before the answer was processed.
  void on_answer(const Delivery& delivery, Answer answer, bool certain);
  // A flight whose time is over may be repeated.
  void on_timeout(const Delivery& delivery);
  void on_disconnect(uint64_t connection);
  void on_crash();
  // An operator has dropped it.
  void on_drop(const std::string& tracker, const std::string& key, uint64_t offset);

  // Everything that publishers were told is safe has reached everyone it should.
  void check_complete() const;
  // A crash makes at most a window's worth come twice. Meaningless with commit_linger.
  bool check_repeats = true;
  uint64_t deliveries = 0;

 private:
  struct Tracker {
    bool ordered = true;
    uint32_t window = 0;
    std::set<std::string> expected;
    std::set<std::string> delivered;                    // or dropped by an operator
    std::set<std::string> settled;                      // ACKed in time, in this life
    std::set<std::string> settled_before;               // in an earlier life
    std::set<std::string> repeated;                     // of those, delivered again
    std::map<std::string, uint64_t> in_flight;          // event -> connection
    std::map<std::string, std::set<uint64_t>> refused;  // key -> offsets not yet resolved
  };
  Tracker& tracker(const std::string& name);

  std::map<std::string, Tracker> trackers_;
  std::set<std::string> acknowledged_;
  uint64_t crashes_ = 0;
};

}  // namespace sink::broker::test
