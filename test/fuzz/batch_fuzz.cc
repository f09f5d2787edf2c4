// The batch and snapshot decoders. The first byte chooses: the rest as it is, its tail compressed
// here (a fuzzer does not find valid gzip by itself), or a snapshot. What decodes survives
// encoding.
#include <zlib.h>

#include "protocol/batch.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::protocol;

namespace {

constexpr BatchLimits kLimits{4'096, 64 * 1024};

void check_survives(const std::vector<Event>& events) {
  FUZZ_CHECK(events.size() <= kLimits.events_max);
  if (events.empty()) return;
  const auto again = decode_batch(encode_batch(events), {kLimits.events_max, SIZE_MAX / 2});
  FUZZ_CHECK(again.has_value());
  FUZZ_CHECK(*again == events);
}

std::string gzip(Bytes plain) {
  z_stream stream{};
  FUZZ_CHECK(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Header bytes as they are, flagged as compressed; what follows them compressed.
std::string compressed(Bytes batch, size_t header_bytes) {
  std::string out(batch.substr(0, header_bytes));
  if (!out.empty()) out[0] = static_cast<char>(out[0] | 0x40);
  return out + gzip(batch.substr(out.size()));
}

void check_snapshot(Bytes snapshot) {
  for (;;) {
    const size_t before = snapshot.size();
    const auto batch = next_snapshot_batch(snapshot, kLimits);
    if (!batch) {
      FUZZ_CHECK(snapshot.size() == before);
      return;
    }
    if (!*batch) {
      FUZZ_CHECK(before == 0);
      return;
    }
    FUZZ_CHECK(snapshot.size() < before);
    check_survives(**batch);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  const uint8_t choice = input.byte();
  if (choice == 0xff) {
    check_snapshot(input.rest());
    return 0;
  }
  const std::string batch =
      choice == 0 ? std::string(input.rest()) : compressed(input.rest(), choice % 64);
  const auto events = decode_batch(batch, kLimits);
  if (events) check_survives(*events);
  return 0;
}
