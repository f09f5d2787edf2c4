// One end of a durable channel: numbers its messages, keeps those that the server has not taken,
// sends them in their order within a window, and again from the first one that was refused; takes
// the other end's, each once. Not responsible for connections (channels.h). Sans-I/O: the time
// comes as an argument. Invariant: a message that send() took is sent until the server has taken
// it, or is counted as lost when the channel is over.
//
//   sending --refused for want of room, or dropped--> resting, until all answers are there and the
//   wait is over--> sending, from the first that was not taken
//   any --no such channel--> closing: nothing more is sent, what comes is taken --closed--> over
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "client/listener.h"
#include "protocol/control/channels.h"
#include "protocol/event.h"

namespace sink::client {

// Machine messages of a server's NACKs that a channel acts on. Sent over the wire.
inline constexpr char kRefusedTooLarge = 4;
inline constexpr char kRefusedNoSuchChannel = 5;

struct ChannelOptions {
  size_t queue_messages = 1'000;         // that the server has not taken
  size_t queue_bytes = 4 * 1024 * 1024;  // the same; one message is always taken
  size_t low_bytes = 256 * 1024;         // on_buffered_amount_low when no more than this waits
  uint32_t window = 64;                  // messages without an answer
  uint64_t retry_ms = 1'000;             // after a refusal
};

// What an application hears of a channel; each may be empty. None may end the channel's object.
struct ChannelEvents {
  // False: not now; it comes again, and holds up those behind it. Valid until it returns.
  std::function<bool(protocol::Bytes message)> on_message;
  // send() took less than low_bytes again, after more had waited.
  std::function<void()> on_buffered_amount_low;
  // The server has no room for more until the other end has taken some: messages wait here.
  std::function<void()> on_queue_overflow;
  // A message that no server takes; those behind it go on.
  std::function<void(protocol::Bytes message)> on_error;
  // With so many messages that were not taken. The last call.
  std::function<void(protocol::ChannelEndReason reason, size_t lost)> on_close;
};

enum class ChannelSend : uint8_t { queued, queue_full, too_large, closed };

class Channel {
 public:
  Channel(const protocol::ChannelInfo& info, const ChannelOptions& options);
  void set_events(ChannelEvents events) { events_ = std::move(events); }

  const protocol::ChannelInfo& info() const { return info_; }
  ChannelSend send(protocol::Bytes message);
  size_t buffered_amount() const { return bytes_; }  // bytes that the server has not taken
  bool over() const { return over_; }

  // ---- for whoever has the connection ----
  // `publish` answers false where it takes no more just now.
  void run(uint64_t now_ms, const std::function<bool(const protocol::EventView&)>& publish);
  std::optional<uint64_t> deadline_ms() const;
  // The answer to a message, or that it was given up unanswered (acked false, machine empty).
  void on_answer(uint64_t offset, bool acked, protocol::Bytes machine, uint64_t now_ms);
  // True: ACK it.
  bool on_message(const protocol::EventView& event);
  // A new listing of the server's: how far it has taken.
  void on_listed(const protocol::ChannelInfo& info);
  void on_closed(protocol::ChannelEndReason reason);

 private:
  void taken_up_to(uint64_t offset);
  void pop_front();
  void tell_low();

  protocol::ChannelInfo info_;
  ChannelOptions options_;
  ChannelEvents events_;
  std::string key_;
  std::deque<std::string> messages_;  // not taken; the first has the offset taken_ + 1
  size_t bytes_ = 0;                  // of them
  uint64_t taken_ = 0;                // by the server
  size_t sent_ = 0;                   // at the front of messages_, since the last rewind
  size_t unanswered_ = 0;             // publishes without an answer
  bool resting_ = false;
  uint64_t resume_ms_ = 0;
  uint64_t received_ = 0;  // the other end's last offset; 0: none yet
  bool was_high_ = false;
  bool closing_ = false;  // no message is taken any more
  bool over_ = false;
};

}  // namespace sink::client
