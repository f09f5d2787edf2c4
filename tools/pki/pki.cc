// Implements pki.h.
#include "tools/pki/pki.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "tls/openssl_ptr.h"
#include "tls/pem_file.h"
#include "tools/pki/secure_file.h"

namespace sink::tools {
namespace {

using tls::BioPtr;
using tls::OpensslFree;
using tls::PkeyPtr;
using tls::X509CrlPtr;
using tls::X509Ptr;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

constexpr int kSerialBytes = 16;
constexpr long kSecondsPerDay = 24 * 60 * 60;
constexpr long kClockSkewSeconds = 5 * 60;  // so that a device whose clock is behind accepts it now
constexpr int kDaysMax = 36500;
constexpr size_t kNameBytesMax = 64;  // of a common name (RFC 5280, appendix A, ub-common-name)

struct Ca {
  X509Ptr certificate;
  PkeyPtr key;
};

std::string ca_file(const std::string& dir) {
  return dir + "/ca.pem";
}
std::string ca_key_file(const std::string& dir) {
  return dir + "/ca.key";
}
std::string ca_crl_file(const std::string& dir) {
  return dir + "/ca.crl";
}

PkiError invalid(std::string message) {
  return {PkiErrorCode::invalid, std::move(message)};
}

PkiError refused_by_openssl(const std::string& what) {
  return {PkiErrorCode::failed, what + ": OpenSSL refused (" + tls::take_openssl_error() +
                                    "); check its names and options"};
}

PkiError from_tls(tls::TlsError error) {
  const bool missing = error.code == tls::TlsErrorCode::file_missing;
  return {missing ? PkiErrorCode::missing : PkiErrorCode::failed, std::move(error.message)};
}

tl::expected<void, PkiError> check_name(const std::string& name) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (name.empty() || name.size() > kNameBytesMax || !printable) {
    return tl::unexpected(
        invalid("name: must be 1 to 64 bytes without control characters, such as \"meter-1\""));
  }
  return {};
}

tl::expected<void, PkiError> check_days(int days) {
  if (days != 0 && days >= -kDaysMax && days <= kDaysMax) return {};
  return tl::unexpected(
      invalid("days: must be 1 to 36500, or negative for a certificate that has expired already"));
}

// --- building blocks; false or null: OpenSSL refused, its error queue says why ---

bool set_random_serial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, of full length
  const BignumPtr number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return number != nullptr &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_validity(X509* certificate, int days) {
  const long not_after = days * kSecondsPerDay;
  const long not_before = std::min(-kClockSkewSeconds, not_after - kSecondsPerDay);
  return X509_gmtime_adj(X509_getm_notBefore(certificate), not_before) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), not_after) != nullptr;
}

bool set_common_name(X509* certificate, const std::string& name) {
  return X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                    MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Built from parts, not from a configuration string: a comma in a name must stay a comma.
bool push_name(GENERAL_NAMES* names, int type, const std::string& text) {
  std::unique_ptr<GENERAL_NAME, OpensslFree<GENERAL_NAME_free>> name(GENERAL_NAME_new());
  ASN1_STRING* value = type == GEN_IPADD ? static_cast<ASN1_STRING*>(a2i_IPADDRESS(text.c_str()))
                                         : static_cast<ASN1_STRING*>(ASN1_IA5STRING_new());
  if (name == nullptr || value == nullptr) return false;
  GENERAL_NAME_set0_value(name.get(), type, value);
  const bool set =
      type == GEN_IPADD || ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1;
  if (!set || sk_GENERAL_NAME_push(names, name.get()) == 0) return false;
  static_cast<void>(name.release());  // owned by the list now
  return true;
}

tl::expected<void, PkiError> add_alternative_names(X509* certificate, const IssueOptions& options) {
  std::vector<std::string> dns = options.san_dns;
  if (options.kind != CertificateKind::client && dns.empty() && options.san_ip.empty()) {
    dns.push_back(options.name);
  }
  const NamesPtr names(GENERAL_NAMES_new());
  const auto push_all = [&](int type, const std::vector<std::string>& texts) {
    return std::find_if(texts.begin(), texts.end(), [&](const std::string& text) {
      return text.empty() || !push_name(names.get(), type, text);
    });
  };
  if (const auto bad = push_all(GEN_DNS, dns); bad != dns.end()) {
    return tl::unexpected(invalid("san_dns: \"" + *bad + "\" is no DNS name"));
  }
  if (const auto bad = push_all(GEN_IPADD, options.san_ip); bad != options.san_ip.end()) {
    ERR_clear_error();
    return tl::unexpected(invalid("san_ip: \"" + *bad +
                                  "\" is no IP address; write it like 192.0.2.7 or 2001:db8::7"));
  }
  if (const auto bad = push_all(GEN_URI, options.san_uri); bad != options.san_uri.end()) {
    return tl::unexpected(invalid("san_uri: \"" + *bad + "\" is no URI"));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return {};
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) == 1) return {};
  return tl::unexpected(refused_by_openssl("subject alternative names"));
}

const char* extended_usage(CertificateKind kind) {
  switch (kind) {
    case CertificateKind::server:
      return "serverAuth";
    case CertificateKind::client:
      return "clientAuth";
    case CertificateKind::both:
      return "serverAuth,clientAuth";
  }
  return "";
}

// What `write(bio)` prints.
template <typename Write>
std::string pem_text(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  char* text = nullptr;
  if (bio == nullptr || write(bio.get()) != 1) return {};
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size <= 0 ? std::string() : std::string(text, static_cast<size_t>(size));
}

std::string certificate_text(X509* certificate) {
  return pem_text([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string list_text(X509_CRL* list) {
  return pem_text([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list); });
}

// The key goes first: a certificate without its key is of no use, and the other way it can be seen.
tl::expected<void, PkiError> write_pair(const Issued& files, X509* certificate, EVP_PKEY* key,
                                        Existing existing) {
  std::string key_text = pem_text([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  const std::string text = certificate_text(certificate);
  if (key_text.empty() || text.empty()) {
    return tl::unexpected(refused_by_openssl(files.certificate_file));
  }
  auto written = write_file({files.private_key_file, key_text, 0600}, existing);
  OPENSSL_cleanse(key_text.data(), key_text.size());
  if (!written) return written;
  return write_file({files.certificate_file, text, 0644}, existing);
}

tl::expected<Ca, PkiError> load_ca(const std::string& dir) {
  auto certificates = tls::read_certificates(ca_file(dir));
  if (!certificates) return tl::unexpected(from_tls(std::move(certificates.error())));
  auto key = tls::read_private_key(ca_key_file(dir));
  if (!key) return tl::unexpected(from_tls(std::move(key.error())));
  if (X509_check_private_key(certificates->front().get(), key->get()) == 1) {
    return Ca{std::move(certificates->front()), std::move(*key)};
  }
  ERR_clear_error();
  return tl::unexpected(
      PkiError{PkiErrorCode::failed, ca_key_file(dir) + ": does not belong to " + ca_file(dir) +
                                         "; restore the two that were made together"});
}

// --- revocation lists ---

uint64_t list_number(const X509_CRL* list) {
  const IntegerPtr number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(list, NID_crl_number, nullptr, nullptr)));
  uint64_t value = 0;
  if (number == nullptr || ASN1_INTEGER_get_uint64(&value, number.get()) != 1) return 0;
  return value;
}

// Dates, numbers and signs `list` anew. It is valid as long as the CA: there is no service here
// that would issue it again in time.
bool seal(X509_CRL* list, const Ca& ca) {
  const TimePtr now(X509_gmtime_adj(nullptr, 0));
  const IntegerPtr number(ASN1_INTEGER_new());
  return now != nullptr && number != nullptr &&
         ASN1_INTEGER_set_uint64(number.get(), list_number(list) + 1) == 1 &&
         X509_CRL_set1_lastUpdate(list, now.get()) == 1 &&
         X509_CRL_set1_nextUpdate(list, X509_get0_notAfter(ca.certificate.get())) == 1 &&
         X509_CRL_add1_ext_i2d(list, NID_crl_number, number.get(), 0, X509V3_ADD_REPLACE) == 1 &&
         X509_CRL_sort(list) == 1 && X509_CRL_sign(list, ca.key.get(), EVP_sha256()) > 0;
}

X509CrlPtr empty_list(const Ca& ca) {
  X509CrlPtr list(X509_CRL_new());
  const bool made =
      list != nullptr && X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1 &&
      X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(ca.certificate.get())) == 1;
  return made ? std::move(list) : nullptr;
}

bool add_to_list(X509_CRL* list, X509* certificate) {
  std::unique_ptr<X509_REVOKED, OpensslFree<X509_REVOKED_free>> entry(X509_REVOKED_new());
  const TimePtr now(X509_gmtime_adj(nullptr, 0));
  const bool made =
      entry != nullptr && now != nullptr &&
      X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(certificate)) == 1 &&
      X509_REVOKED_set_revocationDate(entry.get(), now.get()) == 1 &&
      X509_CRL_add0_revoked(list, entry.get()) == 1;
  if (made) static_cast<void>(entry.release());  // owned by the list now
  return made;
}

tl::expected<Ca, PkiError> make_ca(const CaOptions& options) {
  Ca ca{X509Ptr(X509_new()), PkeyPtr(EVP_EC_gen("P-256"))};
  X509* const c = ca.certificate.get();
  const bool made = c != nullptr && ca.key != nullptr && X509_set_version(c, X509_VERSION_3) == 1 &&
                    set_random_serial(c) && set_validity(c, options.days) &&
                    set_common_name(c, options.common_name) &&
                    X509_set_issuer_name(c, X509_get_subject_name(c)) == 1 &&
                    X509_set_pubkey(c, ca.key.get()) == 1 &&
                    add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(c, c, NID_subject_key_identifier, "hash") &&
                    X509_sign(c, ca.key.get(), EVP_sha256()) > 0;
  if (!made) return tl::unexpected(refused_by_openssl("certificate authority"));
  return ca;
}

tl::expected<X509Ptr, PkiError> make_certificate(const Ca& ca, EVP_PKEY* key,
                                                 const IssueOptions& options) {
  X509Ptr certificate(X509_new());
  X509* const c = certificate.get();
  X509* const issuer = ca.certificate.get();
  bool made =
      c != nullptr && key != nullptr && X509_set_version(c, X509_VERSION_3) == 1 &&
      set_random_serial(c) && set_validity(c, options.days) && set_common_name(c, options.name) &&
      X509_set_issuer_name(c, X509_get_subject_name(issuer)) == 1 && X509_set_pubkey(c, key) == 1 &&
      add_extension(c, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(c, issuer, NID_key_usage, "critical,digitalSignature") &&
      add_extension(c, issuer, NID_ext_key_usage, extended_usage(options.kind)) &&
      add_extension(c, issuer, NID_authority_key_identifier, "keyid");
  if (!made) return tl::unexpected(refused_by_openssl("certificate \"" + options.name + "\""));
  if (auto ok = add_alternative_names(c, options); !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  if (X509_sign(c, ca.key.get(), EVP_sha256()) > 0) return certificate;
  return tl::unexpected(refused_by_openssl("certificate \"" + options.name + "\""));
}

tl::expected<void, PkiError> check_all_absent(const std::vector<std::string>& files, bool force) {
  for (const std::string& file : files) {
    if (force) break;
    if (auto ok = check_absent(file); !ok) return ok;
  }
  return {};
}

}  // namespace

tl::expected<void, PkiError> init_ca(const std::string& dir, const CaOptions& options) {
  if (auto ok = check_name(options.common_name); !ok) return ok;
  if (auto ok = check_days(options.days); !ok) return ok;
  if (auto ok = make_directory(dir); !ok) return ok;
  if (auto ok = check_all_absent({ca_file(dir), ca_key_file(dir), ca_crl_file(dir)}, options.force);
      !ok) {
    return ok;
  }
  auto ca = make_ca(options);
  if (!ca) return tl::unexpected(std::move(ca.error()));
  const X509CrlPtr list = empty_list(*ca);
  if (list == nullptr || !seal(list.get(), *ca)) {
    return tl::unexpected(refused_by_openssl(ca_crl_file(dir)));
  }
  const Existing existing = options.force ? Existing::replace : Existing::keep;
  auto written =
      write_pair({ca_file(dir), ca_key_file(dir)}, ca->certificate.get(), ca->key.get(), existing);
  if (!written) return written;
  return write_file({ca_crl_file(dir), list_text(list.get()), 0644}, existing);
}

tl::expected<Issued, PkiError> issue(const std::string& dir, const IssueOptions& options) {
  if (auto ok = check_name(options.name); !ok) return tl::unexpected(std::move(ok.error()));
  if (auto ok = check_days(options.days); !ok) return tl::unexpected(std::move(ok.error()));
  if (options.out_prefix.empty() && (options.name.find('/') != std::string::npos ||
                                     options.name.front() == '.' || options.name == "ca")) {
    return tl::unexpected(invalid("name: \"" + options.name +
                                  "\" cannot be a file name here; say where the files go with an "
                                  "output prefix"));
  }
  const std::string prefix =
      options.out_prefix.empty() ? dir + "/" + options.name : options.out_prefix;
  Issued files{prefix + ".pem", prefix + ".key"};
  if (auto ok = check_all_absent({files.certificate_file, files.private_key_file}, options.force);
      !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  const auto ca = load_ca(dir);
  if (!ca) return tl::unexpected(ca.error());
  const PkeyPtr key(EVP_EC_gen("P-256"));
  const auto certificate = make_certificate(*ca, key.get(), options);
  if (!certificate) return tl::unexpected(certificate.error());
  auto written = write_pair(files, certificate->get(), key.get(),
                            options.force ? Existing::replace : Existing::keep);
  if (!written) return tl::unexpected(std::move(written.error()));
  return files;
}

tl::expected<std::string, PkiError> revoke(const std::string& dir,
                                           const std::string& certificate_file) {
  const auto ca = load_ca(dir);
  if (!ca) return tl::unexpected(ca.error());
  auto certificates = tls::read_certificates(certificate_file);
  if (!certificates) return tl::unexpected(from_tls(std::move(certificates.error())));
  X509* const certificate = certificates->front().get();
  if (X509_verify(certificate, X509_get0_pubkey(ca->certificate.get())) != 1) {
    ERR_clear_error();
    return tl::unexpected(invalid(certificate_file + ": was not issued by the CA in " + dir +
                                  "; revoke it where it was issued"));
  }
  const std::string file = ca_crl_file(dir);
  auto lists = tls::read_revocation_lists(file);
  if (!lists) return tl::unexpected(from_tls(std::move(lists.error())));
  X509_CRL* const list = lists->front().get();
  X509_REVOKED* found = nullptr;
  if (X509_CRL_get0_by_cert(list, &found, certificate) == 1) return file;
  if (!add_to_list(list, certificate) || !seal(list, *ca)) {
    return tl::unexpected(refused_by_openssl(file));
  }
  auto written = write_file({file, list_text(list), 0644}, Existing::replace);
  if (!written) return tl::unexpected(std::move(written.error()));
  return file;
}

}  // namespace sink::tools
