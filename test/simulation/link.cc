#include "test/simulation/link.h"

#include <algorithm>

namespace sink::simulation {
namespace {

constexpr int kPiecesMax = 6;

}  // namespace

void Pipe::put(std::string_view bytes, uint64_t arrives_ms, bool segmented, Random& random) {
  last_ms_ = std::max(last_ms_, arrives_ms);
  bytes_ += bytes.size();
  for (int pieces = 1; segmented && pieces < kPiecesMax && bytes.size() > 1; ++pieces) {
    const bool tiny = random.chance(500);
    const size_t size = tiny ? 1 : 1 + random.below(bytes.size() - 1);
    pieces_.push_back({last_ms_, std::string(bytes.substr(0, size))});
    bytes.remove_prefix(size);
    last_ms_ += random.below(3);
  }
  if (!bytes.empty()) pieces_.push_back({last_ms_, std::string(bytes)});
}

std::optional<uint64_t> Pipe::next_ms() const {
  if (pieces_.empty() || !reading_) return std::nullopt;
  return pieces_.front().arrives_ms;
}

std::string Pipe::take(uint64_t now_ms) {
  if (pieces_.empty() || !reading_ || pieces_.front().arrives_ms > now_ms) return {};
  std::string bytes = std::move(pieces_.front().bytes);
  pieces_.pop_front();
  bytes_ -= bytes.size();
  return bytes;
}

void Pipe::delay(uint64_t until_ms) {
  for (Piece& piece : pieces_) piece.arrives_ms = std::max(piece.arrives_ms, until_ms);
  last_ms_ = std::max(last_ms_, until_ms);
}

void Pipe::cut(uint64_t now_ms, Random& random) {
  size_t keep = random.below(bytes_ + 1);
  bytes_ = keep;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    Piece& piece = pieces_[i];
    piece.arrives_ms = std::min(piece.arrives_ms, now_ms);
    if (keep >= piece.bytes.size()) {
      keep -= piece.bytes.size();
      continue;
    }
    piece.bytes.resize(keep);
    pieces_.resize(i + (keep > 0 ? 1 : 0));
    return;
  }
}

}  // namespace sink::simulation
