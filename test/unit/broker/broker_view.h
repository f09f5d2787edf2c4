// What tests see of a broker from outside its doors: its folded state as text, whether it is
// consistent, what the log holds at a position. Shared by the unit tests' world and the simulation.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "daemon/broker/broker.h"

namespace sink::broker::test {

// Which part of the fold is told: `all`, or what must come back the same after an orderly stop. Left
// out there: clients met in a mismatch only, subscriptions that go by themselves once they are
// settled, and trackers that recovery makes for clients which were registered and never welcomed.
enum class FoldPart : uint8_t { all, lasting };

// Equal text, equal state.
std::string fold_text(Broker& broker, FoldPart part);

// What must hold after every step of the engine: conservation (S3), windows, the sums of the
// trackers. Empty where it does.
std::string inconsistency(Broker& broker);

// The event at a committed position, read from the disk here and now, and its source.
std::optional<std::pair<std::string, protocol::Event>> event_at(Broker& broker,
                                                                storage::Disk& disk,
                                                                Position position);

}  // namespace sink::broker::test
