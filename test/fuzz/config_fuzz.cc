// A configuration's text. The first byte chooses: a whole file, or one [[subscription]] alone.
// Every error has a place inside the text and words for people; what is accepted survives being
// written out and read again, and can be shown.
#include <algorithm>

#include "daemon/config/parse.h"
#include "daemon/config/render.h"
#include "daemon/config/to_toml.h"
#include "daemon/config/validate.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::config;

namespace {

void check_errors(const ConfigErrors& errors, std::string_view text) {
  FUZZ_CHECK(!errors.empty());
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  uint32_t line = 0;
  for (const ConfigError& error : errors) {
    FUZZ_CHECK(!error.message.empty() && !error.hint.empty());
    FUZZ_CHECK(error.line <= lines + 1);  // one behind the last: the text ends too early
    FUZZ_CHECK(error.line >= line);
    FUZZ_CHECK(!to_text(error).empty());
    line = error.line;
  }
}

void check_subscription(const sink::broker::SubscriptionSpec& spec) {
  const auto again = parse_subscription(to_toml(spec), "again");
  FUZZ_CHECK(again.has_value());
  FUZZ_CHECK(*again == spec);
}

void check_config(const Config& config) {
  FUZZ_CHECK(validate(config).empty());
  FUZZ_CHECK(diff(config, config).empty());
  for (const auto& row : render(config)) FUZZ_CHECK(!row.key.empty() && !row.note.empty());
  for (const auto& spec : config.subscriptions) check_subscription(spec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  const bool whole = input.byte() % 2 == 0;
  const std::string text(input.rest());
  if (whole) {
    const auto config = parse_text(text, "fuzz");
    config ? check_config(*config) : check_errors(config.error(), text);
  } else {
    const auto spec = parse_subscription(text, "fuzz");
    spec ? check_subscription(*spec) : check_errors(spec.error(), text);
  }
  return 0;
}
