// Implements peer_memory.h. The session's reference to the peer's certificate cannot be taken away,
// so the certificate is emptied; the stacks of its issuers can be.
#include "tls/peer_memory.h"

#include <openssl/err.h>

#include "tls/openssl_ptr.h"

namespace sink::tls {
namespace {

using NamePtr = std::unique_ptr<X509_NAME, OpensslFree<X509_NAME_free>>;

// The smallest public key there is; one for all.
EVP_PKEY* empty_key() {
  static const PkeyPtr key = [] {
    constexpr unsigned char kBytes[32] = {9};  // the base point of X25519
    return PkeyPtr(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, kBytes, sizeof kBytes));
  }();
  return key.get();
}

const X509_NAME* empty_name() {
  static const NamePtr name(X509_NAME_new());
  return name.get();
}

void empty_stack(STACK_OF(X509) * certificates) {
  while (sk_X509_num(certificates) > 0) X509_free(sk_X509_pop(certificates));
}

void empty_certificate(X509* certificate) {
  if (empty_key() != nullptr) X509_set_pubkey(certificate, empty_key());
  if (empty_name() != nullptr) {
    X509_set_subject_name(certificate, empty_name());
    X509_set_issuer_name(certificate, empty_name());
  }
  while (X509_get_ext_count(certificate) > 0) {
    X509_EXTENSION_free(X509_delete_ext(certificate, 0));
  }
}

}  // namespace

void release_peer_memory(SSL* ssl) {
  ERR_clear_error();
  empty_stack(SSL_get_peer_cert_chain(ssl));
  empty_stack(SSL_get0_verified_chain(ssl));
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate != nullptr) empty_certificate(certificate);
  ERR_clear_error();  // what could not be replaced stays: nothing but memory is at stake
}

}  // namespace sink::tls
