// Keeps published events until their fate is reported, over a loss of power. The interface only:
// outbox/log_outbox.h keeps them in the project's log. Invariant: whatever write() has reported as
// done is what load() answers after a crash at any later moment.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace sink::client {

// Events have numbers: 1, 2, ... for those that load() answers, and on from there for those that
// are published afterwards.
struct KeptEvent {
  uint64_t number = 0;
  uint64_t tag = 0;
  std::string payload;  // the encoded event
};

struct OutboxBatch {
  std::vector<KeptEvent> added;   // ascending
  std::vector<uint64_t> settled;  // numbers that need not be kept any more
  bool empty() const { return added.empty() && settled.empty(); }
};

struct OutboxError {
  std::string message;  // one sentence: what was wrong, where, what to do
  bool passes = false;  // the same batch may be written later: the disk is full
};

// A Connection calls these on a thread of libuv's pool, never two at once.
class Outbox {
 public:
  virtual ~Outbox() = default;
  // What is kept, oldest first. Called before write(), again only after an error.
  [[nodiscard]] virtual tl::expected<std::vector<KeptEvent>, OutboxError> load() = 0;
  // Returns once all of the batch would survive a power cut. After an error that does not pass
  // nothing more can be written.
  [[nodiscard]] virtual tl::expected<void, OutboxError> write(const OutboxBatch& batch) = 0;
};

}  // namespace sink::client
