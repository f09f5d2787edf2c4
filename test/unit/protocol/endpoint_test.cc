// Addresses of servers, as people write them.
#include <doctest/doctest.h>

#include "protocol/endpoint.h"

namespace sink::protocol {

TEST_CASE("endpoint: names, numeric addresses and unix sockets, written as they were read") {
  CHECK(parse_endpoint("gateway.example:2020")->host == "gateway.example");
  CHECK(parse_endpoint("gateway.example:2020")->port == "2020");
  CHECK(parse_endpoint("[::1]:2020")->host == "::1");
  CHECK(parse_endpoint("unix:/run/sinkd/local.sock")->path == "/run/sinkd/local.sock");
  CHECK(parse_endpoint("unix:" + std::string(107, 'x'))->is_unix());
  for (const char* text : {"gateway.example:2020", "10.0.0.1:1", "[::1]:65535", "unix:/run/a"})
    CHECK(to_string(*parse_endpoint(text)) == text);
}

TEST_CASE("endpoint: what is wrong is said in a sentence, with what to write instead") {
  const std::pair<std::string, const char*> wrong[] = {
      {"", "the port is missing"},
      {"host", "the port is missing"},
      {"host:", "not a number from 1 to 65535"},
      {"host:0", "not a number from 1 to 65535"},
      {"host:65536", "not a number from 1 to 65535"},
      {"host:20x", "not a number from 1 to 65535"},
      {":2020", "the host is missing"},
      {"[]:2020", "the host is missing"},
      {"::1:2020", "stands in brackets"},
      {"[::1:2020", "stands in brackets"},
      {"unix:", "the path is missing"},
      {"unix:" + std::string(108, 'x'), "over 107 bytes"},
  };
  for (const auto& row : wrong) {
    CAPTURE(row.first);
    const auto endpoint = parse_endpoint(row.first);
    REQUIRE_FALSE(endpoint);
    CHECK(endpoint.error().find(row.second) != std::string::npos);
    CHECK(endpoint.error().find("write HOST:PORT") != std::string::npos);
  }
}

}  // namespace sink::protocol
