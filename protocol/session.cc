#include "protocol/session.h"

#include <algorithm>

namespace sink::protocol {

tl::expected<std::optional<Message>, Violation> Session::next() {
  for (;;) {
    if (state_ == SessionState::deciding) return std::nullopt;
    const auto frame = splitter_.next();
    if (!frame) return std::nullopt;
    if (state_ == SessionState::closing) continue;
    const auto type = type_of(*frame, version_);
    if (type && admit(role_, state_, *type) == Admission::violation)
      return tl::unexpected(Violation{{}, true, type, state_});
    auto message = decode_frame(*frame, version_);
    if (!message) return tl::unexpected(Violation{message.error(), false, type, state_});
    if (const auto* request = std::get_if<ConnectionRequest>(&*message)) {
      state_ = SessionState::deciding;
      version_ = std::min(request->protocol_version, kProtocolVersion1);
    }
    return std::optional<Message>(*message);
  }
}

}  // namespace sink::protocol
