/* C11's threads for builds with ThreadSanitizer, which does not know them: librdkafka uses them, and a thread that the sanitizer has not seen begin crashes in it. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t), "the C library keeps POSIX objects in C11's");

typedef struct begin {
    thrd_start_t run;
    void *context;
} begin;

static void *run(void *context) {
    begin b = *(begin *)context;
    free(context);
    return (void *)(intptr_t)b.run(b.context);
}

static int result(int failed) {
    return !failed ? thrd_success : failed == ETIMEDOUT ? thrd_timedout : failed == EBUSY ? thrd_busy : failed == ENOMEM ? thrd_nomem : thrd_error;
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *context) {
    begin *b = malloc(sizeof *b);
    if (!b) return thrd_nomem;
    *b = (begin){function, context};
    int failed = pthread_create(thread, NULL, run, b);
    if (failed) free(b);
    return result(failed);
}

int thrd_join(thrd_t thread, int *ret_code) {
    void *code;
    int failed = pthread_join(thread, &code);
    if (!failed && ret_code) *ret_code = (int)(intptr_t)code;
    return result(failed);
}

int thrd_detach(thrd_t thread) {
    return result(pthread_detach(thread));
}

int mtx_init(mtx_t *mutex, int type) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int failed = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result(failed);
}

void mtx_destroy(mtx_t *mutex) {
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int mtx_lock(mtx_t *mutex) {
    return result(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_trylock(mtx_t *mutex) {
    return result(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex) {
    return result(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

int cnd_init(cnd_t *condition) {
    return result(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

void cnd_destroy(cnd_t *condition) {
    pthread_cond_destroy((pthread_cond_t *)condition);
}

int cnd_signal(cnd_t *condition) {
    return result(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition) {
    return result(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex) {
    return result(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    return result(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}
