// Takes a session out of memory for the next run, and puts it back there. Not responsible for its
// text (session_record.h), for its age or its server (session_keeper.h). Invariants: a stored
// session claims no delivery that the application has not answered; a restored one holds an event
// as sent only where the queue holds that very event.
#pragma once

#include <optional>

#include "client/session_memory.h"
#include "client/session_record.h"
#include "client/unfinished_deliveries.h"

namespace sink::client {

// `outbox` is the queue where an outbox keeps all of it for the next run, else null: then what is
// in flight is remembered without its event, and the answers to it will come too late. nullopt: it
// cannot be told exactly, or the server would not keep it; a new session must begin. The server's
// instance id and the time are the caller's to fill in.
[[nodiscard]] std::optional<StoredSession> store_session(SessionMemory& session,
                                                         const PublishQueue* outbox,
                                                         const UnfinishedDeliveries& deliveries);

// `queue` holds what the outbox has kept, and nothing of it is sent. Where it holds other events
// than it did when the session was stored, all of them count as unsent: the server takes each once.
// False, and nothing has changed: the parts of the session contradict each other.
[[nodiscard]] bool restore_session(const StoredSession& stored, SessionMemory& session,
                                   PublishQueue& queue);

}  // namespace sink::client
