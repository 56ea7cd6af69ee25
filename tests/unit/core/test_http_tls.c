/* HTTPS with a certificate made for the test, and what is said of certificates and keys that cannot serve. */
#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/http.h"

static char folder[] = "/tmp/weir-tls-XXXXXX";
static char certificate_path[64], key_path[64], other_key_path[64], expired_path[64], empty_path[64];

static EVP_PKEY *make_key(const char *path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(path, "w");
    assert_true(key && file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    return key;
}

static void make_certificate(const char *path, EVP_PKEY *key, long seconds) {
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    FILE *file = fopen(path, "w");
    assert_true(file && X509_sign(certificate, key, EVP_sha256()) && PEM_write_X509(file, certificate));
    fclose(file);
    X509_free(certificate);
}

static int make_files(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    char *const paths[] = {certificate_path, key_path, other_key_path, expired_path, empty_path};
    for (int i = 0; i < 5; i++) snprintf(paths[i], sizeof certificate_path, "%s/%d.pem", folder, i);
    EVP_PKEY *key = make_key(key_path), *other = make_key(other_key_path);
    make_certificate(certificate_path, key, 86400);
    make_certificate(expired_path, key, -3600);
    fclose(fopen(empty_path, "w"));
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    char *const paths[] = {certificate_path, key_path, other_key_path, expired_path, empty_path};
    for (int i = 0; i < 5; i++) unlink(paths[i]);
    return rmdir(folder);
}

static weir_status start(const char *certificate, const char *key, weir_http_server **ret_server, weir_err *err) {
    return weir_http_server_start_with(
        &(weir_http_options){.host = "127.0.0.1", .threads = 2, .max_body_bytes = 1000, .tls_certificate = certificate, .tls_key = key}, ret_server, err);
}

static size_t drop(const void *bytes, size_t size, size_t count, void *context) {
    (void)bytes;
    *(size_t *)context += size * count;
    return size * count;
}

static CURLcode fetch(const char *scheme, int port, const char *authority, long version, long *ret_status) {
    char url[64];
    size_t len = 0;
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof url, "%s://127.0.0.1:%d/metrics", scheme, port);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, version);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &len);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    return code;
}

static void a_client_that_trusts_the_certificate_is_answered(void **state) {
    (void)state;
    weir_http_server *server = NULL;
    weir_err err = {0};
    long status = 0;
    if (start(certificate_path, key_path, &server, &err)) fail_msg("%s", err.message);
    int port = weir_http_server_port(server);
    assert_int_equal(fetch("https", port, certificate_path, CURL_SSLVERSION_TLSv1_3, &status), CURLE_OK);
    assert_int_equal(status, 200);
    assert_int_equal(fetch("https", port, certificate_path, CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2, &status), CURLE_OK);
    assert_int_equal(fetch("https", port, expired_path, CURL_SSLVERSION_TLSv1_2, &status), CURLE_PEER_FAILED_VERIFICATION);
    assert_int_not_equal(fetch("http", port, certificate_path, CURL_SSLVERSION_TLSv1_2, &status), CURLE_OK); /* plain text is no way in */
    weir_http_server_stop(server);
}

static void files_that_cannot_serve_are_named_with_the_reason(void **state) {
    (void)state;
    const struct {
        const char *certificate, *key, *words;
    } cases[] = {
        {"/no/such/file", key_path, "http_tls_cert: /no/such/file cannot be read: No such file"},
        {certificate_path, "/no/such/file", "http_tls_key: /no/such/file cannot be read: No such file"},
        {folder, key_path, "http_tls_cert: "},
        {empty_path, key_path, "has 0 bytes: expected PEM text"},
        {key_path, key_path, "holds no certificate in PEM form"},
        {certificate_path, certificate_path, "holds no private key in PEM form"},
        {certificate_path, other_key_path, "is not that of the certificate"},
        {expired_path, key_path, "has expired"},
        {certificate_path, NULL, "http_tls_cert is given, http_tls_key is not: TLS needs both"},
        {"", key_path, "http_tls_key is given, http_tls_cert is not: TLS needs both"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_http_server *server = NULL;
        weir_err err = {0};
        assert_int_equal(start(cases[i].certificate, cases[i].key, &server, &err), WEIR_EINVAL);
        if (!strstr(err.message, cases[i].words)) fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.message, cases[i].words);
        assert_null(server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_trusts_the_certificate_is_answered),
        cmocka_unit_test(files_that_cannot_serve_are_named_with_the_reason),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
