// Implements pem_file.h. Files are read whole and parsed from memory, so that "cannot be read" and
// "holds something else" are told apart.
#include "tls/pem_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace sink::tls {
namespace {

constexpr size_t kFileBytesMax = 64 * 1024 * 1024;  // revocation lists of big fleets are megabytes

TlsError unreadable(const std::string& file, int error) {
  if (error == ENOENT) {
    return {TlsErrorCode::file_missing,
            file +
                ": no such file; correct the path in the configuration or create it "
                "(sinkctl pki init and sinkctl pki issue make development certificates)"};
  }
  return {TlsErrorCode::file_unreadable, file + ": cannot be read (" + std::strerror(error) +
                                             "); check owner and mode for the user this runs as"};
}

tl::expected<std::string, TlsError> read_file(const std::string& file) {
  std::FILE* stream = std::fopen(file.c_str(), "rbe");
  if (stream == nullptr) return tl::unexpected(unreadable(file, errno));
  std::string bytes;
  char chunk[16 * 1024];
  size_t n = 0;
  while (bytes.size() <= kFileBytesMax && (n = std::fread(chunk, 1, sizeof chunk, stream)) > 0) {
    bytes.append(chunk, n);
  }
  const int error = std::ferror(stream) != 0 ? errno : 0;
  OPENSSL_cleanse(chunk, sizeof chunk);
  std::fclose(stream);
  if (error != 0) return tl::unexpected(unreadable(file, error));
  if (bytes.size() > kFileBytesMax) {
    return tl::unexpected(TlsError{TlsErrorCode::file_unreadable,
                                   file + ": larger than 64 MiB; is this the right file?"});
  }
  return bytes;
}

int refuse_passphrase(char*, int, int, void*) {
  return -1;
}

// True when the last parse ended because the file held no (further) object of the kind.
bool ended_without_object() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// Collects with `read_one(bio)` until the file is exhausted.
template <typename Ptr, typename ReadOne>
tl::expected<std::vector<Ptr>, TlsError> read_all(const std::string& file, const char* kind,
                                                  const char* label, ReadOne read_one) {
  auto bytes = read_file(file);
  if (!bytes) return tl::unexpected(std::move(bytes.error()));
  const BioPtr bio(BIO_new_mem_buf(bytes->data(), static_cast<int>(bytes->size())));
  std::vector<Ptr> found;
  ERR_clear_error();
  while (bio != nullptr) {
    Ptr one(read_one(bio.get()));
    if (one == nullptr) break;
    found.push_back(std::move(one));
  }
  if (!found.empty() && ended_without_object()) {
    ERR_clear_error();
    return found;
  }
  if (ended_without_object()) {
    ERR_clear_error();
    return tl::unexpected(TlsError{TlsErrorCode::not_pem, file + ": no " + kind +
                                                              " in it; it must hold PEM text with "
                                                              "\"-----BEGIN " +
                                                              label + "-----\""});
  }
  return tl::unexpected(TlsError{TlsErrorCode::not_pem, file + ": damaged " + kind + " number " +
                                                            std::to_string(found.size() + 1) +
                                                            " (" + take_openssl_error() +
                                                            "); write the file anew"});
}

}  // namespace

std::string take_openssl_error() {
  const unsigned long error = ERR_get_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  ERR_clear_error();
  return reason == nullptr ? "unspecified error" : reason;
}

tl::expected<std::vector<X509Ptr>, TlsError> read_certificates(const std::string& file) {
  return read_all<X509Ptr>(file, "certificate", "CERTIFICATE", [](BIO* bio) {
    return PEM_read_bio_X509(bio, nullptr, refuse_passphrase, nullptr);
  });
}

tl::expected<std::vector<X509CrlPtr>, TlsError> read_revocation_lists(const std::string& file) {
  return read_all<X509CrlPtr>(file, "revocation list", "X509 CRL", [](BIO* bio) {
    return PEM_read_bio_X509_CRL(bio, nullptr, refuse_passphrase, nullptr);
  });
}

tl::expected<PkeyPtr, TlsError> read_private_key(const std::string& file) {
  auto bytes = read_file(file);
  if (!bytes) return tl::unexpected(std::move(bytes.error()));
  const BioPtr bio(BIO_new_mem_buf(bytes->data(), static_cast<int>(bytes->size())));
  ERR_clear_error();
  PkeyPtr key(bio == nullptr
                  ? nullptr
                  : PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
  const bool encrypted = bytes->find("ENCRYPTED") != std::string::npos;
  OPENSSL_cleanse(bytes->data(), bytes->size());
  if (key != nullptr) {
    ERR_clear_error();
    return key;
  }
  const std::string reason = take_openssl_error();
  if (encrypted) {
    return tl::unexpected(TlsError{TlsErrorCode::not_pem,
                                   file +
                                       ": the private key is encrypted and nobody is there to ask "
                                       "for its passphrase; decrypt it with: openssl pkey -in " +
                                       file + " -out NEWFILE"});
  }
  return tl::unexpected(TlsError{TlsErrorCode::not_pem, file + ": no usable private key in it (" +
                                                            reason +
                                                            "); it must hold PEM text with "
                                                            "\"-----BEGIN PRIVATE KEY-----\""});
}

}  // namespace sink::tls
