// The trackers of a whole broker under any row of deeds. World checks after every step that each
// event is in exactly one place (S3) and that the window holds; BrokerHistory's model checks order,
// repetition and completeness. What breaks is shrunk to the shortest row of deeds.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "test/unit/broker/broker_history.h"

using namespace sink::broker;
using namespace sink::broker::test;

namespace {

using Deed = std::pair<uint8_t, uint8_t>;

void carry_out(BrokerHistory& history, const Deed& deed) {
  const auto [what, object] = deed;
  const size_t consumer = object % BrokerHistory::kConsumers;
  switch (what % 10) {
    case 0:
    case 1:
    case 2:
      return history.publish(object % BrokerHistory::kPublishers, object / 3 % 3, 0, object);
    case 3:
    case 4:
      return history.answer(consumer, object / 10, static_cast<Verdict>(object / 2 % 5));
    case 5:
      return history.pass(object * 40, object * 40);
    case 6:
      if (history.has_connection(BrokerHistory::kPublishers + consumer))
        return history.disconnect(BrokerHistory::kPublishers + consumer);
      return history.connect(BrokerHistory::kPublishers + consumer);
    case 7: {
      const size_t tracker = object % BrokerHistory::kTrackers;
      for (const auto position : history.quarantined(tracker))
        object >= 128 ? history.release(tracker, position) : history.drop(tracker, position);
      return;
    }
    case 8:
      return history.end_life(static_cast<LifeEnd>(object % 3), object >= 128, false);
    default:
      for (int i = 0; i < 4; ++i) {
        history.step();
        for (const Lane lane : {Lane::commit, Lane::read, Lane::background}) history.run_disk(lane);
      }
  }
}

}  // namespace

TEST_CASE("trackers: any row of deeds keeps every event in one place and in the order of its key") {
  CHECK(rc::check([](const std::vector<Deed>& deeds, uint8_t windows) {
    HistoryShape shape;
    shape.segment_bytes = 64 * 1024;
    for (auto& subscription : shape.subscriptions) {
      subscription.window = 1 + windows % 6;
      subscription.first_retry_ms = windows >= 128 ? 0 : 1'000;
    }
    BrokerHistory history(1, shape);
    for (const Deed& deed : deeds) carry_out(history, deed);
    history.heal();
  }));
}
