//! Pulsar's protobuf messages, declared for prost. Source of every number: the wire reference of Pulsar 4.0
//! (`PulsarApi.proto`, protocol version 21). Generated once by hand-run tooling from that reference and committed, so
//! that no `protoc` is needed to build. Enumerations travel as raw `i32`: an unknown number must not fail a frame.
//!
//! Repeated numbers are not packed on the wire. Fields that carry Java `long`s stay `u64`; -1 is `u64::MAX`.
#![allow(missing_docs)]

/// Declares an enumeration whose numbers travel as raw `i32`.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum $name { $($variant = $number),+ }
        impl $name {
            /// The variant of a number from the wire; `None` when this version does not know it.
            pub fn from_wire(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

wire_enum! {
    /// `Schema.Type`.
    SchemaType { None = 0, String = 1, Json = 2, Protobuf = 3, Avro = 4, Bool = 5, Int8 = 6, Int16 = 7, Int32 = 8, Int64 = 9, Float = 10, Double = 11, Date = 12, Time = 13, Timestamp = 14, KeyValue = 15, Instant = 16, LocalDate = 17, LocalTime = 18, LocalDateTime = 19, ProtobufNative = 20, AutoConsume = 21, External = 22 }
}

wire_enum! {
    /// `CompressionType`.
    CompressionType { None = 0, Lz4 = 1, Zlib = 2, Zstd = 3, Snappy = 4 }
}

wire_enum! {
    /// `ProducerAccessMode`.
    ProducerAccessMode { Shared = 0, Exclusive = 1, WaitForExclusive = 2, ExclusiveWithFencing = 3 }
}

wire_enum! {
    /// `ServerError`.
    ServerError { UnknownError = 0, MetadataError = 1, PersistenceError = 2, AuthenticationError = 3, AuthorizationError = 4, ConsumerBusy = 5, ServiceNotReady = 6, ProducerBlockedQuotaExceededError = 7, ProducerBlockedQuotaExceededException = 8, ChecksumError = 9, UnsupportedVersionError = 10, TopicNotFound = 11, SubscriptionNotFound = 12, ConsumerNotFound = 13, TooManyRequests = 14, TopicTerminatedError = 15, ProducerBusy = 16, InvalidTopicName = 17, IncompatibleSchema = 18, ConsumerAssignError = 19, TransactionCoordinatorNotFound = 20, InvalidTxnStatus = 21, NotAllowedError = 22, TransactionConflict = 23, TransactionNotFound = 24, ProducerFenced = 25 }
}

wire_enum! {
    /// `KeySharedMode`.
    KeySharedMode { AutoSplit = 0, Sticky = 1 }
}

wire_enum! {
    /// `CommandPartitionedTopicMetadataResponse.LookupType`.
    PartitionedTopicMetadataResponseLookupType { Success = 0, Failed = 1 }
}

wire_enum! {
    /// `CommandLookupTopicResponse.LookupType`.
    LookupTopicResponseLookupType { Redirect = 0, Connect = 1, Failed = 2 }
}

wire_enum! {
    /// `CommandGetTopicsOfNamespace.Mode`.
    GetTopicsOfNamespaceMode { Persistent = 0, NonPersistent = 1, All = 2 }
}

wire_enum! {
    /// `CommandTopicMigrated.ResourceType`.
    TopicMigratedResourceType { Producer = 0, Consumer = 1 }
}

wire_enum! {
    /// `CommandSubscribe.SubType`.
    SubscriptionType { Exclusive = 0, Shared = 1, Failover = 2, KeyShared = 3 }
}

wire_enum! {
    /// `CommandSubscribe.InitialPosition`.
    InitialPosition { Latest = 0, Earliest = 1 }
}

wire_enum! {
    /// `CommandAck.AckType`.
    AckType { Individual = 0, Cumulative = 1 }
}

wire_enum! {
    /// `CommandAck.ValidationError`.
    ValidationError { UncompressedSizeCorruption = 0, DecompressionError = 1, ChecksumMismatch = 2, BatchDeSerializeError = 3, DecryptionError = 4 }
}

wire_enum! {
    /// `TxnAction`.
    TxnAction { Commit = 0, Abort = 1 }
}

/// `MessageIdData`. Position of an entry (ledger + entry) and, optionally, of one message inside a batch entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MessageIdData {
    #[prost(uint64, required, tag = "1")]
    pub ledger_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub entry_id: u64,
    #[prost(int32, optional, default = "-1", tag = "3")]
    pub partition: Option<i32>,
    #[prost(int32, optional, default = "-1", tag = "4")]
    pub batch_index: Option<i32>,
    #[prost(int64, repeated, packed = "false", tag = "5")]
    pub ack_set: Vec<i64>,
    #[prost(int32, optional, tag = "6")]
    pub batch_size: Option<i32>,
    #[prost(message, optional, boxed, tag = "7")]
    pub first_chunk_message_id: Option<Box<MessageIdData>>,
}

/// `KeyValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// `KeyLongValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyLongValue {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(uint64, required, tag = "2")]
    pub value: u64,
}

/// `IntRange`. Both bounds inclusive (key hash ranges).
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntRange {
    #[prost(int32, required, tag = "1")]
    pub start: i32,
    #[prost(int32, required, tag = "2")]
    pub end: i32,
}

/// `EncryptionKeys`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EncryptionKeys {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(bytes = "vec", required, tag = "2")]
    pub value: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<KeyValue>,
}

/// `Schema`. Absent (not type None) when the application uses plain bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Schema {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", required, tag = "3")]
    pub schema_data: Vec<u8>,
    #[prost(int32, required, tag = "4")]
    pub r#type: i32,
    #[prost(message, repeated, tag = "5")]
    pub properties: Vec<KeyValue>,
}

/// `KeySharedMeta`. Only meaningful with SubType Key_Shared.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeySharedMeta {
    #[prost(int32, required, tag = "1")]
    pub key_shared_mode: i32,
    #[prost(message, repeated, tag = "3")]
    pub hash_ranges: Vec<IntRange>,
    #[prost(bool, optional, tag = "4")]
    pub allow_out_of_order_delivery: Option<bool>,
}

/// `FeatureFlags`. Client sends its own set in CONNECT, newer brokers send theirs in CONNECTED. Absent message = all false.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FeatureFlags {
    #[prost(bool, optional, tag = "1")]
    pub supports_auth_refresh: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub supports_broker_entry_metadata: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub supports_partial_producer: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub supports_topic_watchers: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub supports_get_partitioned_metadata_without_auto_creation: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub supports_repl_dedup_by_lid_and_eid: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub supports_topic_watcher_reconcile: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub supports_scalable_topics: Option<bool>,
    #[prost(bool, optional, tag = "9")]
    pub supports_tc_metadata_discovery: Option<bool>,
}

/// `AuthData`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthData {
    #[prost(string, optional, tag = "1")]
    pub auth_method_name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub auth_data: Option<Vec<u8>>,
}

/// `MessageMetadata`. Outer metadata of an entry (one message, one batch, or one chunk). Stored unchanged by the broker and delivered unchanged.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MessageMetadata {
    #[prost(string, required, tag = "1")]
    pub producer_name: String,
    #[prost(uint64, required, tag = "2")]
    pub sequence_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub publish_time: u64,
    #[prost(message, repeated, tag = "4")]
    pub properties: Vec<KeyValue>,
    #[prost(string, optional, tag = "5")]
    pub replicated_from: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub partition_key: Option<String>,
    #[prost(string, repeated, tag = "7")]
    pub replicate_to: Vec<String>,
    #[prost(int32, optional, tag = "8")]
    pub compression: Option<i32>,
    #[prost(uint32, optional, tag = "9")]
    pub uncompressed_size: Option<u32>,
    #[prost(int32, optional, default = "1", tag = "11")]
    pub num_messages_in_batch: Option<i32>,
    #[prost(uint64, optional, tag = "12")]
    pub event_time: Option<u64>,
    #[prost(message, repeated, tag = "13")]
    pub encryption_keys: Vec<EncryptionKeys>,
    #[prost(string, optional, tag = "14")]
    pub encryption_algo: Option<String>,
    #[prost(bytes = "vec", optional, tag = "15")]
    pub encryption_param: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "16")]
    pub schema_version: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "17")]
    pub partition_key_b64_encoded: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "18")]
    pub ordering_key: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "19")]
    pub deliver_at_time: Option<i64>,
    #[prost(int32, optional, tag = "20")]
    pub marker_type: Option<i32>,
    #[prost(uint64, optional, tag = "22")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "23")]
    pub txnid_most_bits: Option<u64>,
    #[prost(uint64, optional, tag = "24")]
    pub highest_sequence_id: Option<u64>,
    #[prost(bool, optional, tag = "25")]
    pub null_value: Option<bool>,
    #[prost(string, optional, tag = "26")]
    pub uuid: Option<String>,
    #[prost(int32, optional, tag = "27")]
    pub num_chunks_from_msg: Option<i32>,
    #[prost(int32, optional, tag = "28")]
    pub total_chunk_msg_size: Option<i32>,
    #[prost(int32, optional, tag = "29")]
    pub chunk_id: Option<i32>,
    #[prost(bool, optional, tag = "30")]
    pub null_partition_key: Option<bool>,
    #[prost(int32, repeated, packed = "false", tag = "31")]
    pub compacted_batch_indexes: Vec<i32>,
    #[prost(bytes = "vec", optional, tag = "32")]
    pub schema_id: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "33")]
    pub entry_hash_min: Option<u32>,
    #[prost(uint32, optional, tag = "34")]
    pub entry_hash_max: Option<u32>,
}

/// `SingleMessageMetadata`. One in front of every message inside a batch payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SingleMessageMetadata {
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<KeyValue>,
    #[prost(string, optional, tag = "2")]
    pub partition_key: Option<String>,
    #[prost(int32, required, tag = "3")]
    pub payload_size: i32,
    #[prost(bool, optional, tag = "4")]
    pub compacted_out: Option<bool>,
    #[prost(uint64, optional, tag = "5")]
    pub event_time: Option<u64>,
    #[prost(bool, optional, tag = "6")]
    pub partition_key_b64_encoded: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub ordering_key: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "8")]
    pub sequence_id: Option<u64>,
    #[prost(bool, optional, tag = "9")]
    pub null_value: Option<bool>,
    #[prost(bool, optional, tag = "10")]
    pub null_partition_key: Option<bool>,
}

/// `BrokerEntryMetadata`. Travels only in the 0x0e02 prefix (see the protocol document, section 1.3).
#[derive(Clone, PartialEq, prost::Message)]
pub struct BrokerEntryMetadata {
    #[prost(uint64, optional, tag = "1")]
    pub broker_timestamp: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub index: Option<u64>,
}

/// `CommandConnect`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandConnect {
    #[prost(string, required, tag = "1")]
    pub client_version: String,
    #[prost(int32, optional, tag = "2")]
    pub auth_method: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub auth_data: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "4")]
    pub protocol_version: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub auth_method_name: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub proxy_to_broker_url: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub original_principal: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub original_auth_data: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub original_auth_method: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub feature_flags: Option<FeatureFlags>,
    #[prost(string, optional, tag = "11")]
    pub proxy_version: Option<String>,
}

/// `CommandConnected`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandConnected {
    #[prost(string, required, tag = "1")]
    pub server_version: String,
    #[prost(int32, optional, tag = "2")]
    pub protocol_version: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub max_message_size: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub feature_flags: Option<FeatureFlags>,
}

/// `CommandAuthChallenge`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAuthChallenge {
    #[prost(string, optional, tag = "1")]
    pub server_version: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub challenge: Option<AuthData>,
    #[prost(int32, optional, tag = "3")]
    pub protocol_version: Option<i32>,
}

/// `CommandAuthResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAuthResponse {
    #[prost(string, optional, tag = "1")]
    pub client_version: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub response: Option<AuthData>,
    #[prost(int32, optional, tag = "3")]
    pub protocol_version: Option<i32>,
}

/// `CommandPing`. Must be answered at once with PONG.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandPing {
}

/// `CommandPong`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandPong {
}

/// `CommandSuccess`. Generic positive answer to SUBSCRIBE, UNSUBSCRIBE, SEEK, CLOSE_PRODUCER, CLOSE_CONSUMER, WATCH_TOPIC_LIST_CLOSE.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSuccess {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(message, optional, tag = "2")]
    pub schema: Option<Schema>,
}

/// `CommandError`. Generic failure answer, paired by request_id. With request_id = 2^64-1 it answers CONNECT (or belongs to no request).
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandError {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, required, tag = "2")]
    pub error: i32,
    #[prost(string, required, tag = "3")]
    pub message: String,
}

/// `CommandPartitionedTopicMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandPartitionedTopicMetadata {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(string, optional, tag = "3")]
    pub original_principal: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub original_auth_data: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub original_auth_method: Option<String>,
    #[prost(bool, optional, default = "true", tag = "6")]
    pub metadata_auto_creation_enabled: Option<bool>,
}

/// `CommandPartitionedTopicMetadataResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandPartitionedTopicMetadataResponse {
    #[prost(uint32, optional, tag = "1")]
    pub partitions: Option<u32>,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "3")]
    pub response: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandLookupTopic`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandLookupTopic {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(bool, optional, tag = "3")]
    pub authoritative: Option<bool>,
    #[prost(string, optional, tag = "4")]
    pub original_principal: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub original_auth_data: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub original_auth_method: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub advertised_listener_name: Option<String>,
    #[prost(message, repeated, tag = "8")]
    pub properties: Vec<KeyValue>,
}

/// `CommandLookupTopicResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandLookupTopicResponse {
    #[prost(string, optional, tag = "1")]
    pub broker_service_url: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub broker_service_url_tls: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub response: Option<i32>,
    #[prost(uint64, required, tag = "4")]
    pub request_id: u64,
    #[prost(bool, optional, tag = "5")]
    pub authoritative: Option<bool>,
    #[prost(int32, optional, tag = "6")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "7")]
    pub message: Option<String>,
    #[prost(bool, optional, tag = "8")]
    pub proxy_through_service_url: Option<bool>,
}

/// `CommandGetTopicsOfNamespace`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetTopicsOfNamespace {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, required, tag = "2")]
    pub namespace: String,
    #[prost(int32, optional, tag = "3")]
    pub mode: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub topics_pattern: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub topics_hash: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub properties: Vec<KeyValue>,
}

/// `CommandGetTopicsOfNamespaceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetTopicsOfNamespaceResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, repeated, tag = "2")]
    pub topics: Vec<String>,
    #[prost(bool, optional, tag = "3")]
    pub filtered: Option<bool>,
    #[prost(string, optional, tag = "4")]
    pub topics_hash: Option<String>,
    #[prost(bool, optional, default = "true", tag = "5")]
    pub changed: Option<bool>,
}

/// `CommandWatchTopicList`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandWatchTopicList {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub watcher_id: u64,
    #[prost(string, required, tag = "3")]
    pub namespace: String,
    #[prost(string, required, tag = "4")]
    pub topics_pattern: String,
    #[prost(string, optional, tag = "5")]
    pub topics_hash: Option<String>,
}

/// `CommandWatchTopicListSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandWatchTopicListSuccess {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub watcher_id: u64,
    #[prost(string, repeated, tag = "3")]
    pub topic: Vec<String>,
    #[prost(string, required, tag = "4")]
    pub topics_hash: String,
}

/// `CommandWatchTopicUpdate`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandWatchTopicUpdate {
    #[prost(uint64, required, tag = "1")]
    pub watcher_id: u64,
    #[prost(string, repeated, tag = "2")]
    pub new_topics: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub deleted_topics: Vec<String>,
    #[prost(string, required, tag = "4")]
    pub topics_hash: String,
}

/// `CommandWatchTopicListClose`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandWatchTopicListClose {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub watcher_id: u64,
}

/// `CommandTopicMigrated`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandTopicMigrated {
    #[prost(uint64, required, tag = "1")]
    pub resource_id: u64,
    #[prost(int32, required, tag = "2")]
    pub resource_type: i32,
    #[prost(string, optional, tag = "3")]
    pub broker_service_url: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub broker_service_url_tls: Option<String>,
}

/// `CommandProducer`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandProducer {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(uint64, required, tag = "2")]
    pub producer_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub request_id: u64,
    #[prost(string, optional, tag = "4")]
    pub producer_name: Option<String>,
    #[prost(bool, optional, tag = "5")]
    pub encrypted: Option<bool>,
    #[prost(message, repeated, tag = "6")]
    pub metadata: Vec<KeyValue>,
    #[prost(message, optional, tag = "7")]
    pub schema: Option<Schema>,
    #[prost(uint64, optional, tag = "8")]
    pub epoch: Option<u64>,
    #[prost(bool, optional, default = "true", tag = "9")]
    pub user_provided_producer_name: Option<bool>,
    #[prost(int32, optional, tag = "10")]
    pub producer_access_mode: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    pub topic_epoch: Option<u64>,
    #[prost(bool, optional, tag = "12")]
    pub txn_enabled: Option<bool>,
    #[prost(string, optional, tag = "13")]
    pub initial_subscription_name: Option<String>,
}

/// `CommandProducerSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandProducerSuccess {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, required, tag = "2")]
    pub producer_name: String,
    #[prost(int64, optional, default = "-1", tag = "3")]
    pub last_sequence_id: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub schema_version: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "5")]
    pub topic_epoch: Option<u64>,
    #[prost(bool, optional, default = "true", tag = "6")]
    pub producer_ready: Option<bool>,
}

/// `CommandSend`. Followed in the same frame by checksum, MessageMetadata and payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSend {
    #[prost(uint64, required, tag = "1")]
    pub producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub sequence_id: u64,
    #[prost(int32, optional, default = "1", tag = "3")]
    pub num_messages: Option<i32>,
    #[prost(uint64, optional, tag = "4")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub txnid_most_bits: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub highest_sequence_id: Option<u64>,
    #[prost(bool, optional, tag = "7")]
    pub is_chunk: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub marker: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub message_id: Option<MessageIdData>,
}

/// `CommandSendReceipt`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSendReceipt {
    #[prost(uint64, required, tag = "1")]
    pub producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub sequence_id: u64,
    #[prost(message, optional, tag = "3")]
    pub message_id: Option<MessageIdData>,
    #[prost(uint64, optional, tag = "4")]
    pub highest_sequence_id: Option<u64>,
}

/// `CommandSendError`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSendError {
    #[prost(uint64, required, tag = "1")]
    pub producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub sequence_id: u64,
    #[prost(int32, required, tag = "3")]
    pub error: i32,
    #[prost(string, required, tag = "4")]
    pub message: String,
}

/// `CommandCloseProducer`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandCloseProducer {
    #[prost(uint64, required, tag = "1")]
    pub producer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(string, optional, tag = "3")]
    pub assigned_broker_service_url: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub assigned_broker_service_url_tls: Option<String>,
}

/// `CommandSubscribe`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSubscribe {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(string, required, tag = "2")]
    pub subscription: String,
    #[prost(int32, required, tag = "3")]
    pub sub_type: i32,
    #[prost(uint64, required, tag = "4")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "5")]
    pub request_id: u64,
    #[prost(string, optional, tag = "6")]
    pub consumer_name: Option<String>,
    #[prost(int32, optional, tag = "7")]
    pub priority_level: Option<i32>,
    #[prost(bool, optional, default = "true", tag = "8")]
    pub durable: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub start_message_id: Option<MessageIdData>,
    #[prost(message, repeated, tag = "10")]
    pub metadata: Vec<KeyValue>,
    #[prost(bool, optional, tag = "11")]
    pub read_compacted: Option<bool>,
    #[prost(message, optional, tag = "12")]
    pub schema: Option<Schema>,
    #[prost(int32, optional, tag = "13")]
    pub initial_position: Option<i32>,
    #[prost(bool, optional, tag = "14")]
    pub replicate_subscription_state: Option<bool>,
    #[prost(bool, optional, default = "true", tag = "15")]
    pub force_topic_creation: Option<bool>,
    #[prost(uint64, optional, tag = "16")]
    pub start_message_rollback_duration_sec: Option<u64>,
    #[prost(message, optional, tag = "17")]
    pub key_shared_meta: Option<KeySharedMeta>,
    #[prost(message, repeated, tag = "18")]
    pub subscription_properties: Vec<KeyValue>,
    #[prost(uint64, optional, tag = "19")]
    pub consumer_epoch: Option<u64>,
}

/// `CommandMessage`. Followed in the same frame by (optional) broker entry metadata, checksum, MessageMetadata and payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandMessage {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(message, required, tag = "2")]
    pub message_id: MessageIdData,
    #[prost(uint32, optional, tag = "3")]
    pub redelivery_count: Option<u32>,
    #[prost(int64, repeated, packed = "false", tag = "4")]
    pub ack_set: Vec<i64>,
    #[prost(uint64, optional, tag = "5")]
    pub consumer_epoch: Option<u64>,
}

/// `CommandFlow`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandFlow {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint32, required, tag = "2")]
    pub message_permits: u32,
}

/// `CommandAck`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAck {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(int32, required, tag = "2")]
    pub ack_type: i32,
    #[prost(message, repeated, tag = "3")]
    pub message_id: Vec<MessageIdData>,
    #[prost(int32, optional, tag = "4")]
    pub validation_error: Option<i32>,
    #[prost(message, repeated, tag = "5")]
    pub properties: Vec<KeyLongValue>,
    #[prost(uint64, optional, tag = "6")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pub txnid_most_bits: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    pub request_id: Option<u64>,
}

/// `CommandAckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAckResponse {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
    #[prost(uint64, optional, tag = "6")]
    pub request_id: Option<u64>,
}

/// `CommandRedeliverUnacknowledgedMessages`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandRedeliverUnacknowledgedMessages {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(message, repeated, tag = "2")]
    pub message_ids: Vec<MessageIdData>,
    #[prost(uint64, optional, tag = "3")]
    pub consumer_epoch: Option<u64>,
}

/// `CommandSeek`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandSeek {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(message, optional, tag = "3")]
    pub message_id: Option<MessageIdData>,
    #[prost(uint64, optional, tag = "4")]
    pub message_publish_time: Option<u64>,
}

/// `CommandUnsubscribe`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandUnsubscribe {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(bool, optional, tag = "3")]
    pub force: Option<bool>,
}

/// `CommandCloseConsumer`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandCloseConsumer {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(string, optional, tag = "3")]
    pub assigned_broker_service_url: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub assigned_broker_service_url_tls: Option<String>,
}

/// `CommandActiveConsumerChange`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandActiveConsumerChange {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(bool, optional, tag = "2")]
    pub is_active: Option<bool>,
}

/// `CommandReachedEndOfTopic`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandReachedEndOfTopic {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
}

/// `CommandGetLastMessageId`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetLastMessageId {
    #[prost(uint64, required, tag = "1")]
    pub consumer_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
}

/// `CommandGetLastMessageIdResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetLastMessageIdResponse {
    #[prost(message, required, tag = "1")]
    pub last_message_id: MessageIdData,
    #[prost(uint64, required, tag = "2")]
    pub request_id: u64,
    #[prost(message, optional, tag = "3")]
    pub consumer_mark_delete_position: Option<MessageIdData>,
}

/// `CommandConsumerStats`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandConsumerStats {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "4")]
    pub consumer_id: u64,
}

/// `CommandConsumerStatsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandConsumerStatsResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "2")]
    pub error_code: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub error_message: Option<String>,
    #[prost(double, optional, tag = "4")]
    pub msg_rate_out: Option<f64>,
    #[prost(double, optional, tag = "5")]
    pub msg_throughput_out: Option<f64>,
    #[prost(double, optional, tag = "6")]
    pub msg_rate_redeliver: Option<f64>,
    #[prost(string, optional, tag = "7")]
    pub consumer_name: Option<String>,
    #[prost(uint64, optional, tag = "8")]
    pub available_permits: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pub unacked_messages: Option<u64>,
    #[prost(bool, optional, tag = "10")]
    pub blocked_consumer_on_unacked_msgs: Option<bool>,
    #[prost(string, optional, tag = "11")]
    pub address: Option<String>,
    #[prost(string, optional, tag = "12")]
    pub connected_since: Option<String>,
    #[prost(string, optional, tag = "13")]
    pub r#type: Option<String>,
    #[prost(double, optional, tag = "14")]
    pub msg_rate_expired: Option<f64>,
    #[prost(uint64, optional, tag = "15")]
    pub msg_backlog: Option<u64>,
    #[prost(double, optional, tag = "16")]
    pub message_ack_rate: Option<f64>,
}

/// `CommandGetSchema`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetSchema {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, required, tag = "2")]
    pub topic: String,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub schema_version: Option<Vec<u8>>,
}

/// `CommandGetSchemaResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetSchemaResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "2")]
    pub error_code: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub error_message: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub schema: Option<Schema>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub schema_version: Option<Vec<u8>>,
}

/// `CommandGetOrCreateSchema`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetOrCreateSchema {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(string, required, tag = "2")]
    pub topic: String,
    #[prost(message, required, tag = "3")]
    pub schema: Schema,
    #[prost(string, optional, tag = "4")]
    pub producer_name: Option<String>,
}

/// `CommandGetOrCreateSchemaResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandGetOrCreateSchemaResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "2")]
    pub error_code: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub error_message: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub schema_version: Option<Vec<u8>>,
}

/// `Subscription`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscription {
    #[prost(string, required, tag = "1")]
    pub topic: String,
    #[prost(string, required, tag = "2")]
    pub subscription: String,
}

/// `CommandTcClientConnectRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandTcClientConnectRequest {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, required, tag = "2")]
    pub tc_id: u64,
    #[prost(bool, optional, tag = "3")]
    pub scalable: Option<bool>,
}

/// `CommandTcClientConnectResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandTcClientConnectResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(int32, optional, tag = "2")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub message: Option<String>,
}

/// `CommandNewTxn`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandNewTxn {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txn_ttl_millis: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub tc_id: Option<u64>,
    #[prost(bool, optional, tag = "4")]
    pub scalable: Option<bool>,
}

/// `CommandNewTxnResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandNewTxnResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandAddPartitionToTxn`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAddPartitionToTxn {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(string, repeated, tag = "4")]
    pub partitions: Vec<String>,
    #[prost(bool, optional, tag = "5")]
    pub scalable: Option<bool>,
}

/// `CommandAddPartitionToTxnResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAddPartitionToTxnResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandAddSubscriptionToTxn`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAddSubscriptionToTxn {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(message, repeated, tag = "4")]
    pub subscription: Vec<Subscription>,
    #[prost(bool, optional, tag = "5")]
    pub scalable: Option<bool>,
}

/// `CommandAddSubscriptionToTxnResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandAddSubscriptionToTxnResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandEndTxn`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxn {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub txn_action: Option<i32>,
    #[prost(bool, optional, tag = "5")]
    pub scalable: Option<bool>,
}

/// `CommandEndTxnResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxnResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandEndTxnOnPartition`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxnOnPartition {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub topic: Option<String>,
    #[prost(int32, optional, tag = "5")]
    pub txn_action: Option<i32>,
    #[prost(uint64, optional, tag = "6")]
    pub txnid_least_bits_of_low_watermark: Option<u64>,
}

/// `CommandEndTxnOnPartitionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxnOnPartitionResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `CommandEndTxnOnSubscription`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxnOnSubscription {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(message, optional, tag = "4")]
    pub subscription: Option<Subscription>,
    #[prost(int32, optional, tag = "5")]
    pub txn_action: Option<i32>,
    #[prost(uint64, optional, tag = "6")]
    pub txnid_least_bits_of_low_watermark: Option<u64>,
}

/// `CommandEndTxnOnSubscriptionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandEndTxnOnSubscriptionResponse {
    #[prost(uint64, required, tag = "1")]
    pub request_id: u64,
    #[prost(uint64, optional, tag = "2")]
    pub txnid_least_bits: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub txnid_most_bits: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub error: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}
