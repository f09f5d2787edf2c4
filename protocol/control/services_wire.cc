#include "protocol/control/services_wire.h"

#include "protocol/control/control.h"

namespace sink::protocol {
namespace {

// A request or an answer that holds a uuid and nothing else that could be wrong.
template <class Value, class Table>
std::optional<Value> read_named(const Table& table) {
  Value value;
  if (!read_uuid(table.uuid(), value.uuid)) return std::nullopt;
  return value;
}

// Many rows may point at one long text: all are bounded.
bool read_service(const wire::Service& table, FoundService& out) {
  if (!read_name(table.name(), kServiceNameMax, out.name)) return false;
  if (!read_name(table.owner(), kControlNameMax, out.owner)) return false;
  if (!read_uuid(table.uuid(), out.uuid)) return false;
  if (table.metadata() != nullptr && table.metadata()->size() > kServiceMetadataMax) return false;
  out.metadata = bytes_of(table.metadata());
  out.is_public = table.is_public();
  out.expires_in_ms = table.expires_in_ms();
  return true;
}

flatbuffers::Offset<wire::Service> write(Builder& builder, const FoundService& service) {
  const auto name = builder.CreateString(service.name);
  const auto uuid = vector_of(builder, service.uuid);
  const auto owner = builder.CreateString(service.owner);
  const auto metadata = vector_of(builder, service.metadata);
  return wire::CreateService(builder, name, uuid, owner, metadata, service.is_public,
                             service.expires_in_ms);
}

}  // namespace

const char* to_string(ServiceEndReason reason) {
  switch (reason) {
    case ServiceEndReason::lapsed: return "its lease has lapsed";
    case ServiceEndReason::withdrawn: return "withdrawn by its owner";
    case ServiceEndReason::by_operator: return "withdrawn by an operator";
  }
  return "for a reason unknown to this version";
}

std::optional<Expose> read(const wire::Expose& table) {
  Expose expose;
  if (!read_name(table.name(), kServiceNameMax, expose.name)) return std::nullopt;
  expose.ttl_ms = table.ttl_ms();
  expose.metadata = bytes_of(table.metadata());
  expose.is_public = table.is_public();
  return expose;
}

std::optional<Refresh> read(const wire::Refresh& table) { return read_named<Refresh>(table); }
std::optional<Withdraw> read(const wire::Withdraw& table) { return read_named<Withdraw>(table); }

std::optional<Lookup> read(const wire::Lookup& table) {
  Lookup lookup;
  if (table.uuid() == nullptr) {
    if (!read_name(table.name(), kServiceNameMax, lookup.name)) return std::nullopt;
    return lookup;
  }
  if (table.name() != nullptr || !read_uuid(table.uuid(), lookup.uuid.emplace()))
    return std::nullopt;
  return lookup;
}

std::optional<ServiceEnded> read(const wire::ServiceEnded& table) {
  auto ended = read_named<ServiceEnded>(table);
  if (!ended || !read_name(table.name(), kServiceNameMax, ended->name)) return std::nullopt;
  ended->reason = static_cast<ServiceEndReason>(table.reason());
  return ended;
}

std::optional<Lease> read(const wire::Lease& table) {
  auto lease = read_named<Lease>(table);
  if (lease) lease->ttl_ms = table.ttl_ms();
  return lease;
}

std::optional<FoundServices> read(const wire::Services& table) {
  FoundServices found;
  found.left_out = table.left_out();
  if (table.services() == nullptr) return found;
  if (table.services()->size() > kServicesFoundMax) return std::nullopt;
  for (const wire::Service* service : *table.services())
    if (!read_service(*service, found.services.emplace_back())) return std::nullopt;
  return found;
}

flatbuffers::Offset<wire::Expose> write(Builder& builder, const Expose& expose) {
  const auto name = builder.CreateString(expose.name);
  const auto metadata = vector_of(builder, expose.metadata);
  return wire::CreateExpose(builder, name, expose.ttl_ms, metadata, expose.is_public);
}

flatbuffers::Offset<wire::Refresh> write(Builder& builder, const Refresh& refresh) {
  return wire::CreateRefresh(builder, vector_of(builder, refresh.uuid));
}

flatbuffers::Offset<wire::Withdraw> write(Builder& builder, const Withdraw& withdraw) {
  return wire::CreateWithdraw(builder, vector_of(builder, withdraw.uuid));
}

flatbuffers::Offset<wire::Lookup> write(Builder& builder, const Lookup& lookup) {
  if (lookup.uuid) return wire::CreateLookup(builder, 0, vector_of(builder, *lookup.uuid));
  return wire::CreateLookup(builder, builder.CreateString(lookup.name));
}

flatbuffers::Offset<wire::ServiceEnded> write(Builder& builder, const ServiceEnded& ended) {
  const auto uuid = vector_of(builder, ended.uuid);
  const auto name = builder.CreateString(ended.name);
  return wire::CreateServiceEnded(builder, uuid, name,
                                  static_cast<wire::ServiceEndReason>(ended.reason));
}

flatbuffers::Offset<wire::Lease> write(Builder& builder, const Lease& lease) {
  return wire::CreateLease(builder, vector_of(builder, lease.uuid), lease.ttl_ms);
}

flatbuffers::Offset<wire::Services> write(Builder& builder, const FoundServices& found) {
  std::vector<flatbuffers::Offset<wire::Service>> services;
  for (const FoundService& service : found.services) services.push_back(write(builder, service));
  return wire::CreateServices(builder, builder.CreateVector(services), found.left_out);
}

}  // namespace sink::protocol
