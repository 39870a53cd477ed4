//! Every bound of the system: value, unit, reason, source. Settings may lower or raise those marked "setting"; the rest
//! are fixed. Relations between them are checked by the compiler at the end of the file.

use std::time::Duration;

// ---- Configuration

/// Largest configuration file, bytes: the original's is 11 KiB, and a wrong path must not read a disk image.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

// ---- HTTP head

/// Largest HTTP request head, bytes (setting `httpMaxRequestHeaderSize`). Source: the original server's default, 8 KiB.
pub const HTTP_HEAD_MAX: usize = 8 * 1024;
/// Most header lines in a head: each is a slot of the parser's array.
pub const HTTP_HEADERS_MAX: usize = 64;
/// A head must be complete this long after its first byte, or the client gets 408: a slow sender must not hold a slot.
pub const HTTP_HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// An idle keep-alive HTTP connection (health checks, metrics) is closed after this long.
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(60);
/// Largest body of a request for the administration, bytes: schemas and policies are far smaller.
pub const WEB_BODY_MAX: usize = 8 << 20;
/// Bytes kept that follow a head while its session is being created (a client may send frames early).
pub const PIPELINED_BYTES_MAX: usize = 64 * 1024;

// ---- WebSocket

/// Largest text message, bytes after reassembly and inflation (setting `webSocketMaxTextFrameSize`). Source: API 2.6.
pub const TEXT_MESSAGE_MAX: usize = 1 << 20;
/// Largest binary message, bytes. Smaller ones are ignored, larger ones end the session. Source: API 2.6.
pub const BINARY_MESSAGE_MAX: usize = 64 * 1024;
/// Control frame payload, bytes. Source: RFC 6455 section 5.5.
pub const CONTROL_PAYLOAD_MAX: usize = 125;
/// A session without a frame in either direction is closed after this (setting `webSocketSessionIdleTimeoutMillis`).
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(300);
/// After a close frame was sent the peer's is awaited this long before TCP ends.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);
/// JSON nesting. Source: Jackson's default, API 3.2.
pub const JSON_DEPTH_MAX: usize = 1000;

// ---- Pulsar protocol

/// Largest message before a broker announces its own. Source: binary protocol 1.4.
pub const MESSAGE_SIZE_DEFAULT: usize = 5 * 1024 * 1024;
/// Room for command and metadata beyond the message in a frame, bytes. Source: binary protocol 1.4.
pub const FRAME_PADDING: usize = 10 * 1024;
/// No broker may announce more than this: what we would have to buffer for one frame.
pub const MESSAGE_SIZE_MAX: usize = 128 * 1024 * 1024;
/// TCP connect to a broker. Source: binary protocol 15.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// One request to a broker (lookup, create, subscribe). Source: binary protocol 15.
pub const OPERATION_TIME_MAX: Duration = Duration::from_secs(30);
/// Ping interval on a broker link; two missed ones end it. Source: binary protocol 4.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Lookup redirects followed. Source: binary protocol 6.2.
pub const LOOKUP_REDIRECTS_MAX: u32 = 20;
/// First reconnect delay. Source: binary protocol 15.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest reconnect delay: shorter than the original's 60 s, so that a restarted broker is used again soon.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Partitions of one topic that a session attaches to: each is a producer or consumer at a broker.
pub const PARTITIONS_MAX: u32 = 4096;
/// Topics of one multi-topic session. A pattern that matches more is refused.
pub const SESSION_TOPICS_MAX: usize = 10_000;
/// A pattern session asks for its topics again this long after it was opened, and then in doubling intervals: a broker's list
/// lags a little behind topics that were just made.
pub const DISCOVERY_FIRST: Duration = Duration::from_secs(1);
/// Pattern sessions ask for the namespace's topics, and partitioned ones for their partitions, this often.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_secs(60);

// ---- Sessions

/// Messages a consumer may have outstanding or prefetched. Source: API 4.1, the original clamps there.
pub const RECEIVER_QUEUE_MAX: u32 = 1000;
/// Default of `sendTimeoutMillis`. Source: API 3.1.
pub const SEND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Unconfirmed bytes of one producer session: above, it is not read from (setting `webSocketSessionPendingBytesMax`).
pub const SESSION_PENDING_BYTES_MAX: usize = 4 << 20;
/// Unconfirmed messages of one producer session: above, it is not read from. Bounds bookkeeping for tiny messages.
pub const SESSION_PENDING_MESSAGES_MAX: usize = 16 * 1024;
/// Slots an empty send queue keeps: a burst must not cost its session memory for the rest of its life.
pub const SEND_QUEUE_SPARE_MAX: usize = 1024;
/// Unconfirmed bytes of all sessions of the process (setting `webSocketPulsarClientMemoryLimitInMB`); each core has its share.
pub const PROCESS_PENDING_BYTES_MAX: usize = 512 << 20;
/// Outbox of a consumer's WebSocket above which nothing more is put in: TCP pushes back, the broker waits for permits.
pub const OUTBOX_HIGH: usize = 256 * 1024;
/// Outbox below which deliveries go on.
pub const OUTBOX_LOW: usize = 64 * 1024;
/// Bytes a consumer session may have asked of brokers and not yet passed on: permits are granted by mean message size.
pub const SESSION_RECEIVE_BYTES_MAX: usize = 8 << 20;
/// First grant of permits, before message sizes are known; doubles from there.
pub const PERMITS_FIRST: u32 = 64;
/// Outbox of a broker link above which producers keep their messages queued, so that none crowds out the others.
pub const LINK_OUTBOX_HIGH: usize = 512 * 1024;
/// Outbox of a broker link below which producers go on.
pub const LINK_OUTBOX_LOW: usize = 128 * 1024;
/// Entries of one producer under way on a broker link, not yet confirmed. A broker reads no more of a connection that has 1000
/// of them (`maxPendingPublishRequestsPerConnection`): a flood must come to its own end before the link it shares comes to that.
pub const SEND_WINDOW_ENTRIES_MAX: usize = 256;
/// Bytes of one producer under way on a broker link above which it waits for a receipt: a neighbour's message waits behind them.
pub const SEND_WINDOW_BYTES_MAX: usize = 1 << 20;
/// A broker that takes this long for a receipt is slow: entries for it are collected, an eighth of its time. Brokers that keep up take
/// 1 to 5 ms on disks and in networks of today.
pub const LINK_SLOW: Duration = Duration::from_millis(8);
/// Entries for a slow broker are collected for at most this long: two ticks of the timers.
pub const LINK_GATHER_MAX: Duration = Duration::from_millis(2);
/// An entry that has no receipt after this long is watched no more as a measure of its broker's time.
pub const LINK_WATCH_MAX: Duration = Duration::from_secs(1);
/// Largest batch before compression, bytes. Source: the official client's default, API 3.1.
pub const BATCH_BYTES_MAX: usize = 128 * 1024;
/// Message ids in one ACK or REDELIVER command. Source: binary protocol 8.4, 8.5.
pub const ACK_IDS_MAX: usize = 1000;
/// Acks of a session are collected for this long after it sent some: an ACK costs a broker about as much as a message. Source: the
/// official client's `acknowledgmentGroupTime`.
pub const ACK_GROUP_TIME: Duration = Duration::from_millis(100);
/// Acks that a leg keeps room for although there were much fewer of late: 16 bytes each.
pub const ACK_IDS_SPARE_MAX: usize = 64;
/// Acknowledgements a leg keeps while it has no broker. What is dropped beyond is delivered again.
pub const DETACHED_ACKS_MAX: usize = 10_000;
/// Messages a consumer session may have nacked and not yet given back, and, in pull mode, messages it remembers as not
/// settled. Source: brokers stop at 50 000 unacknowledged messages per consumer, binary protocol 8.4.
pub const SESSION_UNSETTLED_MAX: usize = 50_000;
/// Ledgers of which a session with several topics remembers the topic.
pub const SESSION_LEDGERS_MAX: usize = 65_536;
/// Batches of other sessions that a session remembers as acknowledged in part.
pub const FOREIGN_BATCHES_MAX: usize = 256;
/// Chunked messages given back of which a session remembers the chunks, in case their ack comes late.
pub const FOREIGN_CHUNKED_MAX: usize = 16;
/// Largest batch of another session whose messages are acknowledged one by one: bounds the set that an id makes us keep.
pub const FOREIGN_BATCH_MESSAGES_MAX: u32 = 65_536;
/// Bytes of messages kept because they become dead letters when given back, and of dead letters under way, each.
pub const DEAD_LETTER_BYTES_MAX: usize = 4 << 20;
/// Incomplete chunked messages kept per consumer; the oldest is dropped. Source: binary protocol 2.5.
pub const CHUNKED_MESSAGES_MAX: usize = 10;
/// An incomplete chunked message is dropped after this. Source: binary protocol 2.5.
pub const CHUNKED_MESSAGE_AGE_MAX: Duration = Duration::from_secs(60);
/// Largest reassembled chunked message, bytes: what one message may occupy of a core's memory.
pub const CHUNKED_MESSAGE_BYTES_MAX: usize = 64 << 20;

// ---- Embedded broker

/// 64-bit words of an `ack_set`: no batch has more messages. Bounds what one id makes a cursor keep.
pub const ACK_SET_WORDS_MAX: usize = FOREIGN_BATCH_MESSAGES_MAX as usize / 64;
/// Ranges of single acknowledged entries, and entries acknowledged in part, that a cursor's saved state holds, each. What is beyond
/// is delivered again after a restart. Source: the original's `managedLedgerMaxUnackedRangesToPersist`.
pub const CURSOR_RANGES_SAVED_MAX: usize = 10_000;
/// Entries acknowledged in part that a cursor holds in memory. Beyond, a partial ack is forgotten and the entry comes whole.
pub const CURSOR_PARTIAL_MAX: usize = 100_000;
/// Bytes of entries consumed in part that a cursor's saved state holds: the whole of it has to fit into a slot of the journal.
pub const CURSOR_SAVED_BYTES_MAX: usize = 256 * 1024;
/// Bytes of newest entries a topic keeps for its consumers.
pub const TOPIC_TAIL_BYTES_MAX: usize = 1 << 20;
/// Bytes of entries read back that a topic keeps until they are sent.
pub const TOPIC_BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Bytes asked of the store at once for a consumer that is behind.
pub const READ_AHEAD_BYTES: usize = 256 * 1024;
/// Entries asked of the store at once. Source: the original's `dispatcherMaxReadBatchSize`.
pub const READ_AHEAD_ENTRIES_MAX: u64 = 100;
/// Bytes a topic sends before it lets the core do other work.
pub const DISPATCH_BYTES_MAX: usize = 512 * 1024;
/// Entries a topic looks at before it lets the core do other work.
pub const DISPATCH_ENTRIES_MAX: usize = 1024;
/// SENDs for a producer that the broker closed are ignored for this long. Source: binary protocol 7.4.
pub const CLOSED_PRODUCER_MEMORY: Duration = Duration::from_secs(30);
/// A new active consumer of a Failover subscription waits this long (`activeConsumerFailoverDelayTimeMillis`), so that the acks
/// of the old one arrive first.
pub const FAILOVER_DELAY: Duration = Duration::from_secs(1);
/// Delayed messages may come this much early (`delayedDeliveryTickTimeMillis`).
pub const DELAYED_TICK: Duration = Duration::from_secs(1);
/// Delayed entries a subscription holds in its index; beyond, it stops reading ahead. About 24 bytes each.
pub const DELAYED_ENTRIES_MAX: usize = 10_000_000;
/// Unacknowledged messages of a consumer of a shared subscription (`maxUnackedMessagesPerConsumer`).
pub const CONSUMER_UNACKED_MAX: u32 = 50_000;
/// Unacknowledged messages of a shared subscription (`maxUnackedMessagesPerSubscription`).
pub const SUBSCRIPTION_UNACKED_MAX: u32 = 200_000;
/// Entries that a Key_Shared subscription sets aside per consumer while their keys are blocked
/// (`keySharedLookAheadMsgInReplayThresholdPerConsumer`).
pub const KEY_LOOK_AHEAD_PER_CONSUMER: usize = 2_000;
/// The same for all of its consumers (`keySharedLookAheadMsgInReplayThresholdPerSubscription`).
pub const KEY_LOOK_AHEAD_MAX: usize = 20_000;
/// Hash points of each consumer on a ring (`subscriptionKeySharedConsistentHashingReplicaPoints`).
pub const RING_POINTS: u32 = 100;
/// Requests that wait for a store's log to open. More are refused with "not ready".
pub const HOST_WAITING_MAX: usize = 65_536;
/// Requests that wait for a topic to be loaded. More are refused with "not ready".
pub const TOPIC_WAITING_MAX: usize = 10_000;
/// A topic without clients goes from memory after this: 10 000 idle topics cost their names and little else.
pub const TOPIC_IDLE_MAX: Duration = Duration::from_secs(600);
/// Bytes of names in a snapshot of deduplication: it has to fit into a slot of the journal.
pub const DEDUP_SNAPSHOT_BYTES_MAX: usize = 1 << 20;
/// Entries wait this long for a journal file that is being made, or for a checkpoint; then producers are sent away. Well below the
/// time in which clients expect a receipt.
pub const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);
/// A checkpoint that failed is tried again after this: a disk that was full may have room.
pub const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);
/// A frame that proves the last one durable is written this long after it. Source: `docs/log-format.md`, "Room".
pub const HEARTBEAT_DELAY: Duration = Duration::from_millis(50);
/// Entries of a topic after which the sequence ids of deduplication are saved (`brokerDeduplicationEntriesInterval`).
pub const DEDUP_SNAPSHOT_ENTRIES: u64 = 1000;
/// Names whose last sequence ids are saved for deduplication (`brokerDeduplicationMaxNumberOfProducers`).
pub const DEDUP_NAMES_MAX: usize = 10_000;

/// A pass over all segments begins this long after a start, and not sooner after the last one or a busy disk.
pub const SCRUB_DELAY: Duration = Duration::from_secs(600);
/// Bytes of segments that one store reads through in a second: a hundredth of what a small disk reads, a terabyte in three days.
pub const SCRUB_BYTES_PER_SECOND: u64 = 4 << 20;
/// Small pieces are read no faster than this.
pub const SCRUB_PIECE_PAUSE_MIN: Duration = Duration::from_millis(10);

// ---- Native clients of the embedded broker

/// Producers and consumers of one connection: bounds what a client makes us remember.
pub const CONNECTION_MEMBERS_MAX: usize = 65_536;
/// Entries of one connection that are not answered yet: at the limit it is not read from until half of them are
/// (`maxPendingPublishRequestsPerConnection`). Source: broker 9.2.
pub const CONNECTION_PENDING_MAX: usize = 1000;
/// Look-ups, topic lists and schema requests of one connection that are not answered yet; beyond, it is not read from.
pub const CONNECTION_ASKS_MAX: usize = 64;
/// Outbox of a native connection above which hosts deliver nothing more to it. Source: broker 9.2.
pub const CONNECTION_OUTBOX_HIGH: usize = 1 << 20;
/// Outbox below which they go on. Source: broker 9.2.
pub const CONNECTION_OUTBOX_LOW: usize = 512 << 10;
/// Outbox of a native connection above which it is not read from: a client that asks and does not read its answers stays bounded.
pub const CONNECTION_OUTBOX_MAX: usize = 2 << 20;
/// A connection in a newcomer's way must show that it lives within this (`connectionLivenessCheckTimeoutMillis`).
pub const LIVENESS_CHECK_MAX: Duration = Duration::from_secs(5);
/// Longest `topics_pattern` that is applied here (`subscriptionPatternMaxLength`); a longer one is left to the client.
pub const PATTERN_LENGTH_MAX: usize = 50;
/// Compiled size of a `topics_pattern`, bytes: an expression that needs more is refused.
pub const PATTERN_PROGRAM_MAX: usize = 1 << 20;
/// Bytes of requests that a core may have under way to another one and not taken over. Source: broker 9.2.
pub const CROSS_CORE_BYTES_MAX: usize = 4 << 20;
/// Bytes of replies waiting for another core's mailbox beyond which hosts here say nothing more: that core stands still.
pub const CROSS_CORE_REPLIES_MAX: usize = 16 << 20;
/// Bytes of a client's version text that are kept.
pub const CLIENT_VERSION_MAX: usize = 256;
/// A cut-off frame that has grown to this gets the memory that its size field announces.
pub const FRAME_GROWTH_MAX: usize = 64 << 10;

// ---- Admin REST

/// Bundles of a namespace: they are a list in its policies and nothing more.
pub const NAMESPACE_BUNDLES_MAX: u64 = 1024;
/// Requests under way on one core; more are told to try again.
pub const ADMIN_JOBS_MAX: usize = 256;
/// Questions to hosts that one request has out at a time: those of a topic with thousands of partitions go in portions.
pub const ADMIN_ASKS_MAX: usize = 64;
/// A request that was not answered after this is given up. Source: the official tools wait 60 s.
pub const ADMIN_TIME_MAX: Duration = Duration::from_secs(50);
/// Times that a change is planned anew because somebody else's was written first.
pub const ADMIN_CONFLICTS_MAX: u32 = 16;
/// A store that does not take a message and give it back in this time is not healthy. Source: broker 6.6.
pub const HEALTH_TIME_MAX: Duration = Duration::from_secs(10);
/// Pairs of types that are compared for one schema: small schemas can refer to each other very often.
pub const AVRO_STEPS_MAX: usize = 100_000;

// ---- Log

/// Bytes of a journal slot: written with zeroes before it is used first, which a start waits for; larger for larger messages.
pub const JOURNAL_SLOT_BYTES: usize = 16 << 20;
/// Bytes of a store's journal: what a start may have to read. Source: the spec's 512 MiB, halved for a faster start.
pub const JOURNAL_BYTES_MAX: usize = 256 << 20;
/// The journal grows by so much between checkpoints: bounds what a start replays to twice that.
pub const CHECKPOINT_INTERVAL_BYTES: usize = 64 << 20;
/// Bytes of entries in memory that only the journal holds, of all stores together; settling begins at half.
pub const UNSETTLED_BYTES_MAX: usize = 64 << 20;
/// Bytes of entries of quiet ledgers that checkpoints hold, of all stores together: each checkpoint writes them again.
pub const CHECKPOINT_ENTRIES_BYTES_MAX: usize = 8 << 20;
/// Bytes of settled entries kept in memory, of all stores together. Topics keep their own tail ([`TOPIC_TAIL_BYTES_MAX`]); this
/// serves consumers that are just behind it.
pub const SETTLED_TAIL_BYTES_MAX: usize = 16 << 20;

// ---- Cores

/// Connections of one core (clients and brokers): size of the slot table.
pub const CORE_CONNECTIONS_MAX: u32 = 65_536;
/// Slots of a core kept for its links to brokers when the operator caps clients: one for each broker of a large cluster.
pub const CORE_LINKS_ROOM: u32 = 256;
/// Mail waiting for one core. Full: the sender is told and answers "busy".
pub const MAILBOX_MAX: usize = 4096;
/// Writes to the meta store that one core may have unanswered: each costs a flush of the disk, so these are a second's worth.
pub const META_WRITES_MAX: usize = 256;
/// Spare buffers a core keeps.
pub const POOL_BUFFERS_MAX: usize = 4096;
/// Largest buffer kept spare, bytes.
pub const POOL_BUFFER_CAPACITY_MAX: usize = 16 * 1024;
/// Bytes of larger buffers that a core keeps spare, twice: for its connections, and for its sessions. A few messages of the largest
/// size that is usual, so that each does not have its pages faulted in anew.
pub const POOL_LARGE_BYTES_MAX: usize = 2 << 20;
/// A core whose heartbeat stands still this long is woken by the watchdog and the stall is counted and logged.
pub const STALL_MAX: Duration = Duration::from_millis(100);
/// Sessions are closed over this span at shutdown, so that their clients do not return all at once.
pub const DRAIN_SPREAD: Duration = Duration::from_secs(3);
/// The process ends at the latest this long after the first signal.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

const _: () =
    assert!(OUTBOX_LOW < OUTBOX_HIGH && LINK_OUTBOX_LOW < LINK_OUTBOX_HIGH, "resume below where we paused");
const _: () =
    assert!(TEXT_MESSAGE_MAX < SESSION_PENDING_BYTES_MAX, "one legal text always fits a session's budget");
const _: () = assert!(
    SESSION_PENDING_BYTES_MAX < PROCESS_PENDING_BYTES_MAX,
    "one session cannot take the whole budget"
);
const _: () = assert!(
    CONNECTION_OUTBOX_LOW < CONNECTION_OUTBOX_HIGH && CONNECTION_OUTBOX_HIGH < CONNECTION_OUTBOX_MAX,
    "deliveries stop before requests do"
);
const _: () =
    assert!(CHECKPOINT_INTERVAL_BYTES * 3 <= JOURNAL_BYTES_MAX, "two checkpoints' worth fits, and the next");
const _: () =
    assert!(CHECKPOINT_ENTRIES_BYTES_MAX * 4 <= UNSETTLED_BYTES_MAX, "settling has something to do");
const _: () = assert!(READ_AHEAD_BYTES <= TOPIC_BACKLOG_BYTES_MAX, "what is read has room");
const _: () = assert!(KEY_LOOK_AHEAD_PER_CONSUMER <= KEY_LOOK_AHEAD_MAX, "one consumer's share is a share");
const _: () = assert!(MESSAGE_SIZE_DEFAULT <= MESSAGE_SIZE_MAX, "the default is a legal announcement");
const _: () = assert!(CORE_LINKS_ROOM < CORE_CONNECTIONS_MAX, "clients have room beside the links");
const _: () = assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis(), "back-off grows");
const _: () =
    assert!(DRAIN_SPREAD.as_millis() < DRAIN_TIME_MAX.as_millis(), "draining ends before the deadline");
