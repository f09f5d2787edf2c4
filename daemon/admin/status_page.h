// The page at /: one self-contained HTML document, no script and nothing from elsewhere. Not
// responsible for HTTP. Invariant: every text that is not ours is escaped.
#pragma once

#include <string>

#include "daemon/admin/host.h"
#include "daemon/broker/broker.h"

namespace sink::admin_server {

std::string status_page(broker::Broker& broker, Host& host);

}  // namespace sink::admin_server
