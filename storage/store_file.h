// The file that makes a directory a store: its id, its server instance id, its format version.
// Written once, at the first start. Layout: docs/formats/event-log.md.
#pragma once

#include <optional>
#include <string>

#include "storage/format.h"

namespace sink::storage {

struct StoreIdentity {
  StoreId id;
  uint32_t server_instance_id = 0;
  uint64_t created_ms = 0;  // Unix time
};

std::string encode_store_file(const StoreIdentity& identity);

enum class StoreFileError : uint8_t { damaged, unsupported_version };
struct StoreFileReading {
  std::optional<StoreIdentity> identity;
  StoreFileError error = StoreFileError::damaged;  // meaningful without identity
};
StoreFileReading decode_store_file(std::string_view bytes);

}  // namespace sink::storage
