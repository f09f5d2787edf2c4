// What the HTTP port shows: /metrics, /healthz, /readyz and the status page at /. Not responsible
// for HTTP. Invariant: reading a page changes nothing.
#pragma once

#include <string_view>

#include "daemon/admin/host.h"
#include "daemon/admin/http_server.h"
#include "daemon/broker/broker.h"

namespace sink::admin_server {

// The answer to one path; 404 for any other than the four.
HttpResponse answer_page(broker::Broker& broker, Host& host, std::string_view path);

// 200 "ok", or 503 with the reason: the loop or the commit path makes no progress, or the store has
// failed. Whoever restarts processes asks this.
HttpResponse health_page(broker::Broker& broker, Host& host);

// 200 "ready", or 503 with the reasons: not recovered, not listening, draining, store full or
// failed. Whoever routes traffic asks this.
HttpResponse readiness_page(broker::Broker& broker, Host& host);

}  // namespace sink::admin_server
