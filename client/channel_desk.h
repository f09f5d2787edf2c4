// The durable channels of a connection of either kind, for users who want no more to do with them
// than to send and to listen: stands between the connection and its Listener, keeps what is for
// channels to itself and hands the rest on. Channels does the work (channels.h). Not responsible
// for opening and closing: those are requests like any other (OpenChannel, CloseChannel), answered
// by Listener::on_reply.
//
//   auto desk = std::make_shared<ChannelDesk>(listener, channel_listener, ChannelOptions{});
//   ThreadedConnection connection(options, persistence, *desk);
//   desk->attach(connection);    before start()
//
// Threads: send() and buffered_amount() from where the connection's methods may be called, all else
// from where its callbacks come. On the caller's loop a callback may destroy the connection:
// detach() first. Invariant: a message that send() took is taken by the server, or counted as lost
// when the channel ends or the connection does; each channel that was told ends exactly once.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/channels.h"
#include "client/listener.h"

namespace sink::client {

// Must outlive the desk's connection. Views are valid until the callback returns or publish() is
// called. None may throw.
class ChannelListener {
 public:
  virtual ~ChannelListener() = default;
  // Of every channel there is, once: opened by either end, or left by an earlier run.
  virtual void on_channel(const protocol::ChannelInfo&) {}
  // After each connect to a server of version 1: every channel there is has been told, and those
  // that are not there any more have ended.
  virtual void on_listed() {}
  // False: not now; it comes again, and holds up those behind it.
  virtual bool on_message(const protocol::ChannelInfo&, protocol::Bytes message) = 0;
  virtual void on_buffered_amount_low(const protocol::ChannelInfo&) {}
  // So many wait here; they are tried again.
  virtual void on_queue_overflow(const protocol::ChannelInfo&, size_t /*waiting*/) {}
  // A message that no server takes; those behind it go on.
  virtual void on_error(const protocol::ChannelInfo&, protocol::Bytes /*message*/) {}
  // The last of a channel. No reason: not the channel has ended but the connection, for good.
  virtual void on_close(const protocol::ChannelInfo&, std::optional<protocol::ChannelEndReason>,
                        size_t /*lost*/) {}
};

class ChannelDesk final : public Listener, public std::enable_shared_from_this<ChannelDesk> {
 public:
  ChannelDesk(Listener& rest, ChannelListener& heard, const ChannelOptions& options);

  // A Connection or a ThreadedConnection whose listener this is.
  template <class AnyConnection>
  void attach(AnyConnection& connection) {
    port_ = {[&](const protocol::EventView& event, uint64_t tag) {
               return connection.publish(event, tag);
             },
             [&](DeliveryId id) { return connection.ack(id); },
             [&](DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
               return connection.nack(id, machine, human);
             },
             [&](const protocol::ControlRequest& request, uint64_t tag) {
               if constexpr (kHasThread<AnyConnection>) {
                 return connection.request_now(request, tag);
               } else {
                 return connection.request(request, tag);
               }
             }};
    remind_in_ = [&](uint64_t delay_ms) { connection.remind_in(delay_ms); };
    wake_ = [&] {
      if constexpr (kHasThread<AnyConnection>) {
        connection.remind();
      } else {
        connection.remind_in(0);
      }
    };
  }
  // The connection is about to be destroyed: it is called no more, and nobody is told anything.
  void detach() { detached_ = true; }

  // Closed: there is no such channel, it takes no more, or the connection is over. Full:
  // on_buffered_amount_low tells when to go on.
  ChannelSend send(const protocol::Uuid& id, protocol::Bytes message);
  size_t buffered_amount(const protocol::Uuid& id) const;  // bytes that the server has not taken

  // ---- what the connection tells ----
  void on_state(const StateChange& change) override;
  void on_connected(const Connected& connected) override;
  void on_disconnected(const Disconnection& lost) override { rest_.on_disconnected(lost); }
  void on_refused(const Refusal& refusal) override { rest_.on_refused(refusal); }
  void on_link(const LinkChange& change) override { rest_.on_link(change); }
  void on_contest(const Contest& contest) override { rest_.on_contest(contest); }
  void on_fallback() override { rest_.on_fallback(); }
  void on_answer(const Answer& answer) override;
  void on_dropped(const Dropped& dropped) override;
  void on_kept(const Kept& kept) override { rest_.on_kept(kept); }
  void on_session_not_kept(protocol::Bytes reason) override { rest_.on_session_not_kept(reason); }
  void on_delivery(const Delivery& delivery) override;
  void on_reply(const Reply& reply) override;
  void on_service(const ServiceNotice& notice) override { rest_.on_service(notice); }
  void on_channel_opened(const protocol::ChannelInfo& info) override;
  void on_channel_closed(const protocol::ChannelClosed& closed) override;
  void on_room() override;
  void on_reminded() override;
  void on_closed() override;

 private:
  // What may be called from any thread knows of a channel.
  struct Account {
    size_t messages = 0;  // in the Channel
    size_t bytes = 0;
    size_t handed_messages = 0;  // on their way to it
    size_t handed_bytes = 0;
    size_t lost = 0;  // it took no more when they came
    bool takes = true;
    bool low_wanted = false;  // send() had no room; it is in low_wanted_
  };
  struct Handed {
    protocol::Uuid id{};
    std::string message;
  };
  // Around everything that the connection calls: when the outermost is through, what has come of it
  // is sent.
  class Turn;

  template <class AnyConnection>
  static constexpr bool kHasThread = requires(AnyConnection& connection) { connection.remind(); };

  ChannelPort guarded_port();
  ChannelEvents events_for(Channel& channel);
  void pump();
  void take_handed();
  void tell_low();
  void update(const Channel& channel);
  bool is_low(const protocol::Uuid& id) const;
  size_t settle_account(const protocol::Uuid& id);
  void leave();
  bool silent() const { return detached_ || over_; }

  Listener& rest_;
  ChannelListener& heard_;
  const ChannelOptions options_;
  ChannelPort port_;
  std::function<void(uint64_t delay_ms)> remind_in_;
  std::function<void()> wake_;
  Channels channels_;
  int depth_ = 0;          // of turns
  bool over_ = false;  // the connection has failed, or is closed to the last
  bool detached_ = false;

  mutable std::mutex mutex_;  // guards what follows; never held during a callback
  std::map<protocol::Uuid, Account> accounts_;
  std::deque<Handed> handed_;
  std::vector<protocol::Uuid> low_wanted_;
  bool woken_ = false;
  bool closing_ = false;  // nothing is taken any more
};

}  // namespace sink::client
