/* Matching topics and subscriptions with the filters of a login; MQTT 5 section 4.7. */
#ifndef TOPICBASE_TOPICS_H
#define TOPICBASE_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline size_t level_size(const char *text) { return strcspn(text, "/"); }

/* Whether the filter matches every topic that `wanted` does, which is a topic or a filter. Both must be valid. */
static inline bool filter_covers(const char *filter, const char *wanted) {
    /* A wildcard at the start stands for no topic of the broker's own. */
    if (wanted[0] == '$' && (filter[0] == '+' || filter[0] == '#')) return false;
    for (;;) {
        size_t allowed = level_size(filter), asked = level_size(wanted);
        if (allowed == 1 && filter[0] == '#') return true;
        bool is_hash = asked == 1 && wanted[0] == '#';
        bool is_any = allowed == 1 && filter[0] == '+' && !is_hash;
        if (!is_any && (allowed != asked || memcmp(filter, wanted, asked) != 0)) return false;
        filter += allowed;
        wanted += asked;
        if (*wanted == '\0') return *filter == '\0' || strcmp(filter, "/#") == 0; /* a/# covers a, too */
        if (*filter == '\0') return false;
        filter++;
        wanted++;
    }
}

/* What a subscription listens to: of $share/<group>/<filter> the filter; NULL if there is none. */
static inline const char *subscribed_filter(const char *subscription) {
    if (strncmp(subscription, "$share/", 7) != 0) return subscription;
    const char *group = subscription + 7;
    size_t size = level_size(group);
    if (size == 0 || group[size] == '\0' || group[size + 1] == '\0') return NULL;
    return group + size + 1;
}

#endif
