/* The client half of core/http.h over libcurl: one easy handle a thread, kept so that its connections are. */
#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#include "core/http.h"

enum { CONNECT_TIMEOUT_MS = 5000 };
#define ANSWER_BYTES_MAX ((size_t)256 * 1024 * 1024)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t handle_key;
static bool usable;

static void free_handle(void *handle) {
    curl_easy_cleanup(handle);
}

static void init_once(void) {
    usable = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && pthread_key_create(&handle_key, free_handle) == 0;
}

static CURL *thread_handle(void) {
    pthread_once(&once, init_once);
    if (!usable) return NULL;
    CURL *handle = pthread_getspecific(handle_key);
    if (handle) {
        curl_easy_reset(handle); /* options go, connections stay */
        return handle;
    }
    handle = curl_easy_init();
    if (handle && pthread_setspecific(handle_key, handle) != 0) {
        curl_easy_cleanup(handle);
        handle = NULL;
    }
    return handle;
}

typedef struct sink {
    weir_buf *body;
    bool too_long, no_memory;
} sink;

static size_t take_bytes(char *data, size_t one, size_t len, void *context) {
    (void)one;
    sink *into = context;
    into->too_long = into->body->len + len > ANSWER_BYTES_MAX;
    into->no_memory = !into->too_long && !weir_buf_append(into->body, data, len);
    return into->too_long || into->no_memory ? 0 : len;
}

/* The URL for messages: without "user:password@". */
static void describe(const char *url, char *text, size_t size) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    snprintf(text, size, "%.*s%s", (int)(host - url), url, at ? at + 1 : host);
}

/* A proxy of the environment cannot reach this machine's loopback. */
static bool is_loopback(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return !strncmp(host, "127.", 4) || !strncmp(host, "localhost", 9) || !strncmp(host, "[::1]", 5);
}

static void set_options(CURL *handle, const char *method, const char *url, const void *body, size_t body_len, int timeout_ms) {
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms > 0 && timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS));
    if (is_loopback(url)) curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
    if (!strcmp(method, "HEAD")) {
        curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
        return;
    }
    if (body || !strcmp(method, "POST") || !strcmp(method, "PUT")) {
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body ? body : "");
    }
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
}

static weir_status failure(CURLcode code, const sink *into, const char *method, const char *url, int timeout_ms, const char *detail, weir_err *err) {
    char where[256];
    describe(url, where, sizeof where);
    if (into->too_long) return WEIR_FAIL(err, WEIR_ELIMIT, "%s %s: the answer is longer than %zu bytes", method, where, ANSWER_BYTES_MAX);
    if (into->no_memory || code == CURLE_OUT_OF_MEMORY) return WEIR_FAIL(err, WEIR_ENOMEM, "%s %s: no memory for the answer", method, where);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) return WEIR_FAIL(err, WEIR_EINVAL, "\"%s\" is not an http or https URL", where);
    if (code == CURLE_OPERATION_TIMEDOUT) return WEIR_RETRY(err, WEIR_ETIMEOUT, "%s %s did not answer within %d ms", method, where, timeout_ms);
    return WEIR_RETRY(err, WEIR_ENET, "%s %s: %s", method, where, *detail ? detail : curl_easy_strerror(code));
}

/* "name: value" behind the others; value NULL: nothing. Takes headers; NULL in, or no memory: NULL. */
static struct curl_slist *add_header(struct curl_slist *headers, const char *name, const char *value) {
    char line[512];
    if (!headers || !value) return headers;
    snprintf(line, sizeof line, "%s%s", name, value);
    struct curl_slist *longer = curl_slist_append(headers, line);
    if (!longer) curl_slist_free_all(headers);
    return longer;
}

weir_status weir_http_call(const char *method, const char *url, const char *content_type, const void *body, size_t body_len, int timeout_ms, int *ret_status,
                           weir_buf *ret_body, weir_err *err) {
    return weir_http_call_as(NULL, method, url, content_type, body, body_len, timeout_ms, ret_status, ret_body, err);
}

weir_status weir_http_call_as(const char *token, const char *method, const char *url, const char *content_type, const void *body, size_t body_len,
                              int timeout_ms, int *ret_status, weir_buf *ret_body, weir_err *err) {
    CURL *handle = thread_handle();
    if (!handle) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an HTTP client");
    /* "Expect: 100-continue" would cost a round trip, and a second when the server does not know it. */
    struct curl_slist *headers = add_header(curl_slist_append(NULL, "Expect:"), "Content-Type: ", content_type);
    headers = add_header(headers, "Authorization: Bearer ", token);
    if (!headers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an HTTP request");

    char detail[CURL_ERROR_SIZE] = "";
    weir_buf answer = {0};
    sink into = {.body = &answer};
    set_options(handle, method, url, body, body_len, timeout_ms);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &into);
    CURLcode code = curl_easy_perform(handle);
    long http_status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &http_status);
    /* The handle outlives this frame and must not remember its addresses. */
    curl_easy_reset(handle);
    curl_slist_free_all(headers);

    bool ok = code == CURLE_OK && weir_buf_reserve(&answer, 0);
    into.no_memory |= code == CURLE_OK && !ok;
    if (!ok) {
        weir_buf_done(&answer);
        return failure(code, &into, method, url, timeout_ms, detail, err);
    }
    if (ret_status) *ret_status = (int)http_status;
    if (ret_body) {
        weir_buf_done(ret_body);
        *ret_body = answer;
    } else {
        weir_buf_done(&answer);
    }
    return WEIR_OK;
}
