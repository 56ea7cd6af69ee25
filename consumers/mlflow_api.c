#include "consumers/mlflow_api.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/http.h"

enum { CALL_TIMEOUT_MS = 15000, UPLOAD_TIMEOUT_MS = 120000, KEY_MAX = 250 };

bool weir_mlflow_escape(weir_buf *out, const char *text, bool is_path) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    bool fits = true;
    for (; fits && *text; text++)
        fits =
            strchr(plain, *text) || (is_path && *text == '/') ? weir_buf_append(out, text, 1) : weir_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    return fits;
}

void weir_mlflow_key(const char *name, char *out) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-. :/";
    size_t len = 0;
    for (; name[len] && len < KEY_MAX; len++) out[len] = strchr(allowed, name[len]) ? name[len] : '_';
    out[len] = 0;
}

/* What the server said, in its own words. */
static weir_status refusal(int http_status, const char *what, const weir_buf *answer, weir_err *err) {
    cJSON *json = answer->data ? cJSON_ParseWithLength(answer->data, answer->len) : NULL;
    const char *code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "error_code"));
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "message"));
    weir_status status;
    if (!message) message = "no message";
    if (http_status == 401 || http_status == 403)
        status = WEIR_RETRY(err, WEIR_EDENIED, "MLflow: %s: HTTP %d: the credentials do not allow it", what, http_status);
    else if (http_status == 500 && code)
        status = WEIR_RETRY(err, WEIR_EINTERNAL, "MLflow: %s: %.200s", what, message);
    else if (http_status >= 500 || http_status == 408 || http_status == 429 ||
             !code) /* without a code it is not MLflow that speaks, but a proxy, or the address is wrong */
        status = WEIR_RETRY(err, WEIR_ENET, "MLflow: %s: HTTP %d", what, http_status);
    else if (!strcmp(code, "RESOURCE_DOES_NOT_EXIST"))
        status = WEIR_REJECT(err, WEIR_ENOTFOUND, "MLflow: %s: %.200s", what, message);
    else if (!strcmp(code, "RESOURCE_ALREADY_EXISTS"))
        status = WEIR_REJECT(err, WEIR_ECONFLICT, "MLflow: %s: %.200s", what, message);
    else
        status = WEIR_REJECT(err, WEIR_EINVAL, "MLflow: %s: %s: %.200s", what, code, message);
    cJSON_Delete(json);
    return status;
}

static weir_status send(const weir_mlflow *m, const char *method, const char *url, const char *type, const void *body, size_t len, int timeout_ms,
                        int *ret_http, weir_buf *ret_answer, weir_err *err) {
    int64_t began_us = weir_clock_mono_us(weir_clock_system());
    weir_status status = weir_http_call_as(m->token, method, url, type, body, len, timeout_ms, ret_http, ret_answer, err);
    if (m->seconds) weir_metric_observe(m->seconds, (double)(weir_clock_mono_us(weir_clock_system()) - began_us) / 1e6);
    if (status == WEIR_ENOMEM && err) err->action = WEIR_ACTION_RETRY;
    return status;
}

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a request to MLflow");
}

weir_status weir_mlflow_call(const weir_mlflow *m, const char *method, const char *path, const cJSON *body, cJSON **ret_answer, weir_err *err) {
    weir_buf url = {0}, answer = {0};
    char what[48];
    int http_status = 0;
    char *text = body ? cJSON_PrintUnformatted(body) : NULL;
    snprintf(what, sizeof what, "%.*s", (int)strcspn(path, "?"), path);
    weir_status status = weir_buf_printf(&url, "%s/api/2.0/mlflow/%s", m->url, path) && (text || !body) ? WEIR_OK : no_memory(err);
    if (!status)
        status = send(m, method, url.data, text ? "application/json" : NULL, text, text ? strlen(text) : 0, CALL_TIMEOUT_MS, &http_status, &answer, err);
    if (!status && (http_status < 200 || http_status > 299)) status = refusal(http_status, what, &answer, err);
    if (!status && ret_answer) {
        *ret_answer = answer.data ? cJSON_ParseWithLength(answer.data, answer.len) : NULL;
        if (!*ret_answer) status = WEIR_RETRY(err, WEIR_ENET, "MLflow: %s: the answer is no JSON", what);
    }
    cJSON_free(text);
    weir_buf_done(&url);
    weir_buf_done(&answer);
    return status;
}

/* "mlflow-artifacts:/1/RUN/artifacts", or with "//host:port" before that: the path that the server's proxy knows. NULL: another store. */
static const char *proxied(const char *artifact_uri) {
    static const char scheme[] = "mlflow-artifacts:";
    if (strncmp(artifact_uri, scheme, sizeof scheme - 1) != 0) return NULL;
    const char *path = artifact_uri + sizeof scheme - 1;
    if (!strncmp(path, "//", 2)) path = strchr(path + 2, '/');
    while (path && *path == '/') path++;
    return path;
}

weir_status weir_mlflow_put(const weir_mlflow *m, const char *artifact_uri, const char *path, const weir_buf *bytes, weir_err *err) {
    const char *folder = proxied(artifact_uri);
    weir_buf url = {0}, answer = {0};
    int http_status = 0;
    if (!folder) return WEIR_REJECT(err, WEIR_EINVAL, "MLflow keeps artifacts at %.60s, which is not behind its server", artifact_uri);
    bool fits = weir_buf_printf(&url, "%s/api/2.0/mlflow-artifacts/artifacts/", m->url) && weir_mlflow_escape(&url, folder, true) &&
                weir_buf_append(&url, "/", 1) && weir_mlflow_escape(&url, path, true) && weir_buf_append(&url, "", 1);
    weir_status status = fits ? WEIR_OK : no_memory(err);
    if (!status)
        status =
            send(m, "PUT", url.data, "application/octet-stream", bytes->data ? bytes->data : "", bytes->len, UPLOAD_TIMEOUT_MS, &http_status, &answer, err);
    if (!status && (http_status < 200 || http_status > 299)) status = refusal(http_status, "artifact", &answer, err);
    weir_buf_done(&url);
    weir_buf_done(&answer);
    return status;
}
