// Collects broken rules and finds the place of each in the configuration's files.
// Responsible for placing and for leaving doubtful keys alone; the rules are validate.cc's and
// validate_subscription.cc's. Invariant: an error stands at its key, else at its table.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "daemon/config/config.h"
#include "daemon/config/config_error.h"
#include "daemon/config/table_reader.h"

namespace sink::config {

class RuleCheck {
 public:
  // Both must outlive the check.
  RuleCheck(const Origins& origins, const Doubts& doubts) : origins_(origins), doubts_(doubts) {}

  // The operator wrote the key.
  bool written(std::string_view key) const { return origins_.contains(key); }
  // An error about the key is known, or it may be what a syntax error hides: rules that depend on
  // it say nothing.
  bool doubtful(std::string_view key) const;
  // Notes an error at `key`, unless one is known about that very key.
  void refuse(const std::string& key, std::string message, std::string hint);

  ConfigErrors take_errors() { return std::move(errors_); }

 private:
  const Origins& origins_;
  const Doubts& doubts_;
  ConfigErrors errors_;
};

// The rules of one subscription; `path` is its key path.
void check_subscription(const broker::SubscriptionSpec& spec, const std::string& path,
                        RuleCheck& check);

}  // namespace sink::config
