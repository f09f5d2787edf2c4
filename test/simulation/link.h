// One simulated connection: two byte streams with delay, bounded like socket buffers, that may be
// cut, stalled, or swallow everything while both ends believe in them. Not responsible for what the
// bytes mean. Invariant: bytes arrive in order or not at all.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "test/simulation/random.h"

namespace sink::simulation {

class Pipe {
 public:
  explicit Pipe(size_t capacity) : capacity_(capacity) {}

  size_t room() const { return bytes_ < capacity_ ? capacity_ - bytes_ : 0; }
  bool empty() const { return bytes_ == 0; }
  // In pieces of any size where `segmented`.
  void put(std::string_view bytes, uint64_t arrives_ms, bool segmented, Random& random);
  // When the next bytes arrive; nullopt: none are under way, or the reader has stopped.
  std::optional<uint64_t> next_ms() const;
  // What has arrived, at most one piece.
  std::string take(uint64_t now_ms);
  // The reader stops reading, or goes on.
  void set_reading(bool reading) { reading_ = reading; }
  bool reading() const { return reading_; }
  void delay(uint64_t until_ms);
  // Everything behind some byte under way is lost; the rest arrives at once.
  void cut(uint64_t now_ms, Random& random);
  void lose_all() { pieces_.clear(), bytes_ = 0; }

 private:
  struct Piece {
    uint64_t arrives_ms = 0;
    std::string bytes;
  };
  size_t capacity_;
  size_t bytes_ = 0;
  bool reading_ = true;
  uint64_t last_ms_ = 0;
  std::deque<Piece> pieces_;
};

struct Link {
  Link(uint64_t its_number, size_t capacity) : number(its_number), up(capacity), down(capacity) {}

  uint64_t number;
  Pipe up;    // peer to gateway
  Pipe down;  // gateway to peer
  bool silent = false;             // half open: swallows everything
  bool broken = false;             // reset: each end learns it once its bytes have arrived
  bool peer_gone = false;          // the peer has closed its end
  bool gateway_gone = false;       // the gateway has closed its end
};

}  // namespace sink::simulation
