// New uuids, which nobody can guess who was told others.
#pragma once

#include "daemon/broker/core.h"

namespace sink::broker {

// Version 4 of RFC 9562 in form. No two of one server are the same.
protocol::Uuid make_uuid(Core& core);

}  // namespace sink::broker
