// What a client keeps of its session with the server beyond one connection: what is in flight in
// both directions, what was answered, how far both directions have come. Version 0 has the same for
// one connection only. Owned by DurableState, used by one Link at a time. Not responsible for
// frames (link.h) nor for the events themselves (publish_queue.h).
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "client/publish_queue.h"
#include "protocol/answer_memory.h"
#include "protocol/control/greeting.h"
#include "protocol/control/resumption.h"
#include "protocol/in_flight_window.h"
#include "protocol/tally.h"

namespace sink::client {

// One of our publishes that awaits its answer. The queue may have let go of it meanwhile.
struct InFlight {
  PublishQueue::Slot slot = PublishQueue::kNone;
  uint64_t serial = 0;
  protocol::TallyMark mark;
};

struct SessionMemory {
  std::optional<protocol::SessionId> id;  // version 1, once the server has named it
  protocol::InFlightWindow<InFlight> window{0, 1};
  uint64_t answered_max = 0;       // the highest number of a publish that was answered
  protocol::Tally sent;            // publishes
  protocol::Tally received;        // deliveries
  protocol::AnswerMemory answers;  // to those
  uint32_t ttl_ms = 0;             // for how long the server keeps it once the connection broke

  // What the next CONNECTION REQUEST says of it; nullopt: a new session is asked for.
  std::optional<protocol::SessionPoint> point() {
    if (!id || !answers.complete()) return std::nullopt;
    return protocol::SessionPoint{*id, received.count, received.checksum, sent.count,
                                  protocol::awaited_in(window)};
  }

  // What the server says of our publishes, judged as it has judged what we said.
  std::optional<protocol::NewSessionReason> judge(const protocol::SessionPoint& theirs) {
    return protocol::judge_resumption(
        theirs, protocol::sender_facts(window, sent, answered_max, theirs.received));
  }

  // Takes what the server has not received out of the window, to be sent next.
  void take_unreceived(const protocol::SessionPoint& theirs, PublishQueue& queue) {
    std::vector<uint16_t> unreceived;
    window.for_each([&](uint16_t message_id, const InFlight& message) {
      if (message.mark.number > theirs.received) unreceived.push_back(message_id);
    });
    InFlight first;
    size_t count = 0;
    for (const uint16_t message_id : unreceived) {
      const InFlight message = *window.take(message_id);
      if (!queue.holds(message.slot, message.serial)) continue;
      if (count++ == 0 || message.mark.number < first.mark.number) first = message;
    }
    if (count > 0) queue.rewind_to(first.slot, count);
    sent = {theirs.received, theirs.checksum};
  }
};

}  // namespace sink::client
