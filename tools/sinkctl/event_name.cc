#include "tools/sinkctl/event_name.h"

#include "tools/sinkctl/conversation.h"

namespace sink::tools {

tl::expected<std::vector<admin::Command>, Problem> event_names(Context& context,
                                                               const admin::Command& given) {
  if (!given.subscription.empty() && !given.consumer.empty()) return std::vector{given};
  const admin::Command filter = {.verb = admin::Verb::event_list,
                                 .client_id = given.client_id,
                                 .subscription = given.subscription,
                                 .consumer = given.consumer};
  std::vector<admin::Command> names;
  const auto problem = ask_pages(context, filter, [&](const admin::Reply& page) {
    for (const admin::EventRow& event : page.events) {
      if (event.position != given.position) continue;
      admin::Command name = given;
      name.subscription = event.subscription;
      name.consumer = event.consumer;
      names.push_back(std::move(name));
    }
  });
  if (problem) return tl::unexpected(*problem);
  if (names.empty()) {
    return tl::unexpected(Problem{ExitStatus::unavailable,
                                  "no event in quarantine at position " +
                                      std::to_string(given.position.value_or(0)) + " that matches",
                                  "see what is there with: sinkctl event ls"});
  }
  return names;
}

tl::expected<admin::Command, Problem> one_event(Context& context, const admin::Command& given) {
  auto names = event_names(context, given);
  if (!names) return tl::unexpected(names.error());
  if (names->size() == 1) return std::move(names->front());
  std::string choices;
  for (const admin::Command& name : *names) {
    choices += "\n    --subscription " + name.subscription + " --consumer " + name.consumer;
  }
  return tl::unexpected(Problem{
      ExitStatus::usage,
      "position " + std::to_string(given.position.value_or(0)) + " is in quarantine more than once",
      "say which:" + choices});
}

}  // namespace sink::tools
