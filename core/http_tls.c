/* The certificate and key of an HTTP server, checked before the server starts: libmicrohttpd would only say that it did not. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "core/http_internal.h"

enum { PEM_BYTES_MAX = 1 << 20 };

static weir_status read_pem(const char *path, weir_buf *ret_text, weir_err *err) {
    FILE *file = fopen(path, "re");
    if (!file) return WEIR_FAIL(err, WEIR_EINVAL, "%s cannot be read: %s", path, strerror(errno));
    char piece[4096];
    size_t n = 0;
    bool ok = true;
    while (ok && ret_text->len <= PEM_BYTES_MAX && (n = fread(piece, 1, sizeof piece, file)) > 0) ok = weir_buf_append(ret_text, piece, n);
    OPENSSL_cleanse(piece, sizeof piece);
    int failed = ferror(file) ? errno : 0;
    (void)fclose(file);
    if (!ok) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", path);
    if (failed) return WEIR_FAIL(err, WEIR_EINVAL, "%s cannot be read: %s", path, strerror(failed));
    if (!ret_text->len || ret_text->len > PEM_BYTES_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%s has %zu bytes: expected PEM text", path, ret_text->len);
    return WEIR_OK;
}

/* A key with a passphrase is none here: nobody could be asked for it. */
static int no_passphrase(char *text, int size, int writing, void *context) {
    (void)text, (void)size, (void)writing, (void)context;
    return 0;
}

static weir_status check_pair(const char *certificate_path, const char *key_path, const http_tls *tls, weir_err *err) {
    BIO *certificate_text = BIO_new_mem_buf(tls->certificate.data, (int)tls->certificate.len), *key_text = BIO_new_mem_buf(tls->key.data, (int)tls->key.len);
    X509 *certificate = certificate_text ? PEM_read_bio_X509(certificate_text, NULL, no_passphrase, NULL) : NULL;
    EVP_PKEY *key = key_text ? PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL) : NULL;
    weir_status status = WEIR_OK;
    if (!certificate)
        status = WEIR_FAIL(err, WEIR_EINVAL, "http_tls_cert: %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", certificate_path);
    else if (!key)
        status = WEIR_FAIL(err, WEIR_EINVAL, "http_tls_key: %s holds no private key in PEM form without a passphrase", key_path);
    else if (X509_check_private_key(certificate, key) != 1)
        status = WEIR_FAIL(err, WEIR_EINVAL, "http_tls_key: the key in %s is not that of the certificate in %s", key_path, certificate_path);
    else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        status = WEIR_FAIL(err, WEIR_EINVAL, "http_tls_cert: the certificate in %s has expired", certificate_path);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(certificate_text);
    BIO_free(key_text);
    return status;
}

weir_status http_tls_read(const char *certificate_path, const char *key_path, http_tls *ret_tls, weir_err *err) {
    http_tls tls = {0};
    weir_status status = read_pem(certificate_path, &tls.certificate, err);
    if (status) {
        weir_err_prefix(err, "http_tls_cert");
    } else if ((status = read_pem(key_path, &tls.key, err))) {
        weir_err_prefix(err, "http_tls_key");
    } else {
        status = check_pair(certificate_path, key_path, &tls, err);
    }
    if (status)
        http_tls_done(&tls);
    else
        *ret_tls = tls;
    return status;
}

void http_tls_done(http_tls *tls) {
    if (tls->key.data) OPENSSL_cleanse(tls->key.data, tls->key.capacity);
    weir_buf_done(&tls->certificate);
    weir_buf_done(&tls->key);
}
