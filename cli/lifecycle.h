/* What the commands prepare_data, train_model, register_model and validate_model share. */
#ifndef WEIR_CLI_LIFECYCLE_H
#define WEIR_CLI_LIFECYCLE_H

#include "cli/command.h"
#include "models/lifecycle.h"

/* Items that several have. */
#define WEIR_CATALOG_ITEM(object, member, marks)                                                                                                               \
    { .name = "catalog", .type = WEIR_CONF_STRING, .offset = offsetof(object, member), .flags = (marks), .doc = "name of the catalog" }
#define WEIR_SCHEMA_ITEM(object, member, marks)                                                                                                                \
    {                                                                                                                                                          \
        .name = "schema", .type = WEIR_CONF_STRING, .offset = offsetof(object, member), .flags = (marks),                                                      \
        .doc = "name of the schema; its tables are those of PostgreSQL's schema \"catalog.schema\""                                                            \
    }
#define WEIR_ENVIRONMENT_ITEM(object, member, marks)                                                                                                           \
    { .name = "environment", .type = WEIR_CONF_STRING, .offset = offsetof(object, member), .flags = (marks), .doc = "dev, aut or prod" }
#define WEIR_MODEL_NAME_ITEM(object, member)                                                                                                                   \
    { .name = "model_name", .type = WEIR_CONF_STRING, .offset = offsetof(object, member), .flags = WEIR_CONF_REQUIRED, .doc = "name of the model" }

/** dev, aut or prod; NULL is right too. */
weir_status weir_environment_check(const char *environment, weir_err *err) WEIR_MUST_CHECK;
/** Names of models are parts of paths. */
weir_status weir_model_name_check(const char *name, weir_err *err) WEIR_MUST_CHECK;
/** Connects, and brings the tables of the schema weir up to date or checks that they may be used. */
weir_status weir_lifecycle_connect(const weir_settings *settings, weir_pg **ret_pg, weir_err *err) WEIR_MUST_CHECK;
/** "/Shared/catalog/schema/training" of "catalog.schema"; the caller's buffer. */
const char *weir_default_experiment(const char *space, char text[WEIR_NAME_MAX + 32]);

/** How these commands fail: scripts branch on exit code 1, which is an answer ("no better", "not valid") and never a failure. What was named and is not there is used wrongly (2), all else
 *  failed (3). */
weir_status weir_lifecycle_failed(weir_status status, weir_err *err) WEIR_MUST_CHECK;

#endif
