#include "client/candidate.h"

#include <utility>
#include <variant>

namespace sink::client {

Candidate::Candidate(uv_loop_t* loop, size_t server, Identity identity, const LinkOptions& link,
                     std::unique_ptr<Transport> transport, Owner& owner)
    : loop_(loop),
      server_(server),
      link_options_(link),
      owner_(owner),
      durable_{std::move(identity), PublishQueue({}), {}, {}, {}},
      transport_(std::move(transport)),
      called_(true) {
  transport_->hand_over(*this);
}

Candidate::Candidate(uv_loop_t* loop, size_t server, Identity identity, const LinkOptions& link,
                     const Transport::Target& target, Owner& owner)
    : loop_(loop),
      server_(server),
      link_options_(link),
      owner_(owner),
      durable_{std::move(identity), PublishQueue({}), {}, {}, {}},
      transport_(std::make_unique<Transport>(loop, target, *this)) {}

void Candidate::begin() {
  if (called_) return on_open();
  transport_->open();
}

void Candidate::on_open() {
  link_options_.protocol_version = owner_.candidate_version(server_);
  link_ = std::make_unique<Link>(durable_, link_options_, uv_now(loop_));
  flush();
}

void Candidate::on_input(protocol::Bytes bytes) {
  if (over_ || !link_) return;
  owner_.on_candidate_heard(server_);
  link_->lend(bytes, uv_now(loop_));
  read_on();
}

void Candidate::saved() {
  if (over_ || !link_) return;
  link_->identity_saved();
  read_on();
}

void Candidate::cancel() {
  over_ = true;
  transport_.reset();
}

// What comes behind the handshake stays in the link, for whoever wins.
void Candidate::read_on() {
  while (!over_ && !done_) {
    const auto event = link_->next();
    if (!event) break;
    dispatch(*event);
  }
  link_->settle();
  flush();
  if (over_) return;
  if (done_ || !link_->wants_input()) transport_->pause_input();
  if (!done_) return;
  over_ = true;
  owner_.on_candidate_ready(*done_);
}

void Candidate::dispatch(const LinkEvent& event) {
  if (const auto* hello = std::get_if<HelloNewClient>(&event)) {
    owner_.save_candidate(server_, hello->server_instance_id);
  } else if (const auto* done = std::get_if<HandshakeDone>(&event)) {
    done_ = *done;
  } else if (const auto* refusal = std::get_if<LinkRefused>(&event)) {
    over_ = true;
    owner_.on_candidate_refused(server_, *refusal);
  } else {
    on_end(Stage::handshaking, {});  // a violation
  }
}

void Candidate::flush() {
  while (!over_ && link_ && transport_->writable() && !link_->output().empty()) {
    const auto bytes = link_->output().unsent();
    if (!transport_->write(bytes)) return on_end(Stage::handshaking, {});
    link_->mark_sent(bytes.size(), uv_now(loop_));
  }
}

// The client is with another server, and needs not know why.
void Candidate::on_end(Stage, std::string) {
  if (!std::exchange(over_, true)) owner_.on_candidate_lost();
}

}  // namespace sink::client
