// Implements trust.h.
#include "tls/trust.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tls/openssl_ptr.h"
#include "tls/pem_file.h"

namespace sink::tls {
namespace {

using Certificates = std::vector<X509Ptr>;
using RevocationLists = std::vector<X509CrlPtr>;

// SHA-256 over two DER encodings, each with its length in front.
class DigestOfTwo {
 public:
  void add(const unsigned char* bytes, int size) {
    if (size < 0 || bytes == nullptr) return;
    for (int shift = 24; shift >= 0; shift -= 8) text_ += static_cast<char>(size >> shift);
    text_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }

  Digest finish() const {
    unsigned char full[EVP_MAX_MD_SIZE] = {};
    EVP_Digest(text_.data(), text_.size(), full, nullptr, EVP_sha256(), nullptr);
    Digest digest;
    std::memcpy(digest.data(), full, digest.size());
    return digest;
  }

 private:
  std::string text_;
};

Digest digest_of(const X509_NAME* issuer, const ASN1_INTEGER* serial) {
  DigestOfTwo digest;
  unsigned char* der = nullptr;
  const int size = i2d_X509_NAME(issuer, &der);
  digest.add(der, size);
  OPENSSL_free(der);
  digest.add(ASN1_STRING_get0_data(serial), ASN1_STRING_length(serial));
  return digest.finish();
}

Digest anchor_digest(X509* certificate) {
  DigestOfTwo digest;
  unsigned char* der = nullptr;
  int size = i2d_X509_NAME(X509_get_subject_name(certificate), &der);
  digest.add(der, size);
  OPENSSL_free(der);
  der = nullptr;
  size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  digest.add(der, size);
  OPENSSL_free(der);
  return digest.finish();
}

bool same_name(const X509_NAME* a, const X509_NAME* b) {
  return X509_NAME_cmp(a, b) == 0;
}

// A verified chain ends at a self-issued certificate, so each issuer has to be in the bundle.
tl::expected<void, TlsError> check_issuers(const Certificates& bundle, const std::string& file) {
  for (const X509Ptr& certificate : bundle) {
    const X509_NAME* issuer = X509_get_issuer_name(certificate.get());
    const bool present = std::any_of(bundle.begin(), bundle.end(), [&](const X509Ptr& other) {
      return same_name(issuer, X509_get_subject_name(other.get()));
    });
    if (present) continue;
    return tl::unexpected(
        TlsError{TlsErrorCode::incomplete,
                 file + ": \"" + name_text(X509_get_subject_name(certificate.get())) +
                     "\" was issued by \"" + name_text(issuer) +
                     "\", which is not in the file; append that CA's certificate"});
  }
  return {};
}

tl::expected<void, TlsError> check_lists(const Certificates& bundle, const RevocationLists& lists,
                                         const std::string& file, uint64_t now_ms) {
  for (const X509CrlPtr& list : lists) {
    const uint64_t next_ms = time_ms(X509_CRL_get0_nextUpdate(list.get()));
    if (next_ms == 0 || next_ms > now_ms) continue;
    return tl::unexpected(TlsError{
        TlsErrorCode::expired, file + ": the revocation list of \"" +
                                   name_text(X509_CRL_get_issuer(list.get())) + "\" expired on " +
                                   time_text(next_ms) + "; fetch or make a newer one"});
  }
  for (const X509Ptr& ca : bundle) {
    if (X509_check_ca(ca.get()) == 0) continue;
    const X509_NAME* name = X509_get_subject_name(ca.get());
    const bool listed = std::any_of(lists.begin(), lists.end(), [&](const X509CrlPtr& list) {
      return same_name(name, X509_CRL_get_issuer(list.get())) &&
             X509_CRL_verify(list.get(), X509_get0_pubkey(ca.get())) == 1;
    });
    if (listed) continue;
    return tl::unexpected(
        TlsError{TlsErrorCode::incomplete,
                 file + ": no revocation list signed by \"" + name_text(name) +
                     "\"; append that CA's list (with one list given, every CA needs one)"});
  }
  return {};
}

tl::expected<void, TlsError> check_bundle(const Certificates& bundle, const std::string& file,
                                          uint64_t now_ms) {
  uint64_t latest = 0;
  for (const X509Ptr& ca : bundle) {
    latest = std::max(latest, time_ms(X509_get0_notAfter(ca.get())));
  }
  if (latest > now_ms) return check_issuers(bundle, file);
  return tl::unexpected(TlsError{
      TlsErrorCode::expired, file + ": the last CA certificate in it expired on " +
                                 time_text(latest) + "; put the CA's renewed certificate there"});
}

TlsError refused_by_openssl(const std::string& file) {
  return {TlsErrorCode::openssl_failed,
          file + ": OpenSSL cannot use it (" + take_openssl_error() + "); write the file anew"};
}

}  // namespace

const char* to_string(PeerStatus status) {
  switch (status) {
    case PeerStatus::valid:
      return "valid";
    case PeerStatus::expired:
      return "certificate has expired";
    case PeerStatus::revoked:
      return "certificate is revoked";
    case PeerStatus::untrusted:
      return "certificate authority is no longer trusted";
  }
  return "unknown";
}

PeerRecord peer_record(const SSL* ssl) {
  PeerRecord record;
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  if (count == 0 || count > static_cast<int>(kChainLinksMax) + 1) return record;
  record.anchor = anchor_digest(sk_X509_value(chain, count - 1));
  // A peer whose own certificate is the anchor is its only link.
  const int links = std::max(count - 1, 1);
  record.not_after_ms = UINT64_MAX;
  for (int i = 0; i < links; ++i) {
    X509* link = sk_X509_value(chain, i);
    record.links[record.link_count++] =
        digest_of(X509_get_issuer_name(link), X509_get0_serialNumber(link));
    record.not_after_ms = std::min(record.not_after_ms, time_ms(X509_get0_notAfter(link)));
  }
  return record;
}

tl::expected<Trust, TlsError> Trust::load(SSL_CTX* context, const TrustFiles& files,
                                          const std::string& role, uint64_t now_ms) {
  Trust trust;
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  auto bundle = read_certificates(files.ca_file);
  if (!bundle) return tl::unexpected(std::move(bundle.error()));
  if (auto ok = check_bundle(*bundle, files.ca_file, now_ms); !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  for (const X509Ptr& ca : *bundle) {
    if (X509_STORE_add_cert(store, ca.get()) != 1) {
      return tl::unexpected(refused_by_openssl(files.ca_file));
    }
    trust.anchors_.push_back({anchor_digest(ca.get()), time_ms(X509_get0_notAfter(ca.get()))});
    trust.rows_.push_back(describe(ca.get(), role + "_ca", files.ca_file));
  }
  if (files.crl_file.empty()) return trust;
  auto lists = read_revocation_lists(files.crl_file);
  if (!lists) return tl::unexpected(std::move(lists.error()));
  if (auto ok = check_lists(*bundle, *lists, files.crl_file, now_ms); !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  for (const X509CrlPtr& list : *lists) {
    if (X509_STORE_add_crl(store, list.get()) != 1) {
      return tl::unexpected(refused_by_openssl(files.crl_file));
    }
    trust.add_revoked(list.get());
    trust.rows_.push_back(describe(list.get(), role + "_crl", files.crl_file));
  }
  std::sort(trust.revoked_.begin(), trust.revoked_.end());
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return trust;
}

void Trust::add_revoked(X509_CRL* list) {
  const STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(list);
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(entries, i);
    revoked_.push_back(digest_of(X509_CRL_get_issuer(list), X509_REVOKED_get0_serialNumber(entry)));
  }
}

PeerStatus Trust::judge(const PeerRecord& record, uint64_t now_ms) const {
  bool known = false;
  bool current = false;
  for (const Anchor& anchor : anchors_) {
    if (anchor.name_and_key != record.anchor) continue;
    known = true;
    current = current || anchor.not_after_ms > now_ms;
  }
  if (!known || record.link_count == 0) return PeerStatus::untrusted;
  for (size_t i = 0; i < record.link_count; ++i) {
    if (std::binary_search(revoked_.begin(), revoked_.end(), record.links[i])) {
      return PeerStatus::revoked;
    }
  }
  return current && record.not_after_ms > now_ms ? PeerStatus::valid : PeerStatus::expired;
}

}  // namespace sink::tls
