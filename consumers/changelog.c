/* Following a features topic. */
#include "consumers/changelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum { WAITING_BITS = 1 << 20 };

/* A snapshot of the batch under way that is newer than what the store has. They are written at its end in the order of the
 * store's keys, which it is faster with. */
typedef struct snapshot {
    const char *key;
    size_t key_len, order;
    uint32_t hash;
    bool rebuilt; /* replaces a state of the same version */
    weir_online_value value;
} snapshot;

struct weir_changelog {
    weir_view *view;
    weir_features_codec *codec;
    weir_online *online;
    int index;
    weir_entities *entities;
    int32_t *epochs; /* [partitions] */
    int partitions;
    double *slots; /* [slot_count] scratch */
    uint32_t features_id;
    double *features; /* [feature_count] scratch; NULL: not kept in the store */
    weir_state state; /* scratch: a snapshot's */
    weir_buf bytes; /* scratch: an encoded state */
    snapshot *snapshots;
    size_t snapshot_count, snapshot_capacity;
    uint64_t waiting[WAITING_BITS / 64]; /* by hash: a snapshot of such an entity may be among them */
    weir_changelog_late_fn late;
    void *context;
};

weir_status weir_changelog_new(weir_view *view, weir_features_codec *codec, weir_online *online, int index, weir_entities *entities, int partitions,
                               weir_changelog_late_fn late, void *context, weir_changelog **ret_log, weir_err *err) {
    weir_changelog *log = calloc(1, sizeof *log);
    if (!log) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the changelog of a view");
    *log = (weir_changelog){
        .view = view, .codec = codec, .online = online, .index = index, .entities = entities, .partitions = partitions, .late = late, .context = context};
    log->epochs = calloc((size_t)partitions, sizeof *log->epochs);
    log->slots = calloc((size_t)weir_view_slot_count(view) + 1, sizeof *log->slots);
    if (!log->epochs || !log->slots) {
        weir_changelog_free(log);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the changelog of a view");
    }
    *ret_log = log;
    return WEIR_OK;
}

void weir_changelog_free(weir_changelog *log) {
    if (!log) return;
    free(log->epochs);
    free(log->slots);
    free(log->features);
    weir_state_done(&log->state);
    free(log->snapshots);
    weir_buf_done(&log->bytes);
    free(log);
}

/* ---- epochs ---- */

int32_t weir_changelog_epoch(const weir_changelog *log, int32_t partition) {
    return log->epochs[partition];
}
void weir_changelog_set_epoch(weir_changelog *log, int32_t partition, int32_t epoch) {
    if (epoch > log->epochs[partition]) log->epochs[partition] = epoch;
}

/* Among the offsets of the online store, under a name that no topic can have. */
static void epoch_name(const char *topic, char name[256]) {
    snprintf(name, 256, "%s#epoch", topic);
}

weir_status weir_changelog_put_epoch(const weir_changelog *log, const char *topic, int32_t partition, weir_err *err) {
    char name[256];
    epoch_name(topic, name);
    return weir_online_put_offset(log->online, name, partition, log->epochs[partition], err);
}

weir_status weir_changelog_get_epoch(weir_changelog *log, const char *topic, int32_t partition, weir_err *err) {
    char name[256];
    int64_t epoch = -1;
    epoch_name(topic, name);
    weir_status status = weir_online_offset(log->online, name, partition, &epoch, err);
    /* Not the higher of the two: reading goes back to where the offset says, and what stood there was valid then. */
    if (!status) log->epochs[partition] = epoch < 0 ? 0 : (int32_t)epoch;
    return status;
}

/* ---- entities ---- */

static weir_status decode(weir_changelog *log, weir_entity *entity, const weir_online_value *value, weir_err *err) {
    weir_status status = weir_state_decode(log->view, value->state, value->state_len, &entity->state, err);
    if (status) return weir_err_prefix(err, "state of %s in view %s", entity->key, weir_view_def_of(log->view)->name);
    entity->event_time_us = value->event_time_us;
    entity->source = value->source;
    weir_entities_resized(log->entities, entity);
    return WEIR_OK;
}

weir_status weir_changelog_load(weir_changelog *log, uint32_t hash, const void *key, size_t len, int32_t partition, weir_online_reader *reader,
                                weir_entity **ret_entity, weir_err *err) {
    weir_entity *entity = weir_entities_find(log->entities, hash, key, len);
    weir_online_value stored;
    if (!entity) {
        weir_status status =
            reader ? weir_online_read(reader, log->index, key, len, &stored, err) : weir_online_get_own(log->online, log->index, key, len, &stored, err);
        if (status && status != WEIR_ENOTFOUND) return status;
        if (!(entity = weir_entities_add(log->entities, hash, key, len, partition)))
            return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the state of %.*s", (int)len, (const char *)key);
        /* A state that cannot be read stays out of the table: the next look-up must not find an empty one. */
        if (!status && (status = decode(log, entity, &stored, err))) {
            weir_entities_remove(log->entities, entity);
            return status;
        }
    }
    *ret_entity = entity;
    return WEIR_OK;
}

weir_status weir_changelog_keep_features(weir_changelog *log, uint32_t id, weir_err *err) {
    if (!log->features) log->features = calloc((size_t)weir_view_def_of(log->view)->feature_count + 1, sizeof *log->features);
    log->features_id = id;
    return log->features ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the features of a view");
}

static void add_features(weir_changelog *log, weir_state *state, weir_online_value *value) {
    weir_source source;
    if (!log->features || !weir_state_newest(state, &source, &value->newest_us)) return;
    weir_view_eval(log->view, state, value->newest_us, NULL, log->features);
    value->features_id = log->features_id;
    value->feature_count = weir_view_def_of(log->view)->feature_count;
    value->features = log->features;
}

weir_status weir_changelog_put(weir_changelog *log, weir_entity *entity, const weir_buf **ret_state, weir_err *err) {
    weir_buf_clear(&log->bytes);
    if (!weir_state_encode(log->view, &entity->state, &log->bytes)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the state of %s", entity->key);
    weir_online_value value = {.event_time_us = entity->event_time_us,
                               .source = entity->source,
                               .version = entity->state.version,
                               .state = log->bytes.data,
                               .state_len = log->bytes.len};
    add_features(log, &entity->state, &value);
    if (ret_state) *ret_state = &log->bytes;
    return weir_online_put(log->online, log->index, entity->key, entity->key_len, &value, err);
}

/* ---- records ---- */

static uint64_t *waiting_word(weir_changelog *log, uint32_t hash) {
    return &log->waiting[hash % WAITING_BITS / 64];
}
static uint64_t waiting_bit(uint32_t hash) {
    return UINT64_C(1) << hash % 64;
}

static void forget_snapshots(weir_changelog *log) {
    for (size_t i = 0; i < log->snapshot_count; i++) *waiting_word(log, log->snapshots[i].hash) = 0;
    log->snapshot_count = 0;
}

static weir_status add_snapshot(weir_changelog *log, const weir_bus_record *record, uint32_t hash, const weir_online_value *value, bool rebuilt,
                                weir_err *err) {
    if (log->snapshot_count == log->snapshot_capacity) {
        size_t capacity = log->snapshot_capacity ? 2 * log->snapshot_capacity : 1024;
        snapshot *snapshots = realloc(log->snapshots, capacity * sizeof *snapshots);
        if (!snapshots) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for snapshots");
        log->snapshots = snapshots;
        log->snapshot_capacity = capacity;
    }
    log->snapshots[log->snapshot_count] = (snapshot){record->key, record->key_len, log->snapshot_count, hash, rebuilt, *value};
    log->snapshot_count++;
    *waiting_word(log, hash) |= waiting_bit(hash);
    return WEIR_OK;
}

static weir_status take_snapshot(weir_changelog *log, const weir_bus_record *record, uint32_t hash, weir_err *err) {
    weir_entity *entity = weir_entities_find(log->entities, hash, record->key, record->key_len);
    const weir_datum *row = log->codec->row;
    const weir_online_value value = {
        .event_time_us = row[FEAT_EVENT_TIME].i,
        .source = {(int32_t)row[FEAT_SOURCE_PARTITION].i, row[FEAT_SOURCE_OFFSET].i},
        .version = row[FEAT_VERSION].i,
        .state = row[log->codec->state_index].p,
        .state_len = row[log->codec->state_index].len,
    };
    weir_bus_header header;
    bool rebuilt = weir_bus_header_get(record, WEIR_HEADER_REBUILT, &header);
    if (!entity) { /* that it is newer than what the store has is seen when it is written */
        return add_snapshot(log, record, hash, &value, rebuilt, err);
    }
    if (!entity->gap && value.version < entity->state.version) return WEIR_OK;
    if (entity->gap || rebuilt || value.version > entity->state.version) {
        weir_status status = decode(log, entity, &value, err);
        if (status) return status;
        entity->gap = false;
    }
    weir_entities_clean(log->entities, entity);
    return add_snapshot(log, record, hash, &value, rebuilt, err);
}

static int by_key(const void *a, const void *b) {
    const snapshot *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    size_t common = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, common);
    if (order) return order;
    if (x->key_len != y->key_len) return x->key_len < y->key_len ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* With the features, where they are kept. A state that cannot be read is stored as it is: whoever reads it is told. */
static weir_status write_snapshot(weir_changelog *log, const snapshot *s, weir_err *err) {
    weir_online_value value = s->value;
    weir_err why;
    if (log->features) {
        weir_status status = weir_state_decode(log->view, value.state, value.state_len, &log->state, &why);
        if (status == WEIR_ENOMEM) return WEIR_RETRY(err, WEIR_ENOMEM, "%s", why.message);
        if (!status) add_features(log, &log->state, &value);
    }
    return weir_online_put(log->online, log->index, s->key, s->key_len, &value, err);
}

static weir_status write_snapshots(weir_changelog *log, weir_err *err) {
    weir_status status = WEIR_OK;
    if (log->snapshot_count) qsort(log->snapshots, log->snapshot_count, sizeof *log->snapshots, by_key);
    for (size_t i = 0; !status && i < log->snapshot_count; i++) {
        const snapshot *s = &log->snapshots[i];
        weir_online_value stored;
        if (i + 1 < log->snapshot_count && s[1].hash == s->hash && s[1].key_len == s->key_len &&
            !memcmp(s[1].key, s->key, s->key_len)) { /* a newer one follows */
            log->snapshots[i + 1].rebuilt |= s->rebuilt;
            continue;
        }
        status = weir_online_get_own(log->online, log->index, s->key, s->key_len, &stored, err);
        bool newer = status == WEIR_ENOTFOUND || (!status && (stored.version < s->value.version || (s->rebuilt && stored.version == s->value.version)));
        if (newer) status = write_snapshot(log, s, err);
    }
    forget_snapshots(log);
    return status;
}

/* Applies the record of a value that is the next one of its entity. */
static weir_status apply_next(weir_changelog *log, weir_entity *entity, weir_err *err) {
    const weir_datum *row = log->codec->row;
    const weir_source source = {(int32_t)row[FEAT_SOURCE_PARTITION].i, row[FEAT_SOURCE_OFFSET].i};
    weir_applied applied;
    int position = 0;
    weir_view_slots(log->view, row + FEAT_RECORD, log->slots);
    weir_status status =
        weir_view_apply(log->view, &entity->state, row[FEAT_EVENT_TIME].i, source, log->slots, (uint32_t)row[FEAT_SEQ].i, &applied, &position, err);
    if (status) return status;
    weir_entities_resized(log->entities, entity);
    if (applied != WEIR_APPLIED) {
        entity->gap = true; /* it was applied once, so this is another state than it was applied to */
        return WEIR_OK;
    }
    entity->event_time_us = row[FEAT_EVENT_TIME].i;
    entity->source = source;
    if (!log->late || !weir_view_affected(log->view, &entity->state, position)) return WEIR_OK;
    return log->late(log->context, log->index, entity, position, row, err);
}

static weir_status take_value(weir_changelog *log, const weir_bus_record *record, uint32_t hash, weir_err *err) {
    weir_entity *entity = weir_entities_find(log->entities, hash, record->key, record->key_len);
    weir_status status = WEIR_OK;
    /* A snapshot that waits to be written may be what is looked up. */
    if (!entity && *waiting_word(log, hash) & waiting_bit(hash)) status = write_snapshots(log, err);
    if (!status && !entity) status = weir_changelog_load(log, hash, record->key, record->key_len, record->partition, NULL, &entity, err);
    if (status) return status;
    int64_t seq = log->codec->row[FEAT_SEQ].i, version = entity->state.version;
    if (seq < version) return WEIR_OK;
    /* What stands between was compacted away, so a snapshot follows. */
    if (seq > version + 1) entity->gap = true;
    if (!entity->gap && seq == version + 1 && (status = apply_next(log, entity, err))) return weir_err_prefix(err, "value of %s", entity->key);
    if (!weir_entities_touch(log->entities, entity, record->offset, record->value, record->value_len))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the newest value of %s", entity->key);
    return WEIR_OK;
}

static weir_status take(weir_changelog *log, const weir_bus_record *record, weir_err *err) {
    int32_t fence = weir_features_fence_of(record);
    if (fence >= 0) weir_changelog_set_epoch(log, record->partition, fence);
    if (!record->value || !record->key_len) return WEIR_OK;
    weir_err why;
    weir_datum *row = log->codec->row;
    weir_status status = weir_serde_decode(log->codec->codec.serde, record->value, record->value_len, row, NULL, &why);
    if (status && why.action == WEIR_ACTION_REJECT) { /* somebody else's bytes on the changelog must not stop anybody */
        weir_log_err(WEIR_LOG_WARN, "an unreadable feature record was passed over", &why);
        return WEIR_OK;
    }
    if (status) {
        if (err) *err = why;
        return status;
    }
    if (row[FEAT_EPOCH].i < log->epochs[record->partition]) return WEIR_OK; /* void */
    weir_changelog_set_epoch(log, record->partition, (int32_t)row[FEAT_EPOCH].i);
    weir_features_kind kind = weir_features_kind_of(log->codec, row);
    if (kind == WEIR_FEATURES_CORRECTION) return WEIR_OK;
    uint32_t hash = weir_entities_hash(record->key, record->key_len);
    if (kind == WEIR_FEATURES_SNAPSHOT) return take_snapshot(log, record, hash, err);
    return take_value(log, record, hash, err);
}

weir_status weir_changelog_apply(weir_changelog *log, const weir_bus_record *records, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) status = take(log, &records[i], err);
    if (!status) return write_snapshots(log, err);
    forget_snapshots(log);
    return status;
}
