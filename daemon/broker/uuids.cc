#include "daemon/broker/uuids.h"

namespace sink::broker {
namespace {

constexpr uint64_t kSalt = 0x7365727669636573;

}  // namespace

// Drawn from a draw of the wall clock, so that no other number that clients are told comes from the
// same salt, in this life of the server or in another.
protocol::Uuid make_uuid(Core& core) {
  protocol::Uuid uuid{};
  do {
    const uint64_t salt = core.secret(core.now.wall_ms ^ kSalt) + 2 * core.uuids_made++;
    for (size_t i = 0; i < uuid.size(); i += 8) {
      const uint64_t bits = core.secret(salt + i / 8);
      for (size_t byte = 0; byte < 8; ++byte)
        uuid[i + byte] = static_cast<uint8_t>(bits >> (8 * byte));
    }
    uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);
    uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  } while (core.state.services.find(uuid) != nullptr ||
           core.state.channels.find(uuid) != nullptr);
  return uuid;
}

}  // namespace sink::broker
