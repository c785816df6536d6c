//! Event streams, `spec.streams`: accepted without effect.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern;

/// An event stream made of tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// The application that the events belong to. Example: `test-app`.
    pub application_id: String,
    /// The database that holds the tables. Example: `foo`.
    pub database: String,
    /// The tables, as `schema.table`. Example: `data.orders_outbox: {eventType: test-app.order-completed}`.
    pub tables: BTreeMap<String, StreamTable>,
    /// Filters by table. Default: none. Example: `data.orders_outbox: "[?(@.source.txId > 500)]"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<String, String>,
    /// How many events go out at once. Default: that of the stream's operator. Example: `1000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub batch_size: Option<i64>,
    /// CPU of the stream's pod. Default: that of the stream's operator. Example: `100m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub cpu: Option<String>,
    /// Memory of the stream's pod. Default: that of the stream's operator. Example: `500Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = pattern::QUANTITY))]
    pub memory: Option<String>,
    /// Whether events that fail go to a recovery event. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_recovery: Option<bool>,
}

/// A table of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamTable {
    /// The type of its events. Example: `test-app.order-completed`.
    pub event_type: String,
    /// The type of events that failed before. Default: made of `eventType`. Example: `test-app.order-completed-dlq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_event_type: Option<String>,
    /// Whether events that fail are skipped. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_recovery: Option<bool>,
    /// The column that identifies an event. Default: `id`. Example: `o_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_column: Option<String>,
    /// The column that holds the event. Default: `payload`. Example: `o_payload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_column: Option<String>,
}
