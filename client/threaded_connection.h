// A Connection on a loop and a thread of its own, for users that have no libuv loop. Owns both.
// Not responsible for what a Connection does (sink_client.h); every rule of it holds, and:
//
// - any thread may call any method; callbacks come on the thread of the connection, one at a time;
// - publish() hands the event over to that thread. What waits for it is bounded as the queue is, by
//   queue_events and queue_bytes once more; an event's age counts from when the thread takes it;
// - the destructor must not run on the thread of the connection.
//
// Invariant: an event that publish() took is reported once, by on_answer or by on_dropped, unless
// the destructor comes first.
#pragma once

#include <uv.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "client/sink_client.h"

namespace sink::client {

class ThreadedConnection final : private Listener {
 public:
  // Nothing happens before start(). `listener` must outlive the connection.
  ThreadedConnection(Options options, std::shared_ptr<Persistence> persistence, Listener& listener);
  // Ends at once, without further callbacks, and waits for the thread.
  ~ThreadedConnection() override;
  ThreadedConnection(const ThreadedConnection&) = delete;
  ThreadedConnection& operator=(const ThreadedConnection&) = delete;

  // Begins the thread. The error is the system's: no descriptor or no thread is left.
  [[nodiscard]] tl::expected<void, std::string> start();

  [[nodiscard]] PublishResult publish(const protocol::EventView& event, uint64_t tag);
  // False only once the connection has failed or is closed: whether the delivery still awaits its
  // answer is seen on the thread.
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);
  // As Connection::request(), but on_reply comes without an outcome also where the request was
  // taken and could not be asked: not connected, or in version 0. False: failed or closed, or
  // kRequestsMax are on their way to the thread.
  [[nodiscard]] bool request(protocol::ControlRequest request, uint64_t tag);
  // As Connection's, but whether it is taken or known is seen on the thread, which says nothing of
  // it. False: failed or closed, or too many are on their way to the thread.
  bool expose(protocol::Expose offer);
  bool withdraw(std::string name);
  // Listener::on_reminded() comes, on the thread; once for several calls that come before it.
  void remind();
  // As Connection's; only from callbacks.
  void remind_in(uint64_t delay_ms) { connection_->remind_in(delay_ms); }
  [[nodiscard]] bool request_now(const protocol::ControlRequest& request, uint64_t tag) {
    return connection_->request(request, tag);
  }
  // As Connection's; only from callbacks.
  std::vector<LinkStatus> links() const { return connection_->links(); }
  // What was published before is handed to the connection first.
  void close();

  ConnectionState state() const { return state_; }
  size_t unanswered() const;  // taken and not reported yet
  Counters counters() const;

 private:
  struct Handed {  // an event on its way to the thread
    uint64_t tag = 0;
    std::string payload;
  };
  struct HandedAnswer {
    DeliveryId id;
    std::optional<std::string> machine;  // nullopt: ACK
    std::string human;
  };

  struct HandedService {
    std::optional<protocol::Expose> offer;  // nullopt: withdraw
    std::string name;
  };
  struct HandedRequest {
    protocol::ControlRequest request;
    uint64_t tag = 0;
  };

  void on_state(const StateChange& change) override;
  void on_connected(const Connected& connected) override { listener_.on_connected(connected); }
  void on_disconnected(const Disconnection& lost) override { listener_.on_disconnected(lost); }
  void on_refused(const Refusal& refusal) override { listener_.on_refused(refusal); }
  void on_contest(const Contest& contest) override { listener_.on_contest(contest); }
  void on_fallback() override { listener_.on_fallback(); }
  void on_answer(const Answer& answer) override;
  void on_delivery(const Delivery& delivery) override;
  void on_dropped(const Dropped& dropped) override;
  void on_kept(const Kept& kept) override { listener_.on_kept(kept); }
  void on_session_not_kept(protocol::Bytes reason) override {
    listener_.on_session_not_kept(reason);
  }
  void on_link(const LinkChange& change) override;
  void on_reply(const Reply& reply) override { listener_.on_reply(reply); }
  void on_service(const ServiceNotice& notice) override { listener_.on_service(notice); }
  void on_channel_opened(const protocol::ChannelInfo& channel) override {
    listener_.on_channel_opened(channel);
  }
  void on_channel_closed(const protocol::ChannelClosed& closed) override {
    listener_.on_channel_closed(closed);
  }
  void on_room() override { uv_async_send(&wake_); }
  void on_reminded() override { listener_.on_reminded(); }
  void on_closed() override;

  void run();
  void wake();  // with mutex_ held
  void take_over();
  void take_over_answers();
  void take_over_requests();
  void take_over_services();
  void take_over_events();
  void drop_handed();
  void reported(size_t events);
  bool ended() const {
    return state_ == ConnectionState::failed || state_ == ConnectionState::closed;
  }

  Listener& listener_;
  const size_t events_max_;
  const size_t bytes_max_;
  uv_loop_t loop_{};
  uv_async_t wake_{};
  std::string failure_;  // why there is no loop
  std::thread thread_;
  std::unique_ptr<Connection> connection_;  // touched by the thread only, once it runs
  std::atomic<ConnectionState> state_ = ConnectionState::disconnected;

  mutable std::mutex mutex_;  // guards what follows; never held during a callback
  std::deque<Handed> events_;
  size_t bytes_ = 0;  // of events_
  std::vector<HandedAnswer> answers_;
  std::vector<HandedRequest> requests_;
  std::vector<HandedService> services_;
  Counters counters_;
  size_t unreported_ = 0;
  bool room_wanted_ = false;
  bool reminder_wanted_ = false;
  bool close_wanted_ = false;
  bool end_wanted_ = false;  // by the destructor
  bool deaf_ = false;        // wake_ is closed
};

}  // namespace sink::client
