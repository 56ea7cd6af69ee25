/* Which tenants are counted for drift by themselves: the first that came, at most so many, as weir.drift_tenants remembers them. All others are one rest without a name.
 *
 * A name is given in PostgreSQL, under a lock, before the first record is counted under it, and never taken away (weir reset does): whoever counts a partition next, and whoever counts
 * another one now, has the same tenants. */
#ifndef WEIR_CONSUMERS_DRIFT_TENANTS_H
#define WEIR_CONSUMERS_DRIFT_TENANTS_H

#include "core/pg.h"

enum { WEIR_DRIFT_TENANT_REST = -1, WEIR_DRIFT_TENANT_NAME_MAX = 128 }; /* a tenant with a name of more bytes is of the rest */

typedef struct weir_drift_tenants weir_drift_tenants;
/** max: how many are told apart; 0: none. pipeline is borrowed. */
weir_status weir_drift_tenants_new(weir_pg *pg, const char *pipeline, int max, weir_drift_tenants **ret_tenants, weir_err *err) WEIR_MUST_CHECK;
void weir_drift_tenants_free(weir_drift_tenants *tenants);
/** The tenant's number, 0 … max - 1, which stays; or WEIR_DRIFT_TENANT_REST. One that was not seen yet is named while there is room. Outside of a transaction; PostgreSQL is asked at most
 *  once for each name, and not at all when all are given. */
weir_status weir_drift_tenants_number(weir_drift_tenants *tenants, const char *name, size_t len, int *ret_number, weir_err *err) WEIR_MUST_CHECK;
/** Of a number that was returned; "" of the rest. Borrowed until the next name is asked for. */
const char *weir_drift_tenants_name(const weir_drift_tenants *tenants, int number);

#endif
