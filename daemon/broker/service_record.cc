#include "daemon/broker/service_record.h"

#include "daemon/broker/record_fields.h"

namespace sink::broker {

std::string encode(const ServiceRecord& record) {
  std::string out;
  append_bytes(out, record.uuid);
  protocol::append_varint(out, record.owner);
  protocol::append_chunk(out, record.name);
  protocol::append_varint(out, record.ttl_ms);
  append_flag(out, record.is_public);
  protocol::append_chunk(out, record.metadata);
  return out;
}

std::optional<ServiceRecord> decode_service(std::string_view bytes) {
  Fields fields(bytes);
  ServiceRecord record;
  fields.bytes(record.uuid);
  fields.number(record.owner);
  fields.text(record.name);
  fields.number(record.ttl_ms);
  fields.flag(record.is_public);
  fields.text(record.metadata);
  return if_complete(fields, std::move(record));
}

ServiceRecord record_of(const Service& service) {
  return {service.uuid,   service.owner,     to_text(service.name),
          service.ttl_ms, service.is_public, service.metadata};
}

std::string encode(const ServiceEndedRecord& record) {
  std::string out;
  append_bytes(out, record.uuid);
  return out;
}

std::optional<ServiceEndedRecord> decode_service_ended(std::string_view bytes) {
  Fields fields(bytes);
  ServiceEndedRecord record;
  fields.bytes(record.uuid);
  return if_complete(fields, std::move(record));
}

}  // namespace sink::broker
