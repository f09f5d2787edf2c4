#include "tools/sinkctl/device_session.h"

#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

std::string seconds(uint64_t ms) {
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

}  // namespace

std::string describe(const client::Refusal& refusal) {
  std::string text = std::string("refused: ") + protocol::to_string(refusal.code);
  if (!refusal.machine.empty()) text += ", machine message 0x" + to_hex(refusal.machine);
  if (!refusal.human.empty()) text += ": " + std::string(refusal.human);
  return text;
}

DeviceSession::DeviceSession(Context& context, DeviceSetup setup, Patience patience)
    : context_(context),
      server_(protocol::to_string(setup.client.server)),
      patience_(patience),
      patience_over_(loop_, [this] { give_up(); }) {
  setup.client.connect_timeout_ms = context.options.timeout_ms;
  connection_ = std::make_unique<client::Connection>(loop_.native(), std::move(setup.client),
                                                     std::move(setup.persistence), *this);
}

ExitStatus DeviceSession::run() {
  loop_.on_signal([this] {
    if (std::exchange(interrupted_, true)) {
      finished_ = true;
      connection_.reset();
      return loop_.stop();
    }
    on_interrupted();
  });
  connection_->start();
  loop_.run();
  connection_.reset();
  return status_;
}

void DeviceSession::finish(ExitStatus status) {
  if (std::exchange(finished_, true)) return;
  status_ = status;
  patience_over_.stop();
  connection_->close();
}

void DeviceSession::finish(const Problem& problem) {
  if (!finished_) finish(report(context_, problem));
}

void DeviceSession::on_connected(const client::Connected& connected) {
  patience_over_.stop();
  waiting_ = false;
  const std::string how = *connected.tls_version != '\0' ? connected.tls_version : "plaintext";
  say(context_,
      "connected to " + server_ + " (" + how + (connected.new_client ? ", new client)" : ")"));
  if (!std::exchange(was_connected_, true)) on_ready();
  on_connection();
}

void DeviceSession::on_disconnected(const client::Disconnection& lost) {
  on_disconnection();
  if (finished_) return;
  last_reason_ = lost.reason;
  if (lost.stage == client::Stage::identity) return finish({ExitStatus::invalid, lost.reason, ""});
  const auto patience = was_connected_ ? patience_.later_ms : patience_.first_ms;
  if (patience == 0u) return give_up();
  if (patience && !std::exchange(waiting_, true)) patience_over_.start(*patience, 0);
  say(context_, server_ + ": " + lost.reason + "; trying again in " + seconds(lost.retry_in_ms));
}

void DeviceSession::on_refused(const client::Refusal& refusal) {
  if (!finished_) finish({ExitStatus::unavailable, server_ + " " + describe(refusal), ""});
}

void DeviceSession::give_up() {
  finish({ExitStatus::unavailable, "no connection to " + server_ + ": " + last_reason_,
          was_connected_ ? "" : "is sinkd running there? To keep trying, give --wait 30s"});
}

}  // namespace sink::tools
