/* Who may log in at the hosted Mosquitto, and what each login may publish and subscribe to.
 *
 * The bridge writes one file with all that are valid; the database decides what is in it. The broker's loop looks every 50 ms whether the
 * file has been replaced. A login's sessions are cut when it, or the password that they logged in with, is no longer there. Everything that
 * the file does not allow is denied. The format, with tabs between fields:
 *
 *   topicbase-access 1 <most retained messages of an organization> <most bytes of them>
 *   <username> <client id, or nothing for any> <most subscriptions, or 0 for no limit> <hashes> <filter>…
 *   end
 *
 * Where plugin_opt_sessions_file names a file, the logins since the last time are written to it as soon as it is not there: whoever counts
 * them removes it. Lines of username, sessions and the Unix time of the last one, and the same end.
 *
 * A login also works with its client id and ~test, which no login can have as its own: for connection tests, which must not end the session,
 * and with one subscription. A hash is <salt>:<SHA-256 of salt and password>, hexadecimal; more than one are separated by commas. A filter has
 * p (publish) or s (subscribe) before it. Each line ends with a tab and a newline. An organization is the first level of a topic. */

#include "broker_api.h"
#include "topics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OWN, TEST, KINDS }; /* of a login's sessions: a device's, and a connection test's */
enum { KEY = 16, SALT = 16, DIGEST = 32, MAX_PASSWORD = 1024, LOOK_MS = 50, WRITE_MS = 1000, KICKS_PER_TURN = 50 };

/* A topic with a retained message, by its hash; size is 0 after the message was removed, and topic at a place that was never taken. */
struct retained {
    uint64_t topic;
    uint32_t size;
};

struct organization {
    char *name;
    struct retained *places;
    size_t taken, room; /* room is a power of two */
    size_t count;       /* messages */
    uint64_t bytes;
};

struct login {
    const char *username, *client_id, *hashes, *filters; /* filters: strings one after the other, the last one empty */
    size_t max_subscriptions;
    unsigned char used[KINDS][DIGEST]; /* the hash that let its last session of each kind in */
    bool was_used[KINDS];
    uint64_t *subscriptions; /* their hashes */
    size_t subscription_count;
    unsigned sessions; /* that were not written yet */
    time_t session_at;
};

struct table {
    char *text;
    struct login *logins; /* by username */
    size_t count;
    size_t max_retained, max_retained_bytes;
};

static struct table now;
static struct organization **organizations; /* by name; never freed: its retained messages may outlive its logins */
static size_t organization_count, organization_room;
static char **kicks; /* usernames, and client ids of connection tests, whose sessions are to be cut */
static size_t kick_count, kick_room;
static char *path, *sessions_path;
static size_t new_sessions; /* not written yet */
static long written_at_ms;
static struct stat seen;
static long looked_at_ms;
static unsigned char key[KEY];

/* With a key of this process, so that nobody can choose topics that have the same. */
static uint64_t hash_of(const char *topic) {
    static unsigned char keyed[KEY + 65536];
    unsigned char digest[DIGEST];
    uint64_t hash;
    size_t size = strnlen(topic, 65535);
    memcpy(keyed, key, KEY);
    memcpy(keyed + KEY, topic, size);
    SHA256(keyed, KEY + size, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash ? hash : 1;
}

/* The same, with the lowest bit telling whether the subscription is shared. */
static uint64_t hash_of_subscription(const char *subscription) {
    return (hash_of(subscription) & ~(uint64_t) 1) | (subscribed_filter(subscription) != subscription);
}

/* ---------------------------------------------------------------------------------------------------------------- reading the file */

static int by_username(const void *a, const void *b) {
    return strcmp(((const struct login *) a)->username, ((const struct login *) b)->username);
}

static struct login *find_login(struct table *table, const char *username) {
    struct login wanted = {.username = username};
    return username && table->count ? bsearch(&wanted, table->logins, table->count, sizeof wanted, by_username) : NULL;
}

static char *read_file(const char *name, struct stat *status) {
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return NULL;
    char *text = NULL;
    size_t size = 0;
    if (fstat(file, status) == 0 && S_ISREG(status->st_mode) && (text = malloc((size_t) status->st_size + 1)) != NULL) {
        ssize_t got;
        size_t whole = (size_t) status->st_size;
        while (size < whole && (got = read(file, text + size, whole - size)) > 0) size += (size_t) got;
        text[size] = '\0';
        if (size != whole || strlen(text) != size) {
            free(text);
            text = NULL;
        }
    }
    close(file);
    return text;
}

/* The next field of a line, ended by NUL; NULL when there is none. */
static char *field(char **rest) { return strsep(rest, "\t"); }

/* Whether the client is a connection test of the login. */
static bool is_test(const struct login *login, const char *client_id) {
    size_t size = strlen(login->client_id);
    return size > 0 && client_id != NULL && strncmp(client_id, login->client_id, size) == 0 && strcmp(client_id + size, "~test") == 0;
}

static bool parse_login(char *line, struct login *login) {
    char *number, *end;
    login->username = field(&line);
    login->client_id = field(&line);
    number = field(&line);
    login->hashes = field(&line);
    if (login->hashes == NULL || *login->username == '\0') return false;
    login->max_subscriptions = strtoul(number, &end, 10);
    if (*number == '\0' || *end != '\0') return false;
    static char nothing[1];
    login->filters = line ? line : nothing;
    /* Two NULs end the list: that of the line, and one in place of the line's end. */
    while (line != NULL) {
        char *filter = field(&line);
        if ((*filter != 'p' && *filter != 's') || filter[1] == '\0') return false;
    }
    return true;
}

/* Each line ends with a tab and a newline, which become two NULs; NULL if it does not. */
static char *next_line(char **rest) {
    char *line = *rest, *end = strchr(line, '\n');
    if (end == NULL || end == line || end[-1] != '\t') return NULL;
    end[-1] = end[0] = '\0';
    *rest = end + 1;
    return line;
}

/* Takes the text over. Whether it is a whole file of this format. */
static bool parse(char *text, struct table *table) {
    size_t count = 0;
    char *rest = text, *line;
    *table = (struct table){.text = text};
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) count++;
    table->logins = calloc(count + 1, sizeof *table->logins);
    line = next_line(&rest);
    if (table->logins == NULL || line == NULL) return false;
    if (sscanf(line, "topicbase-access\t1\t%zu\t%zu", &table->max_retained, &table->max_retained_bytes) != 2) return false;
    while ((line = next_line(&rest)) != NULL && strcmp(line, "end") != 0)
        if (!parse_login(line, &table->logins[table->count++])) return false;
    qsort(table->logins, table->count, sizeof *table->logins, by_username);
    for (size_t i = 1; i < table->count; i++)
        if (strcmp(table->logins[i - 1].username, table->logins[i].username) == 0) return false;
    return line != NULL && *rest == '\0';
}

static void free_table(struct table *table) {
    for (size_t i = 0; i < table->count; i++) free(table->logins[i].subscriptions);
    free(table->logins);
    free(table->text);
}

/* ------------------------------------------------------------------------------------------------------------------------ passwords */

static int nibble(char digit) { return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1; }

static bool unhex(const char *text, unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        int high = nibble(text[2 * i]), low = high < 0 ? -1 : nibble(text[2 * i + 1]);
        if (low < 0) return false;
        bytes[i] = (unsigned char) (high << 4 | low);
    }
    return true;
}

typedef bool (*hash_test)(const unsigned char *salt, const unsigned char *digest, const void *with);

/* The hash of the login that `fits` accepts, in `digest`. */
static bool find_hash(const struct login *login, hash_test fits, const void *with, unsigned char *digest) {
    for (const char *hash = login->hashes; *hash;) {
        unsigned char salt[SALT];
        if (!unhex(hash, salt, SALT) || hash[2 * SALT] != ':' || !unhex(hash + 2 * SALT + 1, digest, DIGEST)) return false;
        if (fits(salt, digest, with)) return true;
        hash += 2 * SALT + 1 + 2 * DIGEST;
        if (*hash == ',') hash++;
    }
    return false;
}

static bool is_same(const unsigned char *a, const unsigned char *b) {
    unsigned char difference = 0;
    for (size_t i = 0; i < DIGEST; i++) difference |= a[i] ^ b[i];
    return difference == 0;
}

static bool is_of_password(const unsigned char *salt, const unsigned char *digest, const void *password) {
    unsigned char salted[SALT + MAX_PASSWORD], found[DIGEST];
    size_t size = strlen(password);
    if (size > MAX_PASSWORD) return false;
    memcpy(salted, salt, SALT);
    memcpy(salted + SALT, password, size);
    SHA256(salted, SALT + size, found);
    explicit_bzero(salted, sizeof salted);
    return is_same(found, digest);
}

static bool is_that(const unsigned char *salt, const unsigned char *digest, const void *used) {
    (void) salt;
    return is_same(digest, used);
}

/* ------------------------------------------------------------------------------------------------------------------- a replaced file */

/* Of a test its client id, which has a ~ where a username has none. */
static void plan_kick(const struct login *login, int kind) {
    if (kick_count == kick_room) {
        size_t room = kick_room ? 2 * kick_room : 64;
        char **more = realloc(kicks, room * sizeof *more);
        if (more == NULL) return; /* whatever that session asks for is denied all the same */
        kicks = more;
        kick_room = room;
    }
    size_t room = strlen(kind == TEST ? login->client_id : login->username) + sizeof "~test";
    char *name = malloc(room);
    if (name == NULL) return;
    snprintf(name, room, "%s%s", kind == TEST ? login->client_id : login->username, kind == TEST ? "~test" : "");
    kicks[kick_count++] = name;
}

/* What sessions did so far goes over to the new table; those whose login or password is gone are to be cut. */
static void carry_over(struct table *old, struct table *new) {
    for (size_t i = 0; i < old->count; i++) {
        struct login *before = &old->logins[i], *after = find_login(new, before->username);
        unsigned char digest[DIGEST];
        if (after != NULL) {
            after->subscriptions = before->subscriptions;
            after->subscription_count = before->subscription_count;
            before->subscriptions = NULL;
            after->sessions = before->sessions;
            after->session_at = before->session_at;
        }
        for (int kind = OWN; kind < KINDS; kind++) {
            if (!before->was_used[kind]) continue;
            if (after != NULL && strcmp(before->client_id, after->client_id) == 0 && find_hash(after, is_that, before->used[kind], digest)) {
                memcpy(after->used[kind], before->used[kind], DIGEST);
                after->was_used[kind] = true;
            } else {
                plan_kick(before, kind);
            }
        }
    }
}

static void look(void) {
    struct stat status;
    struct table new;
    if (stat(path, &status) != 0) return;
    bool is_same_time = memcmp(&status.st_mtim, &seen.st_mtim, sizeof seen.st_mtim) == 0;
    if (status.st_ino == seen.st_ino && status.st_size == seen.st_size && is_same_time) return;
    seen = status;
    char *text = read_file(path, &seen);
    if (text == NULL || !parse(text, &new)) {
        mosquitto_log_printf(LOG_ERROR, "topicbase: %s cannot be read, or is not an access file; the logins stay as they were", path);
        if (text != NULL) free_table(&new);
        return;
    }
    carry_over(&now, &new);
    free_table(&now);
    now = new;
    mosquitto_log_printf(LOG_NOTICE, "topicbase: %zu logins", now.count);
}

/* Whoever counts them has taken the last file away when it is not there. */
static void write_sessions(void) {
    static char next[4096];
    if (access(sessions_path, F_OK) == 0 || snprintf(next, sizeof next, "%s.next", sessions_path) >= (int) sizeof next) return;
    int descriptor = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (file == NULL) {
        mosquitto_log_printf(LOG_ERROR, "topicbase: %s cannot be written; sessions are not counted", next);
        if (descriptor >= 0) close(descriptor);
        return;
    }
    for (size_t i = 0; i < now.count; i++)
        if (now.logins[i].sessions > 0)
            fprintf(file, "%s\t%u\t%lld\n", now.logins[i].username, now.logins[i].sessions, (long long) now.logins[i].session_at);
    fputs("end\t\n", file);
    bool is_whole = !ferror(file);
    if (fclose(file) != 0 || !is_whole || rename(next, sessions_path) != 0) return;
    for (size_t i = 0; i < now.count; i++) now.logins[i].sessions = 0;
    new_sessions = 0;
}

static int on_tick(int event, void *data, void *user_data) {
    (void) event, (void) data, (void) user_data;
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    long ms = clock.tv_sec * 1000 + clock.tv_nsec / 1000000;
    if (ms - looked_at_ms >= LOOK_MS) {
        looked_at_ms = ms;
        look();
    }
    if (new_sessions > 0 && ms - written_at_ms >= WRITE_MS) {
        written_at_ms = ms;
        write_sessions();
    }
    for (int i = 0; i < KICKS_PER_TURN && kick_count > 0; i++) {
        char *name = kicks[--kick_count];
        if (strchr(name, '~') != NULL) mosquitto_kick_client_by_clientid(name, true);
        else mosquitto_kick_client_by_username(name, true);
        free(name);
    }
    return RESULT_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------------------------------- logging in */

static int on_login(int event, void *data, void *user_data) {
    (void) event, (void) user_data;
    struct event_basic_auth *asked = data;
    struct login *login = find_login(&now, asked->username);
    const char *client_id = mosquitto_client_id(asked->client);
    unsigned char digest[DIGEST];
    if (login == NULL || asked->password == NULL || !find_hash(login, is_of_password, asked->password, digest)) return RESULT_DENIED_LOGIN;
    bool is_for_test = is_test(login, client_id);
    if (*login->client_id && !is_for_test && (client_id == NULL || strcmp(client_id, login->client_id) != 0)) {
        mosquitto_log_printf(LOG_NOTICE, "topicbase: %s may log in with its own client id only", login->username);
        return RESULT_DENIED_LOGIN;
    }
    memcpy(login->used[is_for_test ? TEST : OWN], digest, DIGEST);
    login->was_used[is_for_test ? TEST : OWN] = true;
    if (mosquitto_client_clean_session(asked->client) && !is_for_test) login->subscription_count = 0;
    if (sessions_path != NULL && *login->client_id && !is_for_test) { /* not the bridge's own */
        login->sessions++;
        login->session_at = time(NULL);
        new_sessions++;
    }
    return RESULT_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------------------- publish and subscribe */

static bool may(const struct login *login, char action, const char *wanted) {
    for (const char *filter = login->filters; *filter; filter += strlen(filter) + 1)
        if (*filter == action && filter_covers(filter + 1, wanted)) return true;
    return false;
}

/* Whether one more filter stays within the login's limit; a filter that it has already does. */
static bool count_subscription(struct login *login, const struct mosquitto *client, const char *subscription) {
    uint64_t hash = hash_of_subscription(subscription);
    size_t kept = 0;
    if (login->max_subscriptions == 0) return true;
    if (is_test(login, mosquitto_client_id(client))) return !(hash & 1) && mosquitto_client_sub_count(client) == 0;
    /* A session that began without clean start, and empty, has forgotten them. How many shared ones it has, the broker does not tell. */
    if (login->subscription_count > 0 && mosquitto_client_sub_count(client) == 0) {
        for (size_t i = 0; i < login->subscription_count; i++)
            if (login->subscriptions[i] & 1) login->subscriptions[kept++] = login->subscriptions[i];
        login->subscription_count = kept;
    }
    for (size_t i = 0; i < login->subscription_count; i++)
        if (login->subscriptions[i] == hash) return true;
    if (login->subscription_count >= login->max_subscriptions) return false;
    uint64_t *more = realloc(login->subscriptions, (login->subscription_count + 1) * sizeof *more);
    if (more == NULL) return false;
    login->subscriptions = more;
    more[login->subscription_count++] = hash;
    return true;
}

static void forget_subscription(struct login *login, const struct mosquitto *client, const char *subscription) {
    if (is_test(login, mosquitto_client_id(client))) return;
    uint64_t hash = hash_of_subscription(subscription);
    for (size_t i = 0; i < login->subscription_count; i++)
        if (login->subscriptions[i] == hash) login->subscriptions[i--] = login->subscriptions[--login->subscription_count];
}

/* The organization of that name, made if need be; NULL without memory. */
static struct organization *find_organization(const char *name, size_t size) {
    size_t low = 0, high = organization_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strncmp(organizations[middle]->name, name, size);
        if (order == 0) order = organizations[middle]->name[size] != '\0';
        if (order == 0) return organizations[middle];
        if (order < 0) low = middle + 1; else high = middle;
    }
    if (organization_count == organization_room) {
        size_t room = organization_room ? 2 * organization_room : 64;
        struct organization **more = realloc(organizations, room * sizeof *more);
        if (more == NULL) return NULL;
        organizations = more;
        organization_room = room;
    }
    struct organization *made = calloc(1, sizeof *made);
    if (made == NULL || (made->name = strndup(name, size)) == NULL) {
        free(made);
        return NULL;
    }
    memmove(organizations + low + 1, organizations + low, (organization_count - low) * sizeof *organizations);
    organizations[low] = made;
    organization_count++;
    return made;
}

static struct retained *place_of(struct retained *places, size_t room, uint64_t topic) {
    size_t at = (size_t) topic & (room - 1);
    while (places[at].topic != 0 && places[at].topic != topic) at = (at + 1) & (room - 1);
    return &places[at];
}

static bool make_room(struct organization *organization) {
    if (2 * (organization->taken + 1) <= organization->room) return true;
    size_t room = 64, taken = 0;
    while (room < 4 * (organization->count + 1)) room *= 2;
    struct retained *places = calloc(room, sizeof *places);
    if (places == NULL) return false;
    for (size_t i = 0; i < organization->room; i++)
        if (organization->places[i].size > 0) { /* those of removed messages become free */
            *place_of(places, room, organization->places[i].topic) = organization->places[i];
            taken++;
        }
    free(organization->places);
    organization->places = places;
    organization->room = room;
    organization->taken = taken;
    return true;
}

/* Whether the topic's organization may retain one more message. An empty payload removes the one that is there. */
static bool count_retained(const char *topic, uint32_t payload_size) {
    struct organization *organization = find_organization(topic, level_size(topic));
    if (organization == NULL || !make_room(organization)) return false;
    uint64_t hash = hash_of(topic);
    struct retained *place = place_of(organization->places, organization->room, hash);
    uint32_t size = payload_size ? payload_size + (uint32_t) strlen(topic) : 0;
    uint64_t bytes = organization->bytes - place->size + size;
    if (size > place->size && bytes > now.max_retained_bytes) return false;
    if (size > 0 && place->size == 0 && organization->count >= now.max_retained) return false;
    organization->count = organization->count + (size > 0) - (place->size > 0);
    organization->taken += place->topic == 0;
    organization->bytes = bytes;
    *place = (struct retained){.topic = hash, .size = size};
    return true;
}

static bool is_allowed(struct login *login, const struct event_acl_check *asked) {
    const char *filter;
    switch (asked->access) {
        case ACL_READ: return may(login, 's', asked->topic);
        case ACL_WRITE: return may(login, 'p', asked->topic) && (!asked->retain || count_retained(asked->topic, asked->payload_size));
        case ACL_SUBSCRIBE:
            filter = subscribed_filter(asked->topic);
            return filter != NULL && may(login, 's', filter) && count_subscription(login, asked->client, asked->topic);
        case ACL_UNSUBSCRIBE:
            forget_subscription(login, asked->client, asked->topic);
            return true;
        default: return false;
    }
}

static int on_access(int event, void *data, void *user_data) {
    (void) event, (void) user_data;
    struct event_acl_check *asked = data;
    struct login *login = find_login(&now, mosquitto_client_username(asked->client));
    return login != NULL && is_allowed(login, asked) ? RESULT_SUCCESS : RESULT_DENIED_TOPIC;
}

/* -------------------------------------------------------------------------------------------------------------------- the interface */

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int mosquitto_plugin_version(int count, const int *versions) {
    for (int i = 0; i < count; i++)
        if (versions[i] == PLUGIN_INTERFACE) return PLUGIN_INTERFACE;
    return -1;
}

EXPORTED int mosquitto_plugin_init(void *identifier, void **user_data, struct mosquitto_opt *options, int count) {
    (void) user_data;
    for (int i = 0; i < count; i++)
        if (strcmp(options[i].key, "access_file") == 0) path = strdup(options[i].value);
        else if (strcmp(options[i].key, "sessions_file") == 0) sessions_path = strdup(options[i].value);
    if (path == NULL) {
        mosquitto_log_printf(LOG_ERROR, "topicbase: plugin_opt_access_file is not set");
        return RESULT_INVALID;
    }
    if (getentropy(key, KEY) != 0) return RESULT_INVALID;
    look();
    int result = mosquitto_callback_register(identifier, EVENT_BASIC_AUTH, on_login, NULL, NULL);
    if (result == RESULT_SUCCESS) result = mosquitto_callback_register(identifier, EVENT_ACL_CHECK, on_access, NULL, NULL);
    if (result == RESULT_SUCCESS) result = mosquitto_callback_register(identifier, EVENT_TICK, on_tick, NULL, NULL);
    return result;
}

EXPORTED int mosquitto_plugin_cleanup(void *user_data, struct mosquitto_opt *options, int count) {
    (void) user_data, (void) options, (void) count;
    free_table(&now);
    now = (struct table){0};
    free(path);
    free(sessions_path);
    path = sessions_path = NULL;
    return RESULT_SUCCESS;
}
