"""The types of the calls. Written by bin/client-types from docs/reference/openapi.json; do not edit."""

from typing import Any, Literal, NotRequired, TypedDict, Unpack, overload

# The calls that have an `organization_id`.
WITH_ORGANIZATION = frozenset(
    [
        "accept_organization_invitation",
        "add_organization_member",
        "create_api_key",
        "create_browser_login",
        "delete_device",
        "delete_messages",
        "delete_organization",
        "generate_mqtt_credentials",
        "get_device",
        "get_mqtt_credentials",
        "get_mqtt_ledger",
        "get_mqtt_queue_stats",
        "list_api_keys",
        "list_deletions",
        "list_devices",
        "list_messages",
        "list_organization_invitations",
        "mqtt_hybrid_credentials",
        "mqtt_publish",
        "mqtt_subscribe",
        "mqtt_test_connection",
        "query_series",
        "query_telemetry",
        "remove_organization_member",
        "replay_mqtt_dead_letters",
        "set_organization_limits",
        "sync_device",
        "upsert_integration",
    ]
)


class AcceptOrganizationInvitationArguments(TypedDict):
    organization_id: NotRequired[str]


class AcceptOrganizationInvitation(TypedDict):
    created_at: str
    organization_id: str
    role: str
    status: Literal["member"]
    user_id: str


class AddOrganizationMemberArguments(TypedDict):
    organization_id: NotRequired[str]
    role: NotRequired[Literal["member", "admin", None]]
    user_id: str


class AddOrganizationMember(TypedDict):
    created_at: str
    invited_by: NotRequired[str | None]
    organization_id: str
    role: str
    status: Literal["member", "invited"]
    user_id: str


class ApplyDevicePresetArguments(TypedDict):
    integration_id: str
    preset: str
    topic_prefix: NotRequired[str | None]


class PayloadRulesRow(TypedDict):
    condition: str | None
    created_at: str | None
    decode: str | None
    description: str | None
    device: str | None
    id: str | None
    integration_id: str | None
    layout: Any
    metrics: Any
    offline_after: int | None
    organization_id: str | None
    position: int | None
    presence: str | None
    preset: str | None
    role: str | None
    samples: list[str] | None
    time: Any
    topic: str | None
    transform: str | None
    updated_at: str | None


class ApplyDevicePreset(TypedDict):
    rules: list[PayloadRulesRow]
    topics: list[str]


class CancelMqttPublishArguments(TypedDict):
    receipt_ids: list[str]


class CancelMqttPublish(TypedDict):
    attempts: int | None
    integration_id: str | None
    organization_id: str | None
    qos: int | None
    queued_at: str | None
    reason: str | None
    reason_code: int | None
    receipt_id: str | None
    settled_at: str | None
    state: str | None
    topic: str | None


class CheckMqttLedgerArguments(TypedDict):
    pass


class CheckMqttLedger(TypedDict):
    accepted: int | None
    completed: int | None
    dead: int | None
    difference: int | None
    expired: int | None
    hour: str | None
    organization_id: str | None
    queued: int | None


class CleanupMqttQueueArguments(TypedDict):
    pass


class CleanupMqttQueue(TypedDict):
    activity: int
    callbacks: int
    completed: int
    failed: int
    idempotency_keys: int
    more: bool
    postponed: NotRequired[str]
    readings: int
    receipts: int
    requests: int


class CreateApiKeyArguments(TypedDict):
    expires_at: NotRequired[str | None]
    integration_ids: NotRequired[list[str] | None]
    name: str
    organization_id: NotRequired[str]
    scope: NotRequired[Literal["read", "publish", "admin", None]]


class CreateApiKey(TypedDict):
    created_at: str
    created_by: str | None
    expires_at: str | None
    id: str
    integration_ids: list[str] | None
    key: str
    key_start: str
    last_used_at: str | None
    name: str
    organization_id: str
    scope: str


class CreateBrowserLoginArguments(TypedDict):
    integration_id: str
    lifetime: NotRequired[str | float | None]
    organization_id: NotRequired[str | None]
    subscribe_filters: NotRequired[list[str] | None]


class CreateBrowserLogin(TypedDict):
    broker_url: str | None
    can_publish: bool | None
    can_subscribe: bool | None
    client_id: str | None
    connection_count: int | None
    created_at: str | None
    credential_id: str
    device_id: str | None
    expires_at: str | None
    id: str | None
    integration_id: str | None
    last_connected_at: str | None
    max_burst: int | None
    max_per_second: float | None
    member_id: str | None
    organization_id: str | None
    password: str
    previous_until: str | None
    publish_filters: list[str] | None
    revoked_at: str | None
    rotated_at: str | None
    status: str | None
    subscribe_filters: list[str] | None
    topic_prefix: str | None
    username: str | None


class CreateOrganizationArguments(TypedDict):
    admin_user_id: NotRequired[str | None]
    name: str
    slug: str


class CreateOrganization(TypedDict):
    activity_days: int | None
    completed_days: int | None
    created_at: str
    failed_days: int | None
    has_all_topics: bool
    history_trimmed_to: str | None
    id: str
    ingest_pause: str | None
    max_burst: int | None
    max_bytes_per_second: int | None
    max_calls: int | None
    max_integrations: int | None
    max_logins: int | None
    max_payload_bytes: int | None
    max_per_second: float | None
    max_processing_seconds: float | None
    max_queued: int | None
    max_stream_connections: int | None
    max_subscriptions: int | None
    moving_to: str | None
    name: str
    number: int
    publish_pause: str | None
    rollup_days: int | None
    rollup_minute_days: int | None
    slug: str
    topic_prefix: str


class CreateStreamTicketArguments(TypedDict):
    pass


class CreateStreamTicket(TypedDict):
    expires_at: str
    ticket: str


class DeleteDeviceArguments(TypedDict):
    device_id: str
    integration_id: NotRequired[str | None]
    organization_id: NotRequired[str | None]
    with_data: NotRequired[bool | None]


class DeletionJsonRowDeleted(TypedDict):
    callbacks: int
    dead_letters: int
    messages: int
    others: int
    readings: int
    receipts: int
    rollups: int


class DeletionJsonRowSelected(TypedDict):
    device_id: str | None
    filter: str | None
    integration_id: str | None
    since: str | None
    time: Literal["measured", "received"]
    until: str | None


class DeletionJsonRow(TypedDict):
    deleted: DeletionJsonRowDeleted
    failure: str | None
    finished_at: str | None
    id: str
    kind: Literal["device", "messages", "organization", "rollups"]
    organization_id: str
    requested_at: str
    requested_by: str | None
    retry_at: str | None
    rollup_hours_kept: int
    selected: DeletionJsonRowSelected | None
    started_at: str | None
    state: Literal["queued", "waiting", "running", "done"]
    subject: str | None


class DeleteIntegrationArguments(TypedDict):
    integration_id: str


class IntegrationJsonRow(TypedDict):
    created_at: str | None
    has_password: bool | None
    id: str | None
    integration_type: str | None
    name: str | None
    organization_id: str | None
    settings: Any
    status: str | None
    status_detail: str | None
    updated_at: str | None


class DeleteMessagesArguments(TypedDict):
    device_id: NotRequired[str | None]
    filter: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    organization_id: NotRequired[str | None]
    since: NotRequired[str | None]
    time: NotRequired[str | None]
    until: NotRequired[str | None]


class DeleteMqttCredentialsArguments(TypedDict):
    credential_id: NotRequired[str | None]
    ended_before: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    limit: NotRequired[int | None]


class DeleteMqttCredentials(TypedDict):
    deleted: int
    more: bool


class DeleteOrganizationArguments(TypedDict):
    confirm: NotRequired[str | None]
    organization_id: NotRequired[str]


class DeletePayloadRuleArguments(TypedDict):
    rule_id: str


class EmqxAuthenticateArguments(TypedDict):
    clientid: str
    password: str
    username: str


class EmqxAuthenticate(TypedDict):
    expire_at: NotRequired[int]
    is_superuser: bool
    reason: NotRequired[Literal["broker_unknown"]]
    result: Literal["allow", "deny"]


class EmqxAuthorizeArguments(TypedDict):
    action: str
    clientid: NotRequired[str | None]
    qos: NotRequired[str | None]
    retain: NotRequired[str | None]
    topic: str
    username: str


class EmqxAuthorize(TypedDict):
    reason: NotRequired[Literal["broker_unknown"]]
    result: Literal["allow", "deny"]


class ExplainMqttAccessArguments(TypedDict):
    action: Literal["publish", "subscribe"]
    credential_id: str
    topic: str


class ExplainMqttAccess(TypedDict):
    allowed: bool
    explanation: str
    reason: Literal[
        "allowed",
        "revoked",
        "expired",
        "integration_inactive",
        "publish_not_allowed",
        "subscribe_not_allowed",
        "topic_invalid",
        "topic_not_allowed",
    ]
    rule: str | None
    rules: list[str]


class GenerateBrokerKeyArguments(TypedDict):
    exchange: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    name: str
    vhost: NotRequired[str | None]


class GenerateBrokerKey(TypedDict):
    authorization: str
    created_at: str
    exchange: str
    id: str
    integration_id: str | None
    key: str
    name: str
    organization_id: str | None
    username: str
    vhost: str


class GenerateMqttCredentialsArguments(TypedDict):
    can_publish: NotRequired[bool | None]
    can_subscribe: NotRequired[bool | None]
    client_id: NotRequired[str | None]
    device_id: NotRequired[str | None]
    expires_at: NotRequired[str | None]
    external_id: NotRequired[str | None]
    integration_id: str
    max_burst: NotRequired[int | None]
    max_per_second: NotRequired[float | None]
    organization_id: NotRequired[str | None]
    publish_filters: NotRequired[list[str] | None]
    subscribe_filters: NotRequired[list[str] | None]
    topic_prefix: NotRequired[str | None]


class GenerateMqttCredentials(TypedDict):
    broker_url: str | None
    can_publish: bool | None
    can_subscribe: bool | None
    client_id: str | None
    connection_count: int | None
    created_at: str | None
    credential_id: str
    device_id: str | None
    expires_at: str | None
    id: str | None
    integration_id: str | None
    last_connected_at: str | None
    max_burst: int | None
    max_per_second: float | None
    member_id: str | None
    organization_id: str | None
    password: str
    previous_until: str | None
    publish_filters: list[str] | None
    revoked_at: str | None
    rotated_at: str | None
    status: str | None
    subscribe_filters: list[str] | None
    topic_prefix: str | None
    username: str | None


class GetApiVersionArguments(TypedDict):
    pass


class GetApiVersion(TypedDict):
    version: str


class GetBrokerKeysArguments(TypedDict):
    pass


class GetBrokerKeys(TypedDict):
    created_at: str
    exchange: str
    id: str
    integration_id: str | None
    name: str
    organization_id: str | None
    username: str
    vhost: str


class GetCallerArguments(TypedDict):
    pass


class GetCaller(TypedDict):
    is_operator: bool
    role: str
    user_id: str | None


class GetCapabilitiesArguments(TypedDict):
    integration_id: NotRequired[str | None]


class GetCapabilities(TypedDict):
    supportsBidirectionalSync: bool
    supportsFirmwareManagement: bool
    supportsRealTimeStatus: bool
    supportsRemoteCommands: bool
    supportsTelemetry: bool


class GetDeletionArguments(TypedDict):
    deletion_id: str


class GetDeviceArguments(TypedDict):
    device_id: NotRequired[str | None]
    external_id: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    organization_id: NotRequired[str | None]


class GetDevice(TypedDict):
    created_at: str | None
    external_id: str | None
    found_by: Literal["id", "external_id"]
    id: str | None
    integration_id: str | None
    last_data: Any
    last_data_at: str | None
    last_seen_at: str | None
    latest: Any
    metadata: Any
    name: str | None
    organization_id: str | None
    presence: Any


class GetMqttCredentialsArguments(TypedDict):
    credential_id: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    organization_id: NotRequired[str | None]


class CredentialJsonRow(TypedDict):
    broker_url: str | None
    can_publish: bool | None
    can_subscribe: bool | None
    client_id: str | None
    connection_count: int | None
    created_at: str | None
    credential_id: str
    device_id: str | None
    expires_at: str | None
    id: str | None
    integration_id: str | None
    last_connected_at: str | None
    max_burst: int | None
    max_per_second: float | None
    member_id: str | None
    organization_id: str | None
    previous_until: str | None
    publish_filters: list[str] | None
    revoked_at: str | None
    rotated_at: str | None
    status: str | None
    subscribe_filters: list[str] | None
    topic_prefix: str | None
    username: str | None


class GetMqttLedgerArguments(TypedDict):
    organization_id: NotRequired[str]
    since: NotRequired[str | None]
    unit: NotRequired[str | None]
    until: NotRequired[str | None]


class GetMqttLedger(TypedDict):
    accepted: int | None
    at: str | None
    completed: int | None
    dead: int | None
    expired: int | None
    queued: int | None


class GetMqttPublishReceiptsArguments(TypedDict):
    receipt_ids: list[str]
    wait: NotRequired[float | None]


class GetMqttPublishReceipts(TypedDict):
    attempts: int | None
    integration_id: str | None
    organization_id: str | None
    qos: int | None
    queued_at: str | None
    reason: str | None
    reason_code: int | None
    receipt_id: str | None
    settled_at: str | None
    state: str | None
    topic: str | None


class GetMqttQueueStatsArguments(TypedDict):
    org_id: NotRequired[str | None]
    organization_id: NotRequired[str | None]


class GetMqttQueueStatsRates(TypedDict):
    dead_per_second: float
    in_per_second: float
    out_per_second: float
    retry_per_second: float


class GetMqttQueueStatsSecondsInQueue(TypedDict):
    p50: float | None
    p99: float | None


class GetMqttQueueStatsTopErrors(TypedDict):
    code: str | None
    count: int
    error: str | None


class GetMqttQueueStats(TypedDict):
    completed: int
    dead: int
    failed: int
    oldest_pending_seconds: float | None
    organization_id: str
    pending: int
    processing: int
    rates: dict[str, GetMqttQueueStatsRates]
    retrying: int
    seconds_in_queue: GetMqttQueueStatsSecondsInQueue
    top_errors: list[GetMqttQueueStatsTopErrors]


class GetMqttRequestArguments(TypedDict):
    request_id: str
    stage: NotRequired[str | None]
    wait: NotRequired[float | None]


class GetMqttRequest(TypedDict):
    created_at: str
    finished_at: str | None
    integration_id: str
    organization_id: str
    request_id: str
    request_type: Literal["test_connection"]
    result: dict[str, Any] | None
    status: Literal["queued", "running", "done"]


class GetOrganizationUsageArguments(TypedDict):
    since: NotRequired[str | None]
    until: NotRequired[str | None]


class GetOrganizationUsage(TypedDict):
    accepted: int | None
    bytes: int | None
    connections: int | None
    dead: int | None
    devices: int | None
    integrations: int | None
    limits: Any
    logins: int | None
    name: str | None
    organization_id: str | None
    processing_seconds: float | None
    published: int | None
    queued: int | None
    received: int | None
    seconds_to_store: float | None
    slug: str | None
    stream_connections: int | None
    subscriptions: int | None


class GetSystemStatusArguments(TypedDict):
    pass


class GetSystemStatusBridges(TypedDict):
    id: str
    integrations: int
    is_live: bool
    name: str
    silent_seconds: float
    started_at: str
    version: str


class GetSystemStatusIntegrations(TypedDict):
    bridge: str | None
    broker: str | None
    id: str
    integration_type: str
    name: str
    organization: str
    outbound_waiting: int
    reason: str | None
    since: str
    status: str


class GetSystemStatusQueues(TypedDict):
    messages: int
    oldest_seconds: float | None


class GetSystemStatus(TypedDict):
    at: str
    bridges: list[GetSystemStatusBridges]
    ingest_pause: str | None
    integrations: list[GetSystemStatusIntegrations]
    ledger_faults: int
    notify_queue_ratio: float
    partitions: list[dict[str, Any]]
    publish_pause: str | None
    queues: dict[str, GetSystemStatusQueues]
    sealing: dict[str, Any]
    vacuum_holders: int
    workers: list[str]


class GetVacuumHoldersArguments(TypedDict):
    older_than: NotRequired[str | float | None]


class GetVacuumHolders(TypedDict):
    held_seconds: int | None
    kind: str | None
    name: str | None
    pid: int | None
    state: str | None
    transactions: int | None


class ImportMessagesArguments(TypedDict):
    integration_id: str
    messages: Any


class ImportMessagesRejected(TypedDict):
    code: str
    index: int
    message: str


class ImportMessages(TypedDict):
    imported: int
    rejected: list[ImportMessagesRejected]
    repeated: int


class ListApiKeysArguments(TypedDict):
    organization_id: NotRequired[str]


class ListApiKeys(TypedDict):
    created_at: str
    created_by: str | None
    expires_at: str | None
    id: str
    integration_ids: list[str] | None
    key_start: str
    last_used_at: str | None
    name: str
    organization_id: str
    scope: str


class ListDeletionsArguments(TypedDict):
    limit: NotRequired[int | None]
    organization_id: NotRequired[str | None]


class ListDevicePresetsArguments(TypedDict):
    pass


class ListDevicePresets(TypedDict):
    description: str
    preset: str
    rules: Any
    title: str
    topics: list[str]


class ListDevicesArguments(TypedDict):
    cursor: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    limit: NotRequired[int | None]
    organization_id: NotRequired[str | None]


class DevicesRow(TypedDict):
    created_at: str | None
    external_id: str | None
    id: str | None
    integration_id: str | None
    last_data: Any
    last_data_at: str | None
    last_seen_at: str | None
    latest: Any
    metadata: Any
    name: str | None
    organization_id: str | None
    presence: Any


class ListDevices(TypedDict):
    devices: list[DevicesRow]
    next_cursor: str | None


class ListMessagesArguments(TypedDict):
    cursor: NotRequired[str | None]
    device_id: NotRequired[str | None]
    direction: NotRequired[str | None]
    filter: NotRequired[str | None]
    id: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    limit: NotRequired[int | None]
    oldest_first: NotRequired[bool | None]
    organization_id: NotRequired[str | None]
    page_size: NotRequired[int | None]
    since: NotRequired[str | None]
    stored_since: NotRequired[str | None]
    topic: NotRequired[str | None]
    until: NotRequired[str | None]


class ListMessages(TypedDict):
    body: str | None
    content_type: str | None
    created_at: str | None
    cursor: str | None
    decode_error: str | None
    device_id: str | None
    direction: str | None
    failed: bool | None
    id: str | None
    integration_id: str | None
    measured_at: str | None
    message_type: str | None
    organization_id: str | None
    payload: Any
    properties: Any
    qos: int | None
    received_at: str | None
    retain: bool | None
    sent_at: str | None
    timestamp_ignored: bool | None
    topic: str | None


class ListOrganizationInvitationsArguments(TypedDict):
    organization_id: NotRequired[str | None]


class ListOrganizationInvitations(TypedDict):
    created_at: str
    invited_by: str | None
    organization_id: str
    organization_name: str
    role: str
    user_id: str


class MqttHybridCredentialsArguments(TypedDict):
    action: Literal["generate", "get", "revoke"]
    client_id: NotRequired[str | None]
    credential_id: NotRequired[str | None]
    device_id: NotRequired[str | None]
    expires_at: NotRequired[str | None]
    external_id: NotRequired[str | None]
    integration_id: str
    organization_id: NotRequired[str | None]
    topic_prefix: NotRequired[str | None]


class MqttHybridCredentials(TypedDict):
    broker_url: str | None
    can_publish: bool | None
    can_subscribe: bool | None
    client_id: str | None
    connection_count: int | None
    created_at: str | None
    credential_id: str
    device_id: str | None
    expires_at: str | None
    id: str | None
    integration_id: str | None
    last_connected_at: str | None
    max_burst: int | None
    max_per_second: float | None
    member_id: str | None
    organization_id: str | None
    password: str
    previous_until: str | None
    publish_filters: list[str] | None
    revoked_at: str | None
    rotated_at: str | None
    status: str | None
    subscribe_filters: list[str] | None
    topic_prefix: str | None
    username: str | None


class MqttHybridCredentials1(TypedDict):
    credentials: list[CredentialJsonRow]


class MqttIngestArguments(TypedDict):
    content_type: NotRequired[str | None]
    correlation_data: NotRequired[str | None]
    message_expiry: NotRequired[Any]
    message_id: NotRequired[str | None]
    payload: Any
    payload_encoding: NotRequired[Literal["json", "text", "base64", None]]
    payload_format: NotRequired[str | None]
    qos: NotRequired[Any]
    response_topic: NotRequired[str | None]
    retain: NotRequired[Any]
    timestamp: NotRequired[Any]
    topic: str
    user_properties: NotRequired[Any]


class MqttIngest(TypedDict):
    message_id: str
    status: Literal["queued"]


class MqttIngestBatchMessages(TypedDict):
    content_type: NotRequired[str | None]
    message_id: NotRequired[str | None]
    payload: Any
    payload_encoding: NotRequired[Literal["json", "text", "base64"]]
    qos: NotRequired[Any]
    retain: NotRequired[Any]
    timestamp: NotRequired[Any]
    topic: str


class MqttIngestBatchArguments(TypedDict):
    messages: list[MqttIngestBatchMessages]


class MqttIngestBatchRejected(TypedDict):
    code: str
    index: int
    message: str


class MqttIngestBatch(TypedDict):
    accepted: int
    rejected: list[MqttIngestBatchRejected]


class MqttPublishMessages(TypedDict):
    content_type: NotRequired[str | None]
    correlation_data: NotRequired[str | None]
    deliver_at: NotRequired[str | None]
    message_expiry: NotRequired[int | None]
    payload: NotRequired[Any]
    payload_encoding: NotRequired[Literal["json", "text", "base64"]]
    qos: NotRequired[int]
    response_topic: NotRequired[str | None]
    retain: NotRequired[bool]
    topic: str
    user_properties: NotRequired[Any]


class MqttPublishArguments(TypedDict):
    integration_id: str
    messages: list[MqttPublishMessages]
    organization_id: NotRequired[str | None]


class MqttPublishReceipts(TypedDict):
    index: int
    receipt_id: str


class MqttPublish(TypedDict):
    receipts: list[MqttPublishReceipts]
    status: Literal["queued"]


class MqttSubscribeCallbackSecret(TypedDict):
    sealed: str


class MqttSubscribeArguments(TypedDict):
    callback_ordered: NotRequired[bool | None]
    callback_secret: NotRequired[MqttSubscribeCallbackSecret | None]
    callback_url: NotRequired[str | None]
    integration_id: str
    is_paused: NotRequired[bool | None]
    no_local: NotRequired[bool | None]
    organization_id: NotRequired[str | None]
    qos: NotRequired[int | None]
    retain_handling: NotRequired[int | None]
    topic: str


class MqttSubscribe(TypedDict):
    callback_gone_at: str | None
    callback_ordered: bool
    callback_secret: NotRequired[str]
    callback_url: str | None
    created_at: str
    granted_qos: int | None
    id: str
    integration_id: str
    is_paused: bool
    no_local: bool
    organization_id: str
    qos: int
    retain_handling: int
    status: str
    status_detail: str | None
    topic: str
    updated_at: str


class MqttTestConnectionArguments(TypedDict):
    integration_id: str
    organization_id: NotRequired[str | None]


class MqttTestConnection(TypedDict):
    request_id: str
    status: Literal["queued"]


class MqttUnsubscribeArguments(TypedDict):
    subscription_id: str


class MqttUnsubscribe(TypedDict):
    callback_gone_at: str | None
    callback_ordered: bool
    callback_url: str | None
    created_at: str
    granted_qos: int | None
    id: str
    integration_id: str
    is_paused: bool
    no_local: bool
    organization_id: str
    qos: int
    retain_handling: int
    status: str
    status_detail: str | None
    topic: str
    updated_at: str


class OpenapiArguments(TypedDict):
    pass


class ProcessMqttQueueArguments(TypedDict):
    batch_size: NotRequired[int | None]


class ProcessMqttQueue(TypedDict):
    dead: int
    failed: int
    more: bool
    processed: int


class ProcessMqttQueueMessageArguments(TypedDict):
    message_id: NotRequired[str | None]
    p_message_id: NotRequired[str | None]


class ProcessMqttQueueMessage(TypedDict):
    message_id: str
    status: Literal["completed", "pending", "failed"]


class QuerySeriesArguments(TypedDict):
    aggregates: NotRequired[list[Literal["avg", "min", "max", "sum", "count", "first", "last", "delta", "p50", "p90", "p95", "p99"]] | None]
    bucket: NotRequired[str | float | None]
    device_ids: NotRequired[list[str] | None]
    fill: NotRequired[Literal["none", "previous", "zero", None]]
    integration_id: NotRequired[str | None]
    max_points: NotRequired[int | None]
    metrics: NotRequired[list[str] | None]
    organization_id: NotRequired[str | None]
    since: NotRequired[str | None]
    time_zone: NotRequired[str | None]
    until: NotRequired[str | None]


class QuerySeries(TypedDict):
    deviceId: str
    metric: str
    points: list[list[float | None]]


class QueryTelemetryArguments(TypedDict):
    aggregates: NotRequired[list[str] | None]
    bucket: NotRequired[str | float | None]
    cursor: NotRequired[str | None]
    device_id: NotRequired[str | None]
    device_ids: NotRequired[list[str] | None]
    external_id: NotRequired[str | None]
    integration_id: NotRequired[str | None]
    limit: NotRequired[int | None]
    message_types: NotRequired[list[str] | None]
    metrics: NotRequired[list[str] | None]
    organization_id: NotRequired[str | None]
    since: NotRequired[str | None]
    time: NotRequired[str | None]
    time_zone: NotRequired[str | None]
    until: NotRequired[str | None]


class QueryTelemetry(TypedDict):
    cursor: str | None
    deviceId: str | None
    metrics: Any
    timestamp: str | None


class ReapplyPayloadRulesArguments(TypedDict):
    cursor: NotRequired[str | None]
    integration_id: str
    limit: NotRequired[int | None]
    since: str
    until: NotRequired[str | None]


class ReapplyPayloadRules(TypedDict):
    messages: int
    next_cursor: str | None
    packed_days: list[str]
    readings: int


class RemoveOrganizationMemberArguments(TypedDict):
    organization_id: NotRequired[str]
    user_id: str


class RemoveOrganizationMember(TypedDict):
    created_at: str
    invited_by: NotRequired[str | None]
    organization_id: str
    role: str
    status: Literal["member", "invited"]
    user_id: str


class ReplayMqttCallbackDeliveriesArguments(TypedDict):
    ids: NotRequired[list[str] | None]
    subscription_id: str


class ReplayMqttCallbackDeliveries(TypedDict):
    replayed: int


class ReplayMqttDeadLettersArguments(TypedDict):
    dry_run: NotRequired[bool | None]
    error: NotRequired[str | None]
    ids: NotRequired[list[str] | None]
    limit: NotRequired[int | None]
    max_per_second: NotRequired[float | None]
    organization_id: NotRequired[str]
    patch: NotRequired[Any]
    since: NotRequired[str | None]
    to_integration_id: NotRequired[str | None]
    topic: NotRequired[str | None]
    until: NotRequired[str | None]


class ReplayMqttDeadLettersMessages(TypedDict):
    direction: Literal["incoming", "outgoing"]
    due_at: str | None
    id: str
    topic: str


class ReplayMqttDeadLetters(TypedDict):
    matched: int
    messages: list[ReplayMqttDeadLettersMessages]
    replayed: int


class ReplayMqttMessagesArguments(TypedDict):
    dry_run: NotRequired[bool | None]
    integration_id: str
    limit: NotRequired[int | None]
    max_per_second: NotRequired[float | None]
    since: str
    to_integration_id: NotRequired[str | None]
    to_topic: NotRequired[str | None]
    topic: str
    until: NotRequired[str | None]


class ReplayMqttMessagesMessages(TypedDict):
    direction: Literal["incoming", "outgoing"]
    due_at: str | None
    id: str
    topic: str


class ReplayMqttMessages(TypedDict):
    matched: int
    messages: list[ReplayMqttMessagesMessages]
    replayed: int
    until: str | None


class RevokeApiKeyArguments(TypedDict):
    key_id: str


class RevokeApiKey(TypedDict):
    created_at: str
    created_by: str | None
    expires_at: str | None
    id: str
    integration_ids: list[str] | None
    key_start: str
    last_used_at: str | None
    name: str
    organization_id: str
    scope: str


class RevokeBrokerKeyArguments(TypedDict):
    key_id: str


class RevokeBrokerKey(TypedDict):
    created_at: str
    exchange: str
    id: str
    integration_id: str | None
    name: str
    organization_id: str | None
    username: str
    vhost: str


class RevokeMqttCredentialsArguments(TypedDict):
    credential_id: str


class RotateMqttCallbackSecretCallbackSecret(TypedDict):
    sealed: str


class RotateMqttCallbackSecretArguments(TypedDict):
    callback_secret: NotRequired[RotateMqttCallbackSecretCallbackSecret | None]
    grace: NotRequired[str | float | None]
    grace_seconds: NotRequired[int | None]
    subscription_id: str


class RotateMqttCallbackSecret(TypedDict):
    callback_secret: NotRequired[str]
    subscription_id: str


class RotateMqttCredentialsArguments(TypedDict):
    credential_id: str
    grace: NotRequired[str | float | None]


class RotateMqttCredentials(TypedDict):
    broker_url: str | None
    can_publish: bool | None
    can_subscribe: bool | None
    client_id: str | None
    connection_count: int | None
    created_at: str | None
    credential_id: str
    device_id: str | None
    expires_at: str | None
    id: str | None
    integration_id: str | None
    last_connected_at: str | None
    max_burst: int | None
    max_per_second: float | None
    member_id: str | None
    organization_id: str | None
    password: str
    previous_until: str | None
    publish_filters: list[str] | None
    revoked_at: str | None
    rotated_at: str | None
    status: str | None
    subscribe_filters: list[str] | None
    topic_prefix: str | None
    username: str | None


class SetOrganizationLimitsArguments(TypedDict):
    activity_days: NotRequired[int | None]
    completed_days: NotRequired[int | None]
    failed_days: NotRequired[int | None]
    max_burst: NotRequired[int | None]
    max_bytes_per_second: NotRequired[int | None]
    max_calls: NotRequired[int | None]
    max_integrations: NotRequired[int | None]
    max_logins: NotRequired[int | None]
    max_payload_bytes: NotRequired[int | None]
    max_per_second: NotRequired[float | None]
    max_processing_seconds: NotRequired[float | None]
    max_queued: NotRequired[int | None]
    max_stream_connections: NotRequired[int | None]
    max_subscriptions: NotRequired[int | None]
    organization_id: NotRequired[str]
    rollup_days: NotRequired[int | None]
    rollup_minute_days: NotRequired[int | None]


class SetOrganizationLimits(TypedDict):
    activity_days: int | None
    completed_days: int | None
    created_at: str
    failed_days: int | None
    has_all_topics: bool
    history_trimmed_to: str | None
    id: str
    ingest_pause: str | None
    max_burst: int | None
    max_bytes_per_second: int | None
    max_calls: int | None
    max_integrations: int | None
    max_logins: int | None
    max_payload_bytes: int | None
    max_per_second: float | None
    max_processing_seconds: float | None
    max_queued: int | None
    max_stream_connections: int | None
    max_subscriptions: int | None
    moving_to: str | None
    name: str
    number: int
    publish_pause: str | None
    rollup_days: int | None
    rollup_minute_days: int | None
    slug: str
    topic_prefix: str


class SyncDeviceArguments(TypedDict):
    external_id: str
    integration_id: str
    metadata: NotRequired[dict[str, Any] | None]
    name: NotRequired[str | None]
    organization_id: NotRequired[str | None]


class TryPayloadRulesArguments(TypedDict):
    content_type: NotRequired[str | None]
    integration_id: str
    login: NotRequired[str | None]
    payload: NotRequired[Any]
    payload_base64: NotRequired[str | None]
    topic: str


class TryPayloadRulesConsidered(TypedDict):
    condition: str | None
    matches: str
    position: int
    topic: str


class TryPayloadRulesSamples(TypedDict):
    device: str | None
    metadata: Any
    metrics: Any
    presence: Any
    reason: str | None
    role: str | None
    time: str | None


class TryPayloadRules(TypedDict):
    considered: list[TryPayloadRulesConsidered]
    decode_error: str | None
    payload: Any
    rule: PayloadRulesRow | None
    samples: list[TryPayloadRulesSamples]
    transformed: Any


class UpsertIntegrationArguments(TypedDict):
    integration_id: NotRequired[str | None]
    integration_type: Literal["mqtt_hosted", "mqtt_external", "mqtt"]
    name: str
    organization_id: NotRequired[str]
    settings: NotRequired[dict[str, Any] | None]
    status: NotRequired[Literal["active", "inactive", None]]


class UpsertPayloadRuleArguments(TypedDict):
    condition: NotRequired[str | None]
    decode: NotRequired[str | None]
    description: NotRequired[str | None]
    device: NotRequired[str | None]
    integration_id: str
    layout: NotRequired[Any]
    metrics: NotRequired[Any]
    offline_after: NotRequired[int | None]
    position: NotRequired[int | None]
    presence: NotRequired[str | None]
    role: NotRequired[str | None]
    rule_id: NotRequired[str | None]
    samples: NotRequired[list[str] | None]
    time: NotRequired[Any]
    topic: str
    transform: NotRequired[str | None]


class Calls:
    @overload
    def call(
        self, name: Literal["accept_organization_invitation"], /, **arguments: Unpack[AcceptOrganizationInvitationArguments]
    ) -> AcceptOrganizationInvitation: ...
    @overload
    def call(
        self, name: Literal["add_organization_member"], /, **arguments: Unpack[AddOrganizationMemberArguments]
    ) -> AddOrganizationMember: ...
    @overload
    def call(self, name: Literal["apply_device_preset"], /, **arguments: Unpack[ApplyDevicePresetArguments]) -> ApplyDevicePreset: ...
    @overload
    def call(self, name: Literal["cancel_mqtt_publish"], /, **arguments: Unpack[CancelMqttPublishArguments]) -> list[CancelMqttPublish]: ...
    @overload
    def call(self, name: Literal["check_mqtt_ledger"], /, **arguments: Unpack[CheckMqttLedgerArguments]) -> list[CheckMqttLedger]: ...
    @overload
    def call(self, name: Literal["cleanup_mqtt_queue"], /, **arguments: Unpack[CleanupMqttQueueArguments]) -> CleanupMqttQueue: ...
    @overload
    def call(self, name: Literal["create_api_key"], /, **arguments: Unpack[CreateApiKeyArguments]) -> CreateApiKey: ...
    @overload
    def call(self, name: Literal["create_browser_login"], /, **arguments: Unpack[CreateBrowserLoginArguments]) -> CreateBrowserLogin: ...
    @overload
    def call(self, name: Literal["create_organization"], /, **arguments: Unpack[CreateOrganizationArguments]) -> CreateOrganization: ...
    @overload
    def call(self, name: Literal["create_stream_ticket"], /, **arguments: Unpack[CreateStreamTicketArguments]) -> CreateStreamTicket: ...
    @overload
    def call(self, name: Literal["delete_device"], /, **arguments: Unpack[DeleteDeviceArguments]) -> DeletionJsonRow: ...
    @overload
    def call(self, name: Literal["delete_integration"], /, **arguments: Unpack[DeleteIntegrationArguments]) -> IntegrationJsonRow: ...
    @overload
    def call(self, name: Literal["delete_messages"], /, **arguments: Unpack[DeleteMessagesArguments]) -> DeletionJsonRow: ...
    @overload
    def call(
        self, name: Literal["delete_mqtt_credentials"], /, **arguments: Unpack[DeleteMqttCredentialsArguments]
    ) -> DeleteMqttCredentials: ...
    @overload
    def call(self, name: Literal["delete_organization"], /, **arguments: Unpack[DeleteOrganizationArguments]) -> DeletionJsonRow: ...
    @overload
    def call(self, name: Literal["delete_payload_rule"], /, **arguments: Unpack[DeletePayloadRuleArguments]) -> PayloadRulesRow: ...
    @overload
    def call(self, name: Literal["emqx_authenticate"], /, **arguments: Unpack[EmqxAuthenticateArguments]) -> EmqxAuthenticate: ...
    @overload
    def call(self, name: Literal["emqx_authorize"], /, **arguments: Unpack[EmqxAuthorizeArguments]) -> EmqxAuthorize: ...
    @overload
    def call(self, name: Literal["explain_mqtt_access"], /, **arguments: Unpack[ExplainMqttAccessArguments]) -> ExplainMqttAccess: ...
    @overload
    def call(self, name: Literal["generate_broker_key"], /, **arguments: Unpack[GenerateBrokerKeyArguments]) -> GenerateBrokerKey: ...
    @overload
    def call(
        self, name: Literal["generate_mqtt_credentials"], /, **arguments: Unpack[GenerateMqttCredentialsArguments]
    ) -> GenerateMqttCredentials: ...
    @overload
    def call(self, name: Literal["get_api_version"], /, **arguments: Unpack[GetApiVersionArguments]) -> GetApiVersion: ...
    @overload
    def call(self, name: Literal["get_broker_keys"], /, **arguments: Unpack[GetBrokerKeysArguments]) -> list[GetBrokerKeys]: ...
    @overload
    def call(self, name: Literal["get_caller"], /, **arguments: Unpack[GetCallerArguments]) -> GetCaller: ...
    @overload
    def call(self, name: Literal["get_capabilities"], /, **arguments: Unpack[GetCapabilitiesArguments]) -> GetCapabilities: ...
    @overload
    def call(self, name: Literal["get_deletion"], /, **arguments: Unpack[GetDeletionArguments]) -> DeletionJsonRow: ...
    @overload
    def call(self, name: Literal["get_device"], /, **arguments: Unpack[GetDeviceArguments]) -> GetDevice: ...
    @overload
    def call(
        self, name: Literal["get_mqtt_credentials"], /, **arguments: Unpack[GetMqttCredentialsArguments]
    ) -> list[CredentialJsonRow]: ...
    @overload
    def call(self, name: Literal["get_mqtt_ledger"], /, **arguments: Unpack[GetMqttLedgerArguments]) -> list[GetMqttLedger]: ...
    @overload
    def call(
        self, name: Literal["get_mqtt_publish_receipts"], /, **arguments: Unpack[GetMqttPublishReceiptsArguments]
    ) -> list[GetMqttPublishReceipts]: ...
    @overload
    def call(self, name: Literal["get_mqtt_queue_stats"], /, **arguments: Unpack[GetMqttQueueStatsArguments]) -> GetMqttQueueStats: ...
    @overload
    def call(self, name: Literal["get_mqtt_request"], /, **arguments: Unpack[GetMqttRequestArguments]) -> GetMqttRequest: ...
    @overload
    def call(
        self, name: Literal["get_organization_usage"], /, **arguments: Unpack[GetOrganizationUsageArguments]
    ) -> list[GetOrganizationUsage]: ...
    @overload
    def call(self, name: Literal["get_system_status"], /, **arguments: Unpack[GetSystemStatusArguments]) -> GetSystemStatus: ...
    @overload
    def call(self, name: Literal["get_vacuum_holders"], /, **arguments: Unpack[GetVacuumHoldersArguments]) -> list[GetVacuumHolders]: ...
    @overload
    def call(self, name: Literal["import_messages"], /, **arguments: Unpack[ImportMessagesArguments]) -> ImportMessages: ...
    @overload
    def call(self, name: Literal["list_api_keys"], /, **arguments: Unpack[ListApiKeysArguments]) -> list[ListApiKeys]: ...
    @overload
    def call(self, name: Literal["list_deletions"], /, **arguments: Unpack[ListDeletionsArguments]) -> list[DeletionJsonRow]: ...
    @overload
    def call(self, name: Literal["list_device_presets"], /, **arguments: Unpack[ListDevicePresetsArguments]) -> list[ListDevicePresets]: ...
    @overload
    def call(self, name: Literal["list_devices"], /, **arguments: Unpack[ListDevicesArguments]) -> ListDevices: ...
    @overload
    def call(self, name: Literal["list_messages"], /, **arguments: Unpack[ListMessagesArguments]) -> list[ListMessages]: ...
    @overload
    def call(
        self, name: Literal["list_organization_invitations"], /, **arguments: Unpack[ListOrganizationInvitationsArguments]
    ) -> list[ListOrganizationInvitations]: ...
    @overload
    def call(
        self, name: Literal["mqtt_hybrid_credentials"], /, **arguments: Unpack[MqttHybridCredentialsArguments]
    ) -> MqttHybridCredentials | MqttHybridCredentials1 | CredentialJsonRow: ...
    @overload
    def call(self, name: Literal["mqtt_ingest"], /, **arguments: Unpack[MqttIngestArguments]) -> MqttIngest: ...
    @overload
    def call(self, name: Literal["mqtt_ingest_batch"], /, **arguments: Unpack[MqttIngestBatchArguments]) -> MqttIngestBatch: ...
    @overload
    def call(self, name: Literal["mqtt_publish"], /, **arguments: Unpack[MqttPublishArguments]) -> MqttPublish: ...
    @overload
    def call(self, name: Literal["mqtt_subscribe"], /, **arguments: Unpack[MqttSubscribeArguments]) -> MqttSubscribe: ...
    @overload
    def call(self, name: Literal["mqtt_test_connection"], /, **arguments: Unpack[MqttTestConnectionArguments]) -> MqttTestConnection: ...
    @overload
    def call(self, name: Literal["mqtt_unsubscribe"], /, **arguments: Unpack[MqttUnsubscribeArguments]) -> MqttUnsubscribe: ...
    @overload
    def call(self, name: Literal["openapi"], /, **arguments: Unpack[OpenapiArguments]) -> dict[str, Any]: ...
    @overload
    def call(self, name: Literal["process_mqtt_queue"], /, **arguments: Unpack[ProcessMqttQueueArguments]) -> ProcessMqttQueue: ...
    @overload
    def call(
        self, name: Literal["process_mqtt_queue_message"], /, **arguments: Unpack[ProcessMqttQueueMessageArguments]
    ) -> ProcessMqttQueueMessage: ...
    @overload
    def call(self, name: Literal["query_series"], /, **arguments: Unpack[QuerySeriesArguments]) -> list[QuerySeries]: ...
    @overload
    def call(self, name: Literal["query_telemetry"], /, **arguments: Unpack[QueryTelemetryArguments]) -> list[QueryTelemetry]: ...
    @overload
    def call(self, name: Literal["reapply_payload_rules"], /, **arguments: Unpack[ReapplyPayloadRulesArguments]) -> ReapplyPayloadRules: ...
    @overload
    def call(
        self, name: Literal["remove_organization_member"], /, **arguments: Unpack[RemoveOrganizationMemberArguments]
    ) -> RemoveOrganizationMember: ...
    @overload
    def call(
        self, name: Literal["replay_mqtt_callback_deliveries"], /, **arguments: Unpack[ReplayMqttCallbackDeliveriesArguments]
    ) -> ReplayMqttCallbackDeliveries: ...
    @overload
    def call(
        self, name: Literal["replay_mqtt_dead_letters"], /, **arguments: Unpack[ReplayMqttDeadLettersArguments]
    ) -> ReplayMqttDeadLetters: ...
    @overload
    def call(self, name: Literal["replay_mqtt_messages"], /, **arguments: Unpack[ReplayMqttMessagesArguments]) -> ReplayMqttMessages: ...
    @overload
    def call(self, name: Literal["revoke_api_key"], /, **arguments: Unpack[RevokeApiKeyArguments]) -> RevokeApiKey: ...
    @overload
    def call(self, name: Literal["revoke_broker_key"], /, **arguments: Unpack[RevokeBrokerKeyArguments]) -> RevokeBrokerKey: ...
    @overload
    def call(
        self, name: Literal["revoke_mqtt_credentials"], /, **arguments: Unpack[RevokeMqttCredentialsArguments]
    ) -> CredentialJsonRow: ...
    @overload
    def call(
        self, name: Literal["rotate_mqtt_callback_secret"], /, **arguments: Unpack[RotateMqttCallbackSecretArguments]
    ) -> RotateMqttCallbackSecret: ...
    @overload
    def call(
        self, name: Literal["rotate_mqtt_credentials"], /, **arguments: Unpack[RotateMqttCredentialsArguments]
    ) -> RotateMqttCredentials: ...
    @overload
    def call(
        self, name: Literal["set_organization_limits"], /, **arguments: Unpack[SetOrganizationLimitsArguments]
    ) -> SetOrganizationLimits: ...
    @overload
    def call(self, name: Literal["sync_device"], /, **arguments: Unpack[SyncDeviceArguments]) -> DevicesRow: ...
    @overload
    def call(self, name: Literal["try_payload_rules"], /, **arguments: Unpack[TryPayloadRulesArguments]) -> TryPayloadRules: ...
    @overload
    def call(self, name: Literal["upsert_integration"], /, **arguments: Unpack[UpsertIntegrationArguments]) -> IntegrationJsonRow: ...
    @overload
    def call(self, name: Literal["upsert_payload_rule"], /, **arguments: Unpack[UpsertPayloadRuleArguments]) -> PayloadRulesRow: ...
    def call(self, name: str, /, **arguments: Any) -> Any:
        """Make a call; its answer. Raises TopicbaseError."""
        return self._call(name, arguments)

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        raise NotImplementedError


class AsyncCalls:
    @overload
    async def call(
        self, name: Literal["accept_organization_invitation"], /, **arguments: Unpack[AcceptOrganizationInvitationArguments]
    ) -> AcceptOrganizationInvitation: ...
    @overload
    async def call(
        self, name: Literal["add_organization_member"], /, **arguments: Unpack[AddOrganizationMemberArguments]
    ) -> AddOrganizationMember: ...
    @overload
    async def call(self, name: Literal["apply_device_preset"], /, **arguments: Unpack[ApplyDevicePresetArguments]) -> ApplyDevicePreset: ...
    @overload
    async def call(
        self, name: Literal["cancel_mqtt_publish"], /, **arguments: Unpack[CancelMqttPublishArguments]
    ) -> list[CancelMqttPublish]: ...
    @overload
    async def call(self, name: Literal["check_mqtt_ledger"], /, **arguments: Unpack[CheckMqttLedgerArguments]) -> list[CheckMqttLedger]: ...
    @overload
    async def call(self, name: Literal["cleanup_mqtt_queue"], /, **arguments: Unpack[CleanupMqttQueueArguments]) -> CleanupMqttQueue: ...
    @overload
    async def call(self, name: Literal["create_api_key"], /, **arguments: Unpack[CreateApiKeyArguments]) -> CreateApiKey: ...
    @overload
    async def call(
        self, name: Literal["create_browser_login"], /, **arguments: Unpack[CreateBrowserLoginArguments]
    ) -> CreateBrowserLogin: ...
    @overload
    async def call(
        self, name: Literal["create_organization"], /, **arguments: Unpack[CreateOrganizationArguments]
    ) -> CreateOrganization: ...
    @overload
    async def call(
        self, name: Literal["create_stream_ticket"], /, **arguments: Unpack[CreateStreamTicketArguments]
    ) -> CreateStreamTicket: ...
    @overload
    async def call(self, name: Literal["delete_device"], /, **arguments: Unpack[DeleteDeviceArguments]) -> DeletionJsonRow: ...
    @overload
    async def call(self, name: Literal["delete_integration"], /, **arguments: Unpack[DeleteIntegrationArguments]) -> IntegrationJsonRow: ...
    @overload
    async def call(self, name: Literal["delete_messages"], /, **arguments: Unpack[DeleteMessagesArguments]) -> DeletionJsonRow: ...
    @overload
    async def call(
        self, name: Literal["delete_mqtt_credentials"], /, **arguments: Unpack[DeleteMqttCredentialsArguments]
    ) -> DeleteMqttCredentials: ...
    @overload
    async def call(self, name: Literal["delete_organization"], /, **arguments: Unpack[DeleteOrganizationArguments]) -> DeletionJsonRow: ...
    @overload
    async def call(self, name: Literal["delete_payload_rule"], /, **arguments: Unpack[DeletePayloadRuleArguments]) -> PayloadRulesRow: ...
    @overload
    async def call(self, name: Literal["emqx_authenticate"], /, **arguments: Unpack[EmqxAuthenticateArguments]) -> EmqxAuthenticate: ...
    @overload
    async def call(self, name: Literal["emqx_authorize"], /, **arguments: Unpack[EmqxAuthorizeArguments]) -> EmqxAuthorize: ...
    @overload
    async def call(self, name: Literal["explain_mqtt_access"], /, **arguments: Unpack[ExplainMqttAccessArguments]) -> ExplainMqttAccess: ...
    @overload
    async def call(self, name: Literal["generate_broker_key"], /, **arguments: Unpack[GenerateBrokerKeyArguments]) -> GenerateBrokerKey: ...
    @overload
    async def call(
        self, name: Literal["generate_mqtt_credentials"], /, **arguments: Unpack[GenerateMqttCredentialsArguments]
    ) -> GenerateMqttCredentials: ...
    @overload
    async def call(self, name: Literal["get_api_version"], /, **arguments: Unpack[GetApiVersionArguments]) -> GetApiVersion: ...
    @overload
    async def call(self, name: Literal["get_broker_keys"], /, **arguments: Unpack[GetBrokerKeysArguments]) -> list[GetBrokerKeys]: ...
    @overload
    async def call(self, name: Literal["get_caller"], /, **arguments: Unpack[GetCallerArguments]) -> GetCaller: ...
    @overload
    async def call(self, name: Literal["get_capabilities"], /, **arguments: Unpack[GetCapabilitiesArguments]) -> GetCapabilities: ...
    @overload
    async def call(self, name: Literal["get_deletion"], /, **arguments: Unpack[GetDeletionArguments]) -> DeletionJsonRow: ...
    @overload
    async def call(self, name: Literal["get_device"], /, **arguments: Unpack[GetDeviceArguments]) -> GetDevice: ...
    @overload
    async def call(
        self, name: Literal["get_mqtt_credentials"], /, **arguments: Unpack[GetMqttCredentialsArguments]
    ) -> list[CredentialJsonRow]: ...
    @overload
    async def call(self, name: Literal["get_mqtt_ledger"], /, **arguments: Unpack[GetMqttLedgerArguments]) -> list[GetMqttLedger]: ...
    @overload
    async def call(
        self, name: Literal["get_mqtt_publish_receipts"], /, **arguments: Unpack[GetMqttPublishReceiptsArguments]
    ) -> list[GetMqttPublishReceipts]: ...
    @overload
    async def call(
        self, name: Literal["get_mqtt_queue_stats"], /, **arguments: Unpack[GetMqttQueueStatsArguments]
    ) -> GetMqttQueueStats: ...
    @overload
    async def call(self, name: Literal["get_mqtt_request"], /, **arguments: Unpack[GetMqttRequestArguments]) -> GetMqttRequest: ...
    @overload
    async def call(
        self, name: Literal["get_organization_usage"], /, **arguments: Unpack[GetOrganizationUsageArguments]
    ) -> list[GetOrganizationUsage]: ...
    @overload
    async def call(self, name: Literal["get_system_status"], /, **arguments: Unpack[GetSystemStatusArguments]) -> GetSystemStatus: ...
    @overload
    async def call(
        self, name: Literal["get_vacuum_holders"], /, **arguments: Unpack[GetVacuumHoldersArguments]
    ) -> list[GetVacuumHolders]: ...
    @overload
    async def call(self, name: Literal["import_messages"], /, **arguments: Unpack[ImportMessagesArguments]) -> ImportMessages: ...
    @overload
    async def call(self, name: Literal["list_api_keys"], /, **arguments: Unpack[ListApiKeysArguments]) -> list[ListApiKeys]: ...
    @overload
    async def call(self, name: Literal["list_deletions"], /, **arguments: Unpack[ListDeletionsArguments]) -> list[DeletionJsonRow]: ...
    @overload
    async def call(
        self, name: Literal["list_device_presets"], /, **arguments: Unpack[ListDevicePresetsArguments]
    ) -> list[ListDevicePresets]: ...
    @overload
    async def call(self, name: Literal["list_devices"], /, **arguments: Unpack[ListDevicesArguments]) -> ListDevices: ...
    @overload
    async def call(self, name: Literal["list_messages"], /, **arguments: Unpack[ListMessagesArguments]) -> list[ListMessages]: ...
    @overload
    async def call(
        self, name: Literal["list_organization_invitations"], /, **arguments: Unpack[ListOrganizationInvitationsArguments]
    ) -> list[ListOrganizationInvitations]: ...
    @overload
    async def call(
        self, name: Literal["mqtt_hybrid_credentials"], /, **arguments: Unpack[MqttHybridCredentialsArguments]
    ) -> MqttHybridCredentials | MqttHybridCredentials1 | CredentialJsonRow: ...
    @overload
    async def call(self, name: Literal["mqtt_ingest"], /, **arguments: Unpack[MqttIngestArguments]) -> MqttIngest: ...
    @overload
    async def call(self, name: Literal["mqtt_ingest_batch"], /, **arguments: Unpack[MqttIngestBatchArguments]) -> MqttIngestBatch: ...
    @overload
    async def call(self, name: Literal["mqtt_publish"], /, **arguments: Unpack[MqttPublishArguments]) -> MqttPublish: ...
    @overload
    async def call(self, name: Literal["mqtt_subscribe"], /, **arguments: Unpack[MqttSubscribeArguments]) -> MqttSubscribe: ...
    @overload
    async def call(
        self, name: Literal["mqtt_test_connection"], /, **arguments: Unpack[MqttTestConnectionArguments]
    ) -> MqttTestConnection: ...
    @overload
    async def call(self, name: Literal["mqtt_unsubscribe"], /, **arguments: Unpack[MqttUnsubscribeArguments]) -> MqttUnsubscribe: ...
    @overload
    async def call(self, name: Literal["openapi"], /, **arguments: Unpack[OpenapiArguments]) -> dict[str, Any]: ...
    @overload
    async def call(self, name: Literal["process_mqtt_queue"], /, **arguments: Unpack[ProcessMqttQueueArguments]) -> ProcessMqttQueue: ...
    @overload
    async def call(
        self, name: Literal["process_mqtt_queue_message"], /, **arguments: Unpack[ProcessMqttQueueMessageArguments]
    ) -> ProcessMqttQueueMessage: ...
    @overload
    async def call(self, name: Literal["query_series"], /, **arguments: Unpack[QuerySeriesArguments]) -> list[QuerySeries]: ...
    @overload
    async def call(self, name: Literal["query_telemetry"], /, **arguments: Unpack[QueryTelemetryArguments]) -> list[QueryTelemetry]: ...
    @overload
    async def call(
        self, name: Literal["reapply_payload_rules"], /, **arguments: Unpack[ReapplyPayloadRulesArguments]
    ) -> ReapplyPayloadRules: ...
    @overload
    async def call(
        self, name: Literal["remove_organization_member"], /, **arguments: Unpack[RemoveOrganizationMemberArguments]
    ) -> RemoveOrganizationMember: ...
    @overload
    async def call(
        self, name: Literal["replay_mqtt_callback_deliveries"], /, **arguments: Unpack[ReplayMqttCallbackDeliveriesArguments]
    ) -> ReplayMqttCallbackDeliveries: ...
    @overload
    async def call(
        self, name: Literal["replay_mqtt_dead_letters"], /, **arguments: Unpack[ReplayMqttDeadLettersArguments]
    ) -> ReplayMqttDeadLetters: ...
    @overload
    async def call(
        self, name: Literal["replay_mqtt_messages"], /, **arguments: Unpack[ReplayMqttMessagesArguments]
    ) -> ReplayMqttMessages: ...
    @overload
    async def call(self, name: Literal["revoke_api_key"], /, **arguments: Unpack[RevokeApiKeyArguments]) -> RevokeApiKey: ...
    @overload
    async def call(self, name: Literal["revoke_broker_key"], /, **arguments: Unpack[RevokeBrokerKeyArguments]) -> RevokeBrokerKey: ...
    @overload
    async def call(
        self, name: Literal["revoke_mqtt_credentials"], /, **arguments: Unpack[RevokeMqttCredentialsArguments]
    ) -> CredentialJsonRow: ...
    @overload
    async def call(
        self, name: Literal["rotate_mqtt_callback_secret"], /, **arguments: Unpack[RotateMqttCallbackSecretArguments]
    ) -> RotateMqttCallbackSecret: ...
    @overload
    async def call(
        self, name: Literal["rotate_mqtt_credentials"], /, **arguments: Unpack[RotateMqttCredentialsArguments]
    ) -> RotateMqttCredentials: ...
    @overload
    async def call(
        self, name: Literal["set_organization_limits"], /, **arguments: Unpack[SetOrganizationLimitsArguments]
    ) -> SetOrganizationLimits: ...
    @overload
    async def call(self, name: Literal["sync_device"], /, **arguments: Unpack[SyncDeviceArguments]) -> DevicesRow: ...
    @overload
    async def call(self, name: Literal["try_payload_rules"], /, **arguments: Unpack[TryPayloadRulesArguments]) -> TryPayloadRules: ...
    @overload
    async def call(self, name: Literal["upsert_integration"], /, **arguments: Unpack[UpsertIntegrationArguments]) -> IntegrationJsonRow: ...
    @overload
    async def call(self, name: Literal["upsert_payload_rule"], /, **arguments: Unpack[UpsertPayloadRuleArguments]) -> PayloadRulesRow: ...
    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Make a call; its answer. Raises TopicbaseError."""
        return await self._call(name, arguments)

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        raise NotImplementedError
