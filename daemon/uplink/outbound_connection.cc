#include "daemon/uplink/outbound_connection.h"

#include <utility>

#include "daemon/uplink/outbound.h"

namespace sink::uplink {
namespace {

constexpr uint64_t kFinishMs = 1'000;  // for the server to end the connection, too

}  // namespace

OutboundConnection::OutboundConnection(Outbound& outbound, uv_loop_t* loop,
                                       broker::ConnectionId id,
                                       const client::Transport::Target& target)
    : outbound_(outbound), id_(id), transport_(loop, target, *this) {}

void OutboundConnection::on_open() {
  if (state_ != State::dialling) return;
  state_ = State::open;
  outbound_.enter();
  outbound_.broker().dialled(id_);
  outbound_.mark_dirty(*this);
}

void OutboundConnection::on_input(protocol::Bytes bytes) {
  if (state_ != State::open || closing_) return;
  outbound_.enter();
  if (outbound_.broker().on_bytes(id_, bytes) == broker::Broker::Input::pause)
    transport_.pause_input();
}

void OutboundConnection::on_writable() { outbound_.mark_dirty(*this); }

void OutboundConnection::on_end(client::Stage stage, std::string reason) {
  if (state_ == State::dialling) reason = std::string(to_string(stage)) + ": " + reason;
  end(std::move(reason));
}

// The broker hears of it once; the object goes when nobody stands in it any more.
void OutboundConnection::end(std::string reason) {
  const bool told = state_ == State::finishing;
  if (state_ == State::over) return;
  state_ = State::over;
  outbound_.mark_dirty(*this);
  if (told) return;
  outbound_.enter();
  outbound_.broker().dial_failed(id_, std::move(reason));
}

bool OutboundConnection::flush() {
  bool sent = false;
  while (state_ == State::open && transport_.writable()) {
    protocol::OutputBuffer* output = outbound_.broker().output(id_);
    if (output == nullptr || output->empty()) break;
    const size_t bytes = output->unsent().size();
    if (auto written = transport_.write(output->unsent()); !written) {
      end(std::move(written.error()));
      return sent;
    }
    if (state_ != State::open) return sent;
    output->mark_sent(bytes);
    outbound_.broker().on_writable(id_);
    sent = true;
  }
  if (closing_) finish();
  return sent;
}

// What could not be written by now is not waited for: the broker has given the connection up.
void OutboundConnection::finish() {
  if (state_ != State::dialling && state_ != State::open) return;
  const bool was_open = state_ == State::open;
  state_ = was_open ? State::finishing : State::over;
  deadline_ms_ = outbound_.now_ms() + kFinishMs;
  outbound_.broker().disconnected(id_);
  if (was_open) transport_.finish();
}

}  // namespace sink::uplink
