// Names of services, "com.example.chat@1.0.0", and which offered version serves one who asks for
// another. Not responsible for who may use a name (ClientPolicy). Invariant: what parse answers is
// printed as it was written. Pure.
//
//   full name   LABEL.LABEL[.LABEL...]@MAJOR.MINOR.PATCH
//   asked for   the same, with the version or its end left out: name, name@1, name@1.2
//   LABEL       1 to 63 lower case letters, digits and '-'
//   MAJOR ...   0, or up to 9 digits of which the first is not 0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sink::protocol {

inline constexpr size_t kServiceNameMax = 255;  // with its version

struct ServiceVersion {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t patch = 0;
  auto operator<=>(const ServiceVersion&) const = default;
};

struct ServiceName {
  std::string name;  // without its version
  ServiceVersion version;
  auto operator<=>(const ServiceName&) const = default;
};

// What somebody looks for; a part of the version that is absent may be anything.
struct AskedService {
  std::string name;
  std::optional<uint32_t> major, minor, patch;
  bool operator==(const AskedService&) const = default;
};

// nullopt: not such a name.
std::optional<ServiceName> parse_service_name(std::string_view text);
std::optional<AskedService> parse_asked_service(std::string_view text);
std::string to_text(const ServiceName& name);

// Whether `offered` serves who asks: of the same major version and not older; with major version 0,
// where every minor one may break, of the same minor version, too.
bool is_compatible(const AskedService& asked, const ServiceVersion& offered);

}  // namespace sink::protocol
