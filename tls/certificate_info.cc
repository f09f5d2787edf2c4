// Implements certificate_info.h.
#include "tls/certificate_info.h"

#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <utility>

#include "tls/openssl_ptr.h"

namespace sink::tls {
namespace {

using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;

std::string hex_text(const ASN1_INTEGER* number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const BignumPtr value(ASN1_INTEGER_to_BN(number, nullptr));
  if (value == nullptr) return {};
  std::string bytes(static_cast<size_t>(BN_num_bytes(value.get())), '\0');
  BN_bn2bin(value.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<uint8_t>(byte) >> 4];
    text += kDigits[static_cast<uint8_t>(byte) & 15];
  }
  return text.empty() ? "00" : text;
}

}  // namespace

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr) return {};
  // RFC 2253 order, with bytes outside ASCII escaped.
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size <= 0 ? std::string() : std::string(text, static_cast<size_t>(size));
}

uint64_t time_ms(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  const std::time_t seconds = timegm(&parts);
  return seconds <= 0 ? 0 : static_cast<uint64_t>(seconds) * 1000;
}

std::string time_text(uint64_t milliseconds) {
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts = {};
  char text[32];
  if (gmtime_r(&seconds, &parts) == nullptr) return "an unknown time";
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return std::string(text, size);
}

CertificateInfo describe(X509* certificate, std::string role, std::string file) {
  CertificateInfo info;
  info.role = std::move(role);
  info.file = std::move(file);
  info.subject = name_text(X509_get_subject_name(certificate));
  info.issuer = name_text(X509_get_issuer_name(certificate));
  info.serial = hex_text(X509_get0_serialNumber(certificate));
  info.not_before_ms = time_ms(X509_get0_notBefore(certificate));
  info.not_after_ms = time_ms(X509_get0_notAfter(certificate));
  return info;
}

CertificateInfo describe(X509_CRL* list, std::string role, std::string file) {
  CertificateInfo info;
  info.role = std::move(role);
  info.file = std::move(file);
  info.issuer = name_text(X509_CRL_get_issuer(list));
  const IntegerPtr number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(list, NID_crl_number, nullptr, nullptr)));
  if (number != nullptr) info.serial = hex_text(number.get());
  info.not_before_ms = time_ms(X509_CRL_get0_lastUpdate(list));
  info.not_after_ms = time_ms(X509_CRL_get0_nextUpdate(list));
  return info;
}

}  // namespace sink::tls
