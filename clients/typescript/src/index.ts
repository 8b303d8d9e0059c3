export { Topicbase } from "./client.js";
export type { Answer, Arguments, CallName, CallOptions, TopicbaseOptions } from "./client.js";
export { TopicbaseError } from "./errors.js";
export type { components, paths } from "./openapi.js";
export { MqttIntegrationProvider } from "./provider.js";
export type * from "./provider.js";
export { verifyWebhook, WebhookError } from "./webhooks.js";
export type { WebhookMessage, WebhookOptions } from "./webhooks.js";
