// Requests on the HTTP port. The input: how many bytes arrive at a time, one byte each up to a zero
// byte, then the stream. What is read must not depend on how the stream was cut.
#include <algorithm>
#include <vector>

#include "daemon/admin/http_request.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::admin_server;

namespace {

// What a connection would answer: requests up to the first after which it has to close.
class Listener {
 public:
  void receive(std::string_view bytes) {
    if (over_) return;
    reader_.add(bytes);
    for (;;) {
      auto request = reader_.next();
      if (!request) {
        faults_.push_back(status_of(request.error()));
        over_ = true;
        return;
      }
      if (!*request) return;
      check(**request);
      over_ = (*request)->has_body || !(*request)->keeps_alive;
      requests_.push_back(std::move(**request));
      if (over_) return;
    }
  }

  bool operator==(const Listener& other) const {
    return faults_ == other.faults_ && requests_.size() == other.requests_.size() &&
           std::equal(requests_.begin(), requests_.end(), other.requests_.begin(),
                      [](const HttpRequest& a, const HttpRequest& b) {
                        return a.method == b.method && a.path == b.path &&
                               a.keeps_alive == b.keeps_alive && a.has_body == b.has_body;
                      });
  }

 private:
  static void check(const HttpRequest& request) {
    if (request.method == HttpMethod::other) {
      FUZZ_CHECK(request.path.empty());
      return;
    }
    FUZZ_CHECK(request.path.substr(0, 1) == "/");
    for (const char c : request.path) FUZZ_CHECK(c > ' ' && c < '\x7f' && c != '?');
  }

  HttpRequestReader reader_;
  std::vector<HttpRequest> requests_;
  std::vector<unsigned> faults_;
  bool over_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  std::vector<uint8_t> pieces;
  for (uint8_t bytes = input.byte(); bytes != 0; bytes = input.byte()) pieces.push_back(bytes);
  const std::string_view stream = input.rest();
  Listener whole, in_pieces, byte_by_byte;
  whole.receive(stream);
  for (size_t at = 0; at < stream.size(); ++at) byte_by_byte.receive(stream.substr(at, 1));
  size_t at = 0;
  for (const uint8_t bytes : pieces) {
    in_pieces.receive(stream.substr(at, bytes));
    at = std::min(stream.size(), at + bytes);
  }
  in_pieces.receive(stream.substr(at));
  FUZZ_CHECK(whole == byte_by_byte);
  FUZZ_CHECK(whole == in_pieces);
  return 0;
}
