// What a server's refusal means, in words for people. Not responsible for what is done about it.
#pragma once

#include <string>

#include "client/link.h"
#include "protocol/frame.h"

namespace sink::client {

// Why the server refuses, and what to do: for refusals that bring no words of their own.
protocol::Bytes explain(protocol::ResponseCode code);

// A refusal on one line: its name, and the server's words or ours.
std::string summary(const LinkRefused& refusal);

}  // namespace sink::client
