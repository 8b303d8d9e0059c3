import type { Answer, Topicbase } from "./client.js";
import { TopicbaseError } from "./errors.js";

export interface PaginationOptions {
  limit?: number;
  cursor?: string | null;
}
export interface DeviceUpdate {
  /** The device's id in its topics. */
  externalId: string;
  name?: string | null;
  metadata?: Record<string, unknown> | null;
}
export interface MqttPublishOptions {
  qos?: 0 | 1 | 2;
  retain?: boolean;
}
export interface TestConnectionResult {
  success: boolean;
  /** Why not, for people. */
  message: string | null;
  /** What the test found out. */
  result: unknown;
}
export type DeviceListResult = Answer<"list_devices">;
export type DeviceData = Answer<"get_device">;
export type TelemetryData = Answer<"query_telemetry">[number];
export interface ProviderCapabilities {
  supportsRealTimeStatus: boolean;
  supportsTelemetry: boolean;
  supportsFirmwareManagement: boolean;
  supportsRemoteCommands: boolean;
  supportsBidirectionalSync: boolean;
}

const TEST_SECONDS = 15;

/** The provider of the replaced system, with its eight operations, for one integration. */
export class MqttIntegrationProvider {
  constructor(
    readonly client: Topicbase,
    readonly integrationId: string,
  ) {}

  async listDevices(options: PaginationOptions = {}): Promise<DeviceListResult> {
    return this.client.call("list_devices", { ...options, integration_id: this.integrationId });
  }

  /** By its id or its external id; null where there is no such device. */
  async getDevice(deviceId: string): Promise<DeviceData | null> {
    try {
      return await this.client.call("get_device", { device_id: deviceId, integration_id: this.integrationId });
    } catch (error) {
      if (error instanceof TopicbaseError && error.slug === "device_not_found") return null;
      throw error;
    }
  }

  async syncDevice({ externalId, name = null, metadata = null }: DeviceUpdate): Promise<void> {
    await this.client.call("sync_device", { integration_id: this.integrationId, external_id: externalId, name, metadata });
  }

  /** Resolves once the message is durable; `mqtt_publish` also tells its receipt. */
  async publishMessage(topic: string, payload: unknown, options: MqttPublishOptions = {}): Promise<void> {
    await this.client.call("mqtt_publish", { integration_id: this.integrationId, messages: [{ ...options, topic, payload }] });
  }

  async subscribeToTopic(topic: string, qos: 0 | 1 | 2 = 0): Promise<void> {
    await this.client.call("mqtt_subscribe", { integration_id: this.integrationId, topic, qos });
  }

  async testConnection(): Promise<TestConnectionResult> {
    const { request_id } = await this.client.call("mqtt_test_connection", { integration_id: this.integrationId });
    const request = await this.client.call("get_mqtt_request", { request_id, wait: TEST_SECONDS });
    const result = request.result as { ok?: boolean; reason?: string | null } | null;
    if (request.status !== "done") return { success: false, message: `No verdict after ${TEST_SECONDS} s.`, result };
    return { success: result?.ok === true, message: result?.reason ?? null, result };
  }

  /** The last 100 readings. */
  async queryTelemetry(): Promise<TelemetryData[]> {
    return this.client.call("query_telemetry", { integration_id: this.integrationId });
  }

  /** What `get_capabilities` answers for every integration. */
  getCapabilities(): ProviderCapabilities {
    return {
      supportsRealTimeStatus: true,
      supportsTelemetry: true,
      supportsFirmwareManagement: false,
      supportsRemoteCommands: true,
      supportsBidirectionalSync: false,
    };
  }
}
