// sinkctl pub: publishes events as a device would, and tells how each was answered.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "tools/device/line_source.h"
#include "tools/device/offset_book.h"
#include "tools/device/vitals.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/device_session.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr uint64_t kReconnectMs = 60'000;   // for a server that restarts
constexpr uint64_t kLastAnswersMs = 5'000;  // after an interrupt

struct PubOptions {
  DeviceOptions device;
  uint64_t event_type_id = 0;
  uint64_t schema_version = 1;
  std::string key;
  std::string offset = "auto";
  std::string data;
  std::string data_hex;
  std::string file;
  bool lines = false;
  bool vitals = false;
  uint64_t interval_ms = 1'000;
  uint64_t count = 0;
};

// What is published: one event after the other, at its own pace.
struct Wanted {
  uint64_t event_type_id = 0;
  std::string_view key;
  std::string_view event_data;
};

class Publisher final : public DeviceSession {
 public:
  Publisher(Context& context, DeviceSetup setup, const PubOptions& options, OffsetBook book)
      : DeviceSession(
            context, std::move(setup),
            {options.device.wait_ms, options.vitals ? std::nullopt : std::optional(kReconnectMs)}),
        options_(options),
        book_(std::move(book)),
        pace_(loop_, [this] { publish_vitals(); }),
        last_answers_(loop_, [this] { conclude(); }) {}

  ExitStatus publish_all() {
    const ExitStatus status = run();
    const auto closed = book_.close();
    if (!closed) return report(context_, {ExitStatus::internal, closed.error(), ""});
    summarise();
    if (status != ExitStatus::ok) return status;
    if (nacked_ > 0) return ExitStatus::invalid;
    return acked_ == published_ ? ExitStatus::ok : ExitStatus::unavailable;
  }

  std::string single;              // the data, unless lines or vitals are wanted
  int input = STDIN_FILENO;        // where lines come from
  std::optional<uint64_t> offset;  // the first one, if the person chose it

 private:
  void on_ready() override {
    if (options_.vitals) return pace_.start(0, options_.interval_ms);
    if (!options_.lines) {
      publish({options_.event_type_id, options_.key, single});
      return end_of_input();
    }
    source_ = std::make_unique<LineSource>(
        loop_, input,
        LineSource::Handlers{[this](std::string_view line) { publish_line(line); },
                             [this](const std::string& problem) {
                               if (!problem.empty())
                                 return finish({ExitStatus::invalid, problem, ""});
                               end_of_input();
                             }});
  }

  void publish_line(std::string_view line) {
    if (finished() || input_ended_) return;
    publish({options_.event_type_id, options_.key, line});
    if (reached_count()) return end_of_input();
    if (connection_->unanswered() >= kUnansweredMax) source_->pause();
  }

  void publish_vitals() {
    for (const VitalSign& vital : read_vitals()) {
      if (connection_->unanswered() >= kUnansweredMax) {
        ++skipped_;
        continue;
      }
      publish({vital.event_type_id, vital.key, vital.event_data});
      if (reached_count()) return end_of_input();
      if (finished()) return;
    }
  }

  bool reached_count() const { return options_.count > 0 && published_ >= options_.count; }

  void publish(const Wanted& wanted) {
    const auto number = next_offset(wanted);
    if (!number) return finish({ExitStatus::internal, number.error(), ""});
    const protocol::EventView event{
        wanted.event_type_id, options_.schema_version, wanted.key, *number, unix_ms(),
        wanted.event_data};
    switch (connection_->publish(event, 0)) {
      case client::PublishResult::queued:
        ++published_;
        return;
      case client::PublishResult::too_large:
        return finish({ExitStatus::invalid,
                       "an event of " + std::to_string(wanted.event_data.size()) +
                           " bytes does not fit a frame",
                       "key and data may have some 65,500 bytes together"});
      case client::PublishResult::queue_full:
      case client::PublishResult::closed:
        return finish({ExitStatus::internal, "the connection took no more events", ""});
    }
  }

  tl::expected<uint64_t, std::string> next_offset(const Wanted& wanted) {
    if (!offset) return book_.take(wanted.event_type_id, wanted.key);
    const uint64_t number = (*offset)++;
    const auto noted = book_.note(wanted.event_type_id, wanted.key, number);
    if (!noted) return tl::unexpected(noted.error());
    return number;
  }

  void on_answer(const client::Answer& answer) override {
    ++(answer.acked ? acked_ : nacked_);
    print(answer);
    if (source_ && connection_->unanswered() <= kUnansweredMax / 2) source_->resume();
    if (input_ended_ && connection_->unanswered() == 0) conclude();
  }

  void print(const client::Answer& answer) {
    const auto event = protocol::decode_event(answer.payload);
    if (!event) return;  // encoded by this process: cannot fail
    const char* result = answer.acked ? "ACK" : "NACK";
    if (context_.options.json) {
      print_line(context_.out, {{"offset", event->offset},
                                {"key", std::string(event->key)},
                                {"key_hex", to_hex(event->key)},
                                {"event_type_id", event->event_type_id},
                                {"result", answer.acked ? "ack" : "nack"},
                                {"machine", to_hex(answer.machine)},
                                {"human", std::string(answer.human)}});
    } else {
      context_.out << result << ' ' << readable_key(event->key) << ' ' << event->offset;
      if (!answer.acked)
        context_.out << " 0x" << to_hex(answer.machine) << ' ' << terminal_safe(answer.human);
      context_.out << '\n';
    }
    loop_.soon([this] { context_.out.flush(); });
  }

  void end_of_input() {
    input_ended_ = true;
    pace_.stop();
    if (source_) source_->pause();
    if (connection_->unanswered() == 0) conclude();
  }

  void on_interrupted() override {
    end_of_input();
    if (!finished()) last_answers_.start(kLastAnswersMs, 0);
  }

  void conclude() { finish(ExitStatus::ok); }

  void summarise() {
    const uint64_t unanswered = published_ - acked_ - nacked_;
    std::string text = std::to_string(acked_) + " acked, " + std::to_string(nacked_) + " nacked, " +
                       std::to_string(unanswered) + " unanswered";
    if (skipped_ > 0)
      text += ", " + std::to_string(skipped_) + " not taken while the queue was full";
    if (unanswered > 0) text += " (these may or may not have been accepted)";
    say(context_, text);
  }

  static constexpr size_t kUnansweredMax = 2'000;

  const PubOptions& options_;
  OffsetBook book_;
  DeviceLoop::Timer pace_;
  DeviceLoop::Timer last_answers_;
  std::unique_ptr<LineSource> source_;
  uint64_t published_ = 0;
  uint64_t acked_ = 0;
  uint64_t nacked_ = 0;
  uint64_t skipped_ = 0;
  bool input_ended_ = false;
};

tl::unexpected<Problem> usage(std::string what, std::string hint = "") {
  return tl::unexpected(Problem{ExitStatus::usage, std::move(what), std::move(hint)});
}

tl::expected<void, Problem> check(const CLI::App& verb, const PubOptions& options) {
  const bool typed = verb.count("--type") > 0 && verb.count("--key") > 0;
  if (!options.vitals && !typed)
    return usage("an event needs --type and --key", "or give --vitals for this host's vital signs");
  const size_t sources = verb.count("--data") + verb.count("--data-hex") + verb.count("--file");
  if (options.vitals && (sources > 0 || options.lines || typed || verb.count("--offset") > 0))
    return usage("--vitals brings its own types, keys, offsets and data", "leave the others out");
  if (!options.vitals && sources != 1)
    return usage("give one of --data, --data-hex and --file", "--file - reads the standard input");
  if (options.lines && verb.count("--file") == 0)
    return usage("--lines needs --file", "--file - reads the standard input");
  if (options.interval_ms == 0) return usage("--interval must be more than 0");
  return {};
}

tl::expected<std::optional<uint64_t>, Problem> parse_offset(const std::string& text) {
  if (text == "auto") return std::nullopt;
  uint64_t number = 0;
  std::istringstream in(text);
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c >= '0' && c <= '9';
  });
  if (!digits || !(in >> number))
    return usage("--offset " + text + " is neither a number nor auto");
  return number;
}

// The whole content of --file, or an open descriptor for --lines.
tl::expected<int, Problem> open_input(const PubOptions& options) {
  if (options.file.empty() || options.file == "-") return STDIN_FILENO;
  const int fd = ::open(options.file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return fd;
  return tl::unexpected(Problem{ExitStatus::invalid,
                                "cannot open " + options.file + ": " + std::strerror(errno), ""});
}

tl::expected<std::string, Problem> read_whole(int fd) {
  std::string text;
  char piece[64 * 1024];
  for (;;) {
    const ssize_t count = ::read(fd, piece, sizeof piece);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return tl::unexpected(Problem{
          ExitStatus::invalid, std::string("cannot read the input: ") + std::strerror(errno), ""});
    if (count == 0) return text;
    text.append(piece, static_cast<size_t>(count));
    if (text.size() > protocol::kFrameBytesMax)
      return tl::unexpected(Problem{ExitStatus::invalid, "the input is larger than an event can be",
                                    "for one event a line, give --lines"});
  }
}

tl::expected<std::string, Problem> single_data(const PubOptions& options, int input) {
  if (!options.file.empty()) return read_whole(input);
  if (options.data_hex.empty()) return options.data;
  const auto bytes = from_hex(options.data_hex);
  if (!bytes) return usage("--data-hex is not an even number of hex digits");
  return *bytes;
}

ExitStatus publish(Context& context, const CLI::App& verb, const PubOptions& options) {
  if (const auto fine = check(verb, options); !fine) return report(context, fine.error());
  const auto offset = parse_offset(options.offset);
  if (!offset) return report(context, offset.error());
  auto setup = prepare(options.device);
  if (!setup) return report(context, setup.error());
  const std::string& state = options.device.state;
  auto book = OffsetBook::open(state.empty() ? "" : state + ".offsets");
  if (!book) return report(context, {ExitStatus::invalid, book.error(), ""});
  const auto input = open_input(options);
  if (!input) return report(context, input.error());
  std::string single;
  if (!options.lines && !options.vitals) {
    auto data = single_data(options, *input);
    if (!data) return report(context, data.error());
    single = std::move(*data);
  }
  Publisher publisher(context, std::move(*setup), options, std::move(*book));
  publisher.single = std::move(single);
  publisher.input = *input;
  publisher.offset = *offset;
  const ExitStatus status = publisher.publish_all();
  if (*input != STDIN_FILENO) ::close(*input);
  return status;
}

}  // namespace

void register_pub(CLI::App& root, Context& context) {
  auto options = std::make_shared<PubOptions>();
  auto verb = std::make_shared<CLI::App*>(nullptr);
  *verb = add_verb(root, context, "pub", "publish events as a device",
                   [&context, verb, options] { return publish(context, **verb, *options); });
  CLI::App& pub = **verb;
  add_server_options(pub, options->device);
  add_identity_options(pub, options->device);
  pub.add_option("--type", options->event_type_id, "event type id")->type_name("N");
  pub.add_option("--schema", options->schema_version, "schema version [1]")->type_name("N");
  pub.add_option("--key", options->key, "key of the event")->type_name("TEXT");
  pub.add_option("--offset", options->offset,
                 "its offset, or auto: one more than the last of its type and key [auto]")
      ->type_name("N");
  pub.add_option("--data", options->data, "event data")->type_name("TEXT");
  pub.add_option("--data-hex", options->data_hex, "event data")->type_name("HEX");
  pub.add_option("--file", options->file, "file with the event data; - is the standard input")
      ->type_name("FILE");
  pub.add_flag("--lines", options->lines, "each line of --file is an event");
  pub.add_flag("--vitals", options->vitals, "publish this host's load, memory, network and disk");
  add_duration(pub, "--interval", options->interval_ms, "between two sets of vital signs [1s]");
  pub.add_option("--count", options->count, "end after N events [0: no end]")->type_name("N");
}

}  // namespace sink::tools
