/* Which versions of a pipeline's models there are and what aliases point at, as weir.models tells it: so that a model is found by what somebody calls it. */
#ifndef WEIR_CONSUMERS_CATALOGUE_H
#define WEIR_CONSUMERS_CATALOGUE_H

#include <stdint.h>

#include "core/err.h"

enum { WEIR_ALIAS_MAX = 96, WEIR_CATALOGUE_MAX = 16384 /* versions, and aliases; beyond, the one that was heard of first is forgotten */ };

typedef struct weir_catalogue_entry {
    char alias[WEIR_ALIAS_MAX]; /* empty: a version by itself */
    char name[64], digest[65], path[512];
    int version;
    double threshold; /* the version's own; NaN: none */
} weir_catalogue_entry;

/* Zero-initialised: empty. One thread at a time. */
typedef struct weir_catalogue {
    weir_catalogue_entry **entries; /* in the order in which they came */
    int count, capacity;
} weir_catalogue;
void weir_catalogue_done(weir_catalogue *catalogue);

/** Takes a version, or what an alias points at now (copied). WEIR_ENOMEM: it is as it was. */
weir_status weir_catalogue_put(weir_catalogue *catalogue, const weir_catalogue_entry *entry, weir_err *err) WEIR_MUST_CHECK;
void weir_catalogue_drop_alias(weir_catalogue *catalogue, const char *alias);
/** A deleted version; no alias points at it. */
void weir_catalogue_drop_version(weir_catalogue *catalogue, const char *name, int version);
/** "champion", "fraud-logistic" (its highest version), "fraud-logistic/3" or "fraud-logistic:3"; an alias comes before a model of the same name. NULL: there is no such. */
const weir_catalogue_entry *weir_catalogue_find(const weir_catalogue *catalogue, const char *what);

#endif
