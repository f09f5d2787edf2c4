// One end of a durable channel: numbers its messages, keeps those that the server has not taken,
// sends them in their order within a window, and again from the first one that was refused; takes
// the other end's, each once and in their order. Not responsible for connections (channels.h).
// Sans-I/O: the time comes as an argument. Invariants: a message that send() took is sent until the
// server has taken it, or is counted as lost when the channel is over; behind a message that was
// refused none is taken before it has come again.
//
//   sending --refused for want of room, or dropped--> resting, until all answers are there and the
//   wait is over--> sending, from the first that was not taken
//   any --no such channel--> closing: nothing more is sent, what comes is taken --closed--> over
//   closing --listed as open: the server's crash has undone it--> resting
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

  // Whether a message of `more` bytes may join so many; one is always taken.
  bool has_room(size_t messages, size_t bytes, size_t more) const {
    return messages == 0 || (messages < queue_messages && bytes + more <= queue_bytes);
  }
};

// What is wrong with the options: the one to change, and to what. nullopt: nothing is.
[[nodiscard]] std::optional<std::string> problem_with(const ChannelOptions& options);

// Messages that were refused and come again. A server sends none behind the first refused one
// before that is settled; those behind it were on their way already, and are refused, too.
struct RefusedMessages {
  uint64_t first = 0;  // 0: none
  uint64_t last = 0;
  void add(uint64_t offset);
  bool hold_up(uint64_t offset) const { return first != 0 && offset > last; }
};

// What an application hears of a channel; each may be empty. None may end the channel's object.
struct ChannelEvents {
  // False: not now; it comes again, and holds up those behind it. Valid until it returns.
  std::function<bool(protocol::Bytes message)> on_message;
  // No more than low_bytes wait, after more had waited or send() had no room. With low_bytes 0:
  // nothing waits.
  std::function<void()> on_buffered_amount_low;
  // Messages wait here: the server has no room until the other end has taken some, or the
  // connection has given them up. They are tried again.
  std::function<void()> on_queue_overflow;
  // A message that no server takes; those behind it go on.
  std::function<void(protocol::Bytes message)> on_error;
  // With so many messages that were not taken. The last call.
  std::function<void(protocol::ChannelEndReason reason, size_t lost)> on_close;
};

enum class ChannelSend : uint8_t { queued, queue_full, too_large, closed };

// Whether a frame holds it.
bool message_fits(protocol::Bytes message);

class Channel {
 public:
  Channel(const protocol::ChannelInfo& info, const ChannelOptions& options);
  void set_events(ChannelEvents events) { events_ = std::move(events); }

  const protocol::ChannelInfo& info() const { return info_; }
  ChannelSend send(protocol::Bytes message);
  size_t buffered_amount() const { return bytes_; }  // bytes that the server has not taken
  size_t waiting() const { return messages_.size(); }  // the same, in messages
  bool takes() const { return !over_ && !closing_; }   // messages to send
  // on_buffered_amount_low is called when something has been taken, at once where nothing waits.
  void want_low();
  bool over() const { return over_; }

  // ---- for whoever has the connection ----
  // `publish` answers false where it takes no more just now.
  void run(uint64_t now_ms, const std::function<bool(const protocol::EventView&)>& publish);
  std::optional<uint64_t> deadline_ms() const;
  // The answer to a message, or that it was given up unanswered (acked false, machine empty).
  void on_answer(uint64_t offset, bool acked, protocol::Bytes machine, uint64_t now_ms);
  // True: ACK it.
  bool on_message(const protocol::EventView& event);
  // Those that came when nobody knew the channel.
  void on_refused_before(const RefusedMessages& refused) { refused_ = refused; }
  // A new listing of the server's: how far it has taken.
  void on_listed(const protocol::ChannelInfo& info);
  // What the server has to be told: it lists less than it has acknowledged. nullopt: nothing.
  std::optional<protocol::AdvanceChannel> lost_by_server() const;
  void on_advanced() { lost_by_server_ = false; }
  void on_closed(protocol::ChannelEndReason reason);

 private:
  void taken_up_to(uint64_t offset);
  void pop_front();
  bool is_low() const;
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
  RefusedMessages refused_;
  bool was_high_ = false;  // or a message was not taken: on_buffered_amount_low is due
  bool lost_by_server_ = false;  // something of what it had taken
  bool closing_ = false;  // no message is taken any more
  bool over_ = false;
};

}  // namespace sink::client
