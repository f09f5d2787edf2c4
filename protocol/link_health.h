// Whether a link of a pool still answers, and how fast: when to ask (PING), when it is taken for
// dead. Not responsible for sending or closing. Invariant: it is never dead before a question has
// been left unanswered, and nothing else been heard, for kGraceUs and the worst answer of the last
// five minutes, over however many connections. Where one has ended without any answer the next has
// twice the time for its first: a slow way would be cut for ever in the middle of one long event.
// Times are microseconds of the monotonic clock.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace sink::protocol {

class LinkHealth {
 public:
  static constexpr uint64_t kGraceUs = 1'000'000;
  static constexpr uint64_t kMemoryUs = 300'000'000;
  static constexpr uint64_t kAskUs = 5'000'000;         // at the least so often
  static constexpr uint64_t kQuietUs = 500'000;         // and so soon where an answer is awaited
  static constexpr uint64_t kUnmeasuredUs = 2'000'000;  // at least for the first of a connection,
  static constexpr uint64_t kUnmeasuredUsMax = 64'000'000;  // at most
  enum class Action : uint8_t { none, ask, dead };

  explicit LinkHealth(uint64_t now_us) : heard_us_(now_us), asked_us_(now_us - kAskUs) {}

  // Of the link's next connection; nullopt: it had none.
  static LinkHealth after(const std::optional<LinkHealth>& before, uint64_t now_us);

  void on_heard(uint64_t now_us) { heard_us_ = now_us; }
  void on_asked(uint64_t now_us) {
    asked_us_ = now_us;
    awaits_ = true;
  }
  void on_answered(uint64_t now_us);

  // `sent`: something is under way that the other side has to answer.
  Action due(uint64_t now_us, bool sent) const {
    if (now_us < deadline_us(sent)) return Action::none;
    return awaits_ ? Action::dead : Action::ask;
  }
  // When due() answers something else than none.
  uint64_t deadline_us(bool sent) const;

  // From a question to its answer; 0: none was answered in the last five minutes.
  uint64_t median_us() const;
  uint64_t worst_us() const;

 private:
  struct Answer {
    uint64_t at_us = 0;
    uint64_t took_us = 0;
  };

  void forget_old(uint64_t now_us);

  uint64_t heard_us_;
  uint64_t asked_us_;
  bool awaits_ = false;  // the answer to the last question
  bool answered_ = false;  // a question of this connection
  uint64_t first_us_ = kUnmeasuredUs;  // that long at least for the first answer of a connection
  std::deque<Answer> answers_;  // of the last five minutes, oldest first; two a second at most
};

}  // namespace sink::protocol
