/* <pipeline>.requests: who asks for a score, of what. The schema is made from the pipeline's:
 *
 *   request_id  string             comes back with the answer
 *   time        timestamp-micros   as of when; null: the time in the event, else the record's timestamp
 *   model       string             an alias, MODEL or MODEL/VERSION; null: as an event of that entity would be scored
 *   event       record             columns of the events, each nullable; null: the entity is the one of the key
 *   features    record             inputs of models, each nullable: what is given here is not looked up
 *
 * The key is that of an event of the entity, "tenant/entity": requests of one entity are then answered in their order. */
#ifndef WEIR_CONSUMERS_REQUESTS_H
#define WEIR_CONSUMERS_REQUESTS_H

#include "consumers/events.h"

enum { WEIR_REQUEST_ID_MAX = 255, WEIR_REQUEST_MODEL_MAX = 95 };

typedef struct weir_requests {
    const weir_pipeline *pipeline;
    weir_event_codec codec;
    int *columns; /* [event_count] which column of the events each member of `event` is */
    int *inputs; /* [feature_count] which input each member of `features` is */
    int event_count, feature_count;
    weir_datum *row; /* the request that was read last */
} weir_requests;

/* A request, resolved. Texts are the record's or belong to event and key, which the caller gives. */
typedef struct weir_request {
    weir_datum id, model; /* model is null where none is named */
    weir_datum *event; /* [columns of the events] null where nothing is given */
    bool is_event; /* it has all columns that an event must have, so it counts as one that is not known yet */
    size_t key_len, tenant_len; /* of the key, "tenant/entity" */
    int64_t t_us;
} weir_request;

/** inputs: where each of `columns`, the inputs of the pipeline's models, stands among the inputs; those below the number of the events' columns are columns of the event. Members
 *  that cannot be named in Avro (columns of nested records) are left out. */
weir_status weir_requests_init(weir_requests *requests, weir_registry *registry, const weir_pipeline *pipeline, const char *const *columns, const int *inputs,
                               int column_count, weir_err *err) WEIR_MUST_CHECK;
void weir_requests_done(weir_requests *requests);

/** Reads a record. event: [columns of the events]; key: "tenant/entity" of the request.
 *  Errors, all REJECT but those of the registry: one that cannot be read ("decode"), has no id, no entity, a time that no event may have ("future", "check"), or came under
 *  another key than its entity's ("key"); *ret_class is the word in brackets. */
weir_status weir_requests_read(weir_requests *requests, const weir_bus_record *record, int64_t now_us, weir_datum *event, char key[WEIR_KEY_MAX],
                               weir_request *ret_request, const char **ret_class, weir_err *err) WEIR_MUST_CHECK;
/** The features that the request read last gives, over the inputs; given [input count]: set for each. Returns how many there are. */
int weir_requests_override(const weir_requests *requests, double *inputs, bool *given);

#endif
