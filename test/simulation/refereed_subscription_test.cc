#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "test/simulation/refereed_subscription.h"

#include <doctest/doctest.h>

using namespace sink;
using simulation::RefereedSubscription;

TEST_CASE("refereed subscription: source, key and type must all match") {
  RefereedSubscription subscription;
  const protocol::Event event{5, 0, "a2", 1, 0, ""};
  CHECK(subscription.wants("pub-1", event));
  subscription.sources = "pub-*";
  subscription.keys = "a*";
  subscription.first_type = subscription.last_type = 5;
  CHECK(subscription.wants("pub-1", event));
  CHECK_FALSE(subscription.wants("con-1", event));
  CHECK_FALSE(subscription.wants("pub-1", {5, 0, "b", 1, 0, ""}));
  CHECK_FALSE(subscription.wants("pub-1", {4, 0, "a", 1, 0, ""}));
  CHECK_FALSE(subscription.wants("pub-1", {6, 0, "a", 1, 0, ""}));
  CHECK_FALSE(subscription.is_template());
  subscription.consumer = "con-*";
  CHECK(subscription.is_template());
  CHECK_FALSE(RefereedSubscription::matches("a", "a2"));
}
