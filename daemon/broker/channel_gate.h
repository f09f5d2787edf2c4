// Whether a message that a client publishes into a channel may be taken. Not responsible for
// opening and closing channels (Channels) nor for taking events (Intake). Invariant: what is taken
// of an end has no gap in its offsets but where Channels::advance() has told of one, so whatever
// was refused must come again first; and no more waits for the other end than the limits allow.
#pragma once

#include <tl/expected.hpp>

#include "daemon/broker/core.h"
#include "daemon/broker/intake.h"
#include "protocol/event.h"

namespace sink::broker {

// Fresh, or a duplicate of one that was taken; else why not.
tl::expected<OffsetVerdict, Refusal> judge_channel_message(const Core& core, const Client& source,
                                                           const protocol::EventView& event);

// Messages that wait for the other end.
uint64_t waiting_in(const Core& core, const ChannelDirection& direction);

}  // namespace sink::broker
