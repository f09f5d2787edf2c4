#include "daemon/uplink/caller.h"

#include <algorithm>
#include <utility>

namespace sink::uplink {
namespace {

constexpr uint64_t kConnectMs = 10'000;  // for the name lookup and TCP

}  // namespace

Caller::Attempt::Attempt(Caller& caller, broker::DialSpec dial, const protocol::Endpoint& endpoint)
    : caller_(caller),
      dial_(std::move(dial)),
      transport_(caller.loop_, {endpoint, nullptr, {}}, *this),
      deadline_ms_(caller.now_ms() + kConnectMs) {}

void Caller::Attempt::on_open() {
  over_ = true;
  const int socket = transport_.take_socket();
  caller_.wake();
  if (socket < 0) return caller_.ended(dial_.client, "the system has no descriptor left");
  caller_.on_connected(dial_, socket);
}

void Caller::Attempt::on_end(client::Stage stage, std::string reason) {
  if (std::exchange(over_, true)) return;
  caller_.wake();
  caller_.ended(dial_.client, std::string(to_string(stage)) + ": " + reason);
}

void Caller::Attempt::give_up() {
  on_end(transport_.stage(), "no answer within 10 s");
}

void Caller::ended(const std::string& client, const std::string& reason) {
  enter();
  broker_->call_ended(client, reason);
}

// The broker is in its turn when it asks; the stream is opened when that is over.
bool Caller::open_wanted() {
  const auto wanted = std::exchange(wanted_, {});
  for (const broker::DialSpec& dial : wanted) {
    const auto endpoint = protocol::parse_endpoint(dial.address);
    if (!endpoint) {  // unreached: the configuration was checked
      ended(dial.client, endpoint.error());
      continue;
    }
    attempts_.emplace_back(*this, dial, *endpoint).open();
  }
  return !wanted.empty();
}

bool Caller::flush() {
  const bool more = open_wanted();
  for (Attempt& attempt : attempts_)
    if (!attempt.over() && attempt.deadline_ms() <= now_ms()) attempt.give_up();
  std::erase_if(attempts_, [](const Attempt& attempt) { return attempt.over(); });
  return more;
}

std::optional<uint64_t> Caller::deadline_ms() const {
  std::optional<uint64_t> deadline;
  for (const Attempt& attempt : attempts_)
    deadline = std::min(deadline.value_or(UINT64_MAX), attempt.deadline_ms());
  return deadline;
}

}  // namespace sink::uplink
