// sinkctl tap: connects as a consumer, prints what is delivered and answers it; or, with --from,
// reads the log.
#include <memory>
#include <vector>

#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/device_session.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/log_place.h"
#include "tools/sinkctl/log_reader.h"
#include "tools/sinkctl/printed_event.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct TapOptions {
  DeviceOptions device;
  uint64_t count = 0;
  bool ack = false;  // the default; for scripts that say so
  bool no_answer = false;
  std::string nack_hex;
  std::string human;
  std::string format = "text";
  uint64_t idle_exit_ms = 0;
  std::string from;  // a place in the log; empty: what is delivered
  bool until_end = false;
  std::vector<std::string> sources, keys;
  std::vector<uint64_t> event_types;
};

enum class Response : uint8_t { ack, nack, none };

// Prints first and answers then: an event that could not be printed is not ACKed.
class Consumer final : public DeviceSession {
 public:
  Consumer(Context& context, DeviceSetup setup, const TapOptions& options, Response response,
           std::string machine)
      : DeviceSession(context, std::move(setup), {options.device.wait_ms, std::nullopt}),
        options_(options),
        response_(response),
        machine_(std::move(machine)),
        idle_(loop_, [this] { finish(ExitStatus::ok); }) {}

  ExitStatus consume() {
    const ExitStatus status = run();
    static constexpr const char* kDone[] = {"ACKed", "NACKed", "left unanswered"};
    say(context_, std::to_string(delivered_) + " delivered, " + std::to_string(answered_) + " " +
                      kDone[static_cast<size_t>(response_)]);
    return status;
  }

 private:
  void on_ready() override { restart_idle(); }

  void on_delivery(const client::Delivery& delivery) override {
    if (finished() || full()) return;
    ++delivered_;
    print(delivery);
    unanswered_.push_back(delivery.id);
    loop_.soon([this] { answer_all(); });
  }

  bool full() const { return options_.count > 0 && delivered_ >= options_.count; }

  // Once a loop turn: one write to the terminal or file, one to the server.
  void answer_all() {
    context_.out.flush();
    if (!context_.out.good())
      return finish({ExitStatus::internal, "cannot write to the standard output",
                     "the events that were not printed are not ACKed"});
    for (const auto id : unanswered_) answered_ += answer(id) ? 1 : 0;
    unanswered_.clear();
    if (full()) return finish(ExitStatus::ok);
    restart_idle();
  }

  bool answer(client::DeliveryId id) {
    switch (response_) {
      case Response::ack:
        return connection_->ack(id);
      case Response::nack:
        return connection_->nack(id, machine_, options_.human);
      case Response::none:
        return true;
    }
    return false;
  }

  void restart_idle() {
    if (options_.idle_exit_ms > 0) idle_.start(options_.idle_exit_ms, 0);
  }

  void print(const client::Delivery& delivery) {
    if (context_.options.json || options_.format == "json") return print_json(delivery);
    context_.out << event_line(delivery.event) << '\n';
  }

  // What version 0 cannot say is null.
  void print_json(const client::Delivery& delivery) {
    const bool told = delivery.attempt > 0;
    Json row = event_json(delivery.event);
    row["subscription"] = told ? Json(std::string(delivery.subscription)) : Json(nullptr);
    row["source"] = told ? Json(std::string(delivery.source)) : Json(nullptr);
    row["attempt"] = told ? Json(delivery.attempt) : Json(nullptr);
    print_line(context_.out, row);
  }

  const TapOptions& options_;
  Response response_;
  std::string machine_;
  DeviceLoop::Timer idle_;
  std::vector<client::DeliveryId> unanswered_;
  uint64_t delivered_ = 0;
  uint64_t answered_ = 0;
};

ExitStatus tap_log(Context& context, const CLI::App& verb, const TapOptions& options) {
  for (const char* answer : {"--ack", "--nack", "--no-answer"})
    if (verb.count(answer) > 0)
      return report(context, {ExitStatus::usage, std::string("--from does not go with ") + answer,
                              "what is read from the log is not answered"});
  auto place = parse_place(options.from, context.now_ms());
  if (!place) return report(context, {ExitStatus::usage, "--from: " + place.error(), ""});
  place->sources = options.sources;
  place->keys = options.keys;
  for (const uint64_t type : options.event_types) place->event_types.push_back({type, type});
  auto setup = prepare(options.device);
  if (!setup) return report(context, setup.error());
  const bool json = context.options.json || options.format == "json";
  return LogReader(context, std::move(*setup),
                   {std::move(*place), options.count, options.until_end, json,
                    options.device.wait_ms, options.idle_exit_ms})
      .read();
}

ExitStatus tap(Context& context, const CLI::App& verb, const TapOptions& options) {
  if (verb.count("--from") > 0) return tap_log(context, verb, options);
  for (const char* reading : {"--until-end", "--source", "--key", "--type"})
    if (verb.count(reading) > 0)
      return report(context, {ExitStatus::usage, std::string(reading) + " goes with --from",
                              "what is delivered is what the subscription says"});
  const size_t ways = verb.count("--ack") + verb.count("--nack") + verb.count("--no-answer");
  if (ways > 1)
    return report(context,
                  {ExitStatus::usage, "give only one of --ack, --nack and --no-answer", ""});
  const bool nack = verb.count("--nack") > 0;
  if (verb.count("--human") > 0 && !nack)
    return report(context, {ExitStatus::usage, "--human goes with --nack", ""});
  const auto machine = from_hex(options.nack_hex);
  if (!machine)
    return report(context, {ExitStatus::usage, "--nack is not an even number of hex digits", ""});
  auto setup = prepare(options.device);
  if (!setup) return report(context, setup.error());
  const Response response = nack                ? Response::nack
                            : options.no_answer ? Response::none
                                                : Response::ack;
  return Consumer(context, std::move(*setup), options, response, *machine).consume();
}

}  // namespace

void register_tap(CLI::App& root, Context& context) {
  auto options = std::make_shared<TapOptions>();
  auto verb = std::make_shared<CLI::App*>(nullptr);
  *verb = add_verb(root, context, "tap", "print what is delivered to a consumer, and ACK it",
                   [&context, verb, options] { return tap(context, **verb, *options); });
  CLI::App& app = **verb;
  add_server_options(app, options->device);
  add_identity_options(app, options->device);
  app.add_option("--count", options->count, "end after N events [0: no end]")->type_name("N");
  app.add_flag("--ack", options->ack, "ACK each event once it is printed (the default)");
  app.add_option("--nack", options->nack_hex, "NACK each event with this machine message")
      ->type_name("HEX");
  app.add_option("--human", options->human, "the NACK's human message")->type_name("TEXT");
  app.add_flag("--no-answer", options->no_answer, "neither ACK nor NACK");
  app.add_option("--format", options->format, "text or json [text]")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT");
  add_duration(app, "--idle-exit", options->idle_exit_ms,
               "end when nothing was delivered for this long [never]");
  app.add_option("--from", options->from,
                 "read the log instead: earliest, now, a position, a time, or how long ago")
      ->type_name("PLACE");
  app.add_flag("--until-end", options->until_end, "end where the log ends");
  app.add_option("--source", options->sources, "of these sources only (globs)")->type_name("GLOB");
  app.add_option("--key", options->keys, "with these keys only (globs)")->type_name("GLOB");
  app.add_option("--type", options->event_types, "of these types only")->type_name("N");
}

}  // namespace sink::tools
