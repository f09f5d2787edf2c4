// Services in FlatBuffers. Private to this folder; control.cc has the doors.
#pragma once

#include <tl/expected.hpp>

#include "protocol/control/services.h"
#include "protocol/control/wire.h"

namespace sink::protocol {

// nullopt: a field is out of its range.
std::optional<Expose> read(const wire::Expose& table);
std::optional<Refresh> read(const wire::Refresh& table);
std::optional<Withdraw> read(const wire::Withdraw& table);
std::optional<Lookup> read(const wire::Lookup& table);
std::optional<ServiceEnded> read(const wire::ServiceEnded& table);
std::optional<Lease> read(const wire::Lease& table);
std::optional<FoundServices> read(const wire::Services& table);

flatbuffers::Offset<wire::Expose> write(Builder& builder, const Expose& expose);
flatbuffers::Offset<wire::Refresh> write(Builder& builder, const Refresh& refresh);
flatbuffers::Offset<wire::Withdraw> write(Builder& builder, const Withdraw& withdraw);
flatbuffers::Offset<wire::Lookup> write(Builder& builder, const Lookup& lookup);
flatbuffers::Offset<wire::ServiceEnded> write(Builder& builder, const ServiceEnded& ended);
flatbuffers::Offset<wire::Lease> write(Builder& builder, const Lease& lease);
flatbuffers::Offset<wire::Services> write(Builder& builder, const FoundServices& found);

}  // namespace sink::protocol
