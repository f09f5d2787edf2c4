// The folded state of a broker as text: equal text, equal state. For comparing a broker with its own
// recovery.
#pragma once

#include <string>

#include "daemon/broker/broker.h"

namespace sink::simulation {

std::string fold_text(broker::Broker& broker);

// What must hold after every step of the engine: conservation (S3), windows, the sums of the
// trackers. Empty where it does.
std::string inconsistency(broker::Broker& broker);

}  // namespace sink::simulation
