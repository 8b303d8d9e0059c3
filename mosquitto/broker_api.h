/* What the plugin uses of Mosquitto's plugin interface, version 5, as in mosquitto_broker.h, mosquitto_plugin.h and mosquitto.h of 2.0:
 * so that it can be compiled without them. Mosquitto checks the version when it loads the plugin. */
#ifndef TOPICBASE_BROKER_API_H
#define TOPICBASE_BROKER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLUGIN_INTERFACE = 5 };
enum { EVENT_ACL_CHECK = 2, EVENT_BASIC_AUTH = 3, EVENT_TICK = 9 };
enum { ACL_READ = 0x01, ACL_WRITE = 0x02, ACL_SUBSCRIBE = 0x04, ACL_UNSUBSCRIBE = 0x08 };
enum { RESULT_SUCCESS = 0, RESULT_INVALID = 3, RESULT_DENIED_LOGIN = 11, RESULT_DENIED_TOPIC = 12 };
enum { LOG_NOTICE = 0x02, LOG_WARNING = 0x04, LOG_ERROR = 0x08 };

struct mosquitto;

struct mosquitto_opt {
    char *key;
    char *value;
};

struct event_acl_check {
    void *future;
    struct mosquitto *client;
    const char *topic;
    const void *payload;
    void *properties;
    int access;
    uint32_t payload_size;
    uint8_t qos;
    bool retain;
    void *future2[4];
};

struct event_basic_auth {
    void *future;
    struct mosquitto *client;
    char *username;
    char *password;
    void *future2[4];
};

typedef int (*event_callback)(int event, void *data, void *user_data);

int mosquitto_callback_register(void *identifier, int event, event_callback callback, const void *event_data, void *user_data);
const char *mosquitto_client_id(const struct mosquitto *client);
const char *mosquitto_client_username(const struct mosquitto *client);
bool mosquitto_client_clean_session(const struct mosquitto *client);
int mosquitto_client_sub_count(const struct mosquitto *client);
int mosquitto_kick_client_by_clientid(const char *client_id, bool with_will);
int mosquitto_kick_client_by_username(const char *username, bool with_will);
void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* OpenSSL's, which the broker itself is linked with. */
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);

#endif
