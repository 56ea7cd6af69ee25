#include "cli/lifecycle.h"

#include <stdio.h>
#include <string.h>

weir_status weir_environment_check(const char *environment, weir_err *err) {
    static const char *const known[] = {"dev", "aut", "prod", NULL};
    int index;
    weir_status status = environment ? weir_action_find(environment, known, &index, err) : WEIR_OK;
    return status ? weir_err_prefix(err, "--environment") : WEIR_OK;
}

weir_status weir_model_name_check(const char *name, weir_err *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(name);
    if (len && len <= WEIR_NAME_MAX && strspn(name, letters) == len) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no name of a model; expected letters, digits, '_' or '-', at most %d", name, WEIR_NAME_MAX);
}

weir_status weir_lifecycle_connect(const weir_settings *settings, weir_pg **ret_pg, weir_err *err) {
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_lifecycle_open(pg, err);
    if (status)
        weir_pg_free(pg);
    else
        *ret_pg = pg;
    return status;
}

const char *weir_default_experiment(const char *space, char text[WEIR_NAME_MAX + 32]) {
    int catalog = (int)strcspn(space, ".");
    snprintf(text, WEIR_NAME_MAX + 32, "/Shared/%.*s/%s/training", catalog, space, space + catalog + 1);
    return text;
}

weir_status weir_lifecycle_failed(weir_status status, weir_err *err) {
    switch (weir_status_exit(status)) {
    case 1: return err->code = status == WEIR_ENOTFOUND ? WEIR_EINVAL : WEIR_EIO;
    default: return status;
    }
}
