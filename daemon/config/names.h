// The words that stand for enum values in the configuration, each pair written once.
// Responsible for the tables and for looking one up; used for reading and for rendering.
// Invariant: every value of an enum has exactly one word.
#pragma once

#include <span>
#include <string_view>

#include "daemon/config/config.h"

namespace sink::config {

template <typename Enum>
struct Name {
  Enum value;
  std::string_view word;
};

inline constexpr Name<Unrouted> kUnroutedNames[] = {{Unrouted::ack, "ack"},
                                                    {Unrouted::nack, "nack"}};
inline constexpr Name<ClientIdFrom> kClientIdNames[] = {
    {ClientIdFrom::common_name, "common_name"}, {ClientIdFrom::san_uri, "san_uri"},
    {ClientIdFrom::san_dns, "san_dns"},         {ClientIdFrom::fingerprint, "fingerprint"},
    {ClientIdFrom::instance_id, "instance_id"},
};
inline constexpr Name<TlsVersion> kTlsVersionNames[] = {{TlsVersion::tls_1_2, "1.2"},
                                                        {TlsVersion::tls_1_3, "1.3"}};
inline constexpr Name<LogLevel> kLogLevelNames[] = {
    {LogLevel::trace, "trace"},     {LogLevel::debug, "debug"}, {LogLevel::info, "info"},
    {LogLevel::warning, "warning"}, {LogLevel::error, "error"},
};
inline constexpr Name<LogFormat> kLogFormatNames[] = {
    {LogFormat::automatic, "auto"},
    {LogFormat::journal, "journal"},
    {LogFormat::text, "text"},
    {LogFormat::json, "json"},
};
inline constexpr Name<broker::Order> kOrderNames[] = {{broker::Order::key, "key"},
                                                      {broker::Order::none, "none"}};
inline constexpr Name<broker::AckWhen> kAckNames[] = {{broker::AckWhen::stored, "stored"},
                                                      {broker::AckWhen::settled, "settled"}};
inline constexpr Name<broker::AfterQuarantine> kAfterQuarantineNames[] = {
    {broker::AfterQuarantine::continue_key, "continue"},
    {broker::AfterQuarantine::hold_key, "hold"},
};
inline constexpr Name<broker::NackAction> kNackActionNames[] = {
    {broker::NackAction::retry, "retry"},
    {broker::NackAction::retry_uncounted, "retry-uncounted"},
    {broker::NackAction::hold, "hold"},
    {broker::NackAction::quarantine, "quarantine"},
    {broker::NackAction::drop, "drop"},
    {broker::NackAction::quarantine_client, "quarantine-client"},
    {broker::NackAction::pause, "pause"},
};

// The word for `value`; empty only for a value outside its enum.
template <typename Enum, size_t count>
constexpr std::string_view word_for(Enum value, const Name<Enum> (&names)[count]) {
  for (const Name<Enum>& name : names) {
    if (name.value == value) return name.word;
  }
  return {};
}

}  // namespace sink::config
