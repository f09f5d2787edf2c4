// sinkctl pki init|issue|revoke: a certificate authority in a directory.
#include <map>
#include <memory>

#include "tools/pki/pki.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"

namespace sink::tools {
namespace {

constexpr const char* kDefaultDirectory = "pki";

const std::map<std::string, CertificateKind> kKinds = {
    {"server", CertificateKind::server},
    {"client", CertificateKind::client},
    {"both", CertificateKind::both},
};

ExitStatus exit_status_of(PkiErrorCode code) {
  switch (code) {
    case PkiErrorCode::invalid:
      return ExitStatus::usage;
    case PkiErrorCode::exists:
      return ExitStatus::invalid;
    case PkiErrorCode::missing:
      return ExitStatus::unavailable;
    case PkiErrorCode::failed:
      return ExitStatus::internal;
  }
  return ExitStatus::internal;
}

ExitStatus report_pki(Context& context, const PkiError& error) {
  return report(context, {exit_status_of(error.code), error.message, ""});
}

struct InitOptions {
  std::string dir = kDefaultDirectory;
  CaOptions ca;
};

ExitStatus init(Context& context, const InitOptions& options) {
  const auto made = init_ca(options.dir, options.ca);
  if (!made) return report_pki(context, made.error());
  const std::string ca = options.dir + "/ca";
  if (context.options.json) {
    print_line(context.out,
               {{"certificate", ca + ".pem"}, {"private_key", ca + ".key"}, {"crl", ca + ".crl"}});
    return ExitStatus::ok;
  }
  say(context, "made " + ca + ".pem, " + ca + ".key and " + ca + ".crl");
  say(context, "next: sinkctl pki issue NAME --kind server --dir " + options.dir);
  return ExitStatus::ok;
}

struct PkiIssueOptions {
  std::string dir = kDefaultDirectory;
  std::string kind = "client";
  IssueOptions issue;
};

ExitStatus issue_certificate(Context& context, const PkiIssueOptions& options) {
  IssueOptions wanted = options.issue;
  wanted.kind = kKinds.at(options.kind);
  const auto issued = issue(options.dir, wanted);
  if (!issued) return report_pki(context, issued.error());
  if (context.options.json) {
    print_line(context.out, {{"name", wanted.name},
                             {"kind", options.kind},
                             {"certificate", issued->certificate_file},
                             {"private_key", issued->private_key_file}});
    return ExitStatus::ok;
  }
  say(context, "made " + issued->certificate_file + " and " + issued->private_key_file);
  return ExitStatus::ok;
}

struct RevokeOptions {
  std::string dir = kDefaultDirectory;
  std::string certificate;
};

ExitStatus revoke_certificate(Context& context, const RevokeOptions& options) {
  const auto list = revoke(options.dir, options.certificate);
  if (!list) return report_pki(context, list.error());
  if (context.options.json) {
    print_line(context.out, {{"certificate", options.certificate}, {"crl", *list}});
    return ExitStatus::ok;
  }
  say(context, options.certificate + " is on " + *list);
  say(context, "sinkd refuses it after: sinkctl config reload (with client_crl = that file)");
  return ExitStatus::ok;
}

void add_directory(CLI::App& verb, std::string& dir) {
  verb.add_option("--dir", dir, "the directory of the CA [pki]")->type_name("DIR");
}

void register_init(CLI::App& noun, Context& context) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* verb = add_verb(noun, context, "init", "make a certificate authority",
                            [&context, options] { return init(context, *options); });
  add_directory(*verb, options->dir);
  verb->add_option("--name", options->ca.common_name, "its common name")->type_name("TEXT");
  verb->add_option("--days", options->ca.days, "how long it is valid [3650]")->type_name("N");
  verb->add_flag("--force", options->ca.force, "replace one that is there");
}

void register_issue(CLI::App& noun, Context& context) {
  auto options = std::make_shared<PkiIssueOptions>();
  IssueOptions& wanted = options->issue;
  CLI::App* verb = add_verb(noun, context, "issue", "make a certificate and its private key",
                            [&context, options] { return issue_certificate(context, *options); });
  verb->add_option("NAME", wanted.name, "common name: the client_id of a device")
      ->required()
      ->type_name("");
  add_directory(*verb, options->dir);
  verb->add_option("--kind", options->kind, "server, client or both [client]")
      ->check(CLI::IsMember({"server", "client", "both"}))
      ->type_name("KIND");
  add_repeatable(*verb, "--dns", wanted.san_dns, "a host name it is for")->type_name("NAME");
  add_repeatable(*verb, "--ip", wanted.san_ip, "an address it is for")->type_name("ADDRESS");
  add_repeatable(*verb, "--uri", wanted.san_uri, "a URI it is for")->type_name("URI");
  verb->add_option("--days", wanted.days, "how long it is valid [825]")->type_name("N");
  verb->add_option("--out", wanted.out_prefix, "path without ending [DIR/NAME]")
      ->type_name("PREFIX");
  verb->add_flag("--force", wanted.force, "replace files that are there");
}

void register_revoke(CLI::App& noun, Context& context) {
  auto options = std::make_shared<RevokeOptions>();
  CLI::App* verb = add_verb(noun, context, "revoke", "put a certificate on the revocation list",
                            [&context, options] { return revoke_certificate(context, *options); });
  verb->add_option("CERTIFICATE", options->certificate, "its file")->required()->type_name("");
  add_directory(*verb, options->dir);
}

}  // namespace

void register_pki(CLI::App& root, Context& context) {
  CLI::App* noun =
      add_noun(root, "pki", "a certificate authority for development and small fleets");
  register_init(*noun, context);
  register_issue(*noun, context);
  register_revoke(*noun, context);
}

}  // namespace sink::tools
