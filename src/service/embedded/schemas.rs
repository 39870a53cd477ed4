//! Schemas of clients (broker 3.9): what GET_SCHEMA and GET_OR_CREATE_SCHEMA ask, and the schema that a PRODUCER or SUBSCRIBE
//! brings, which must be registered or fit before a host hears of the command.

use super::{Embedded, asks};
use crate::base::time::UnixMillis;
use crate::broker::catalogue::names::schema_id;
use crate::broker::catalogue::{Effective, SchemaRecord};
use crate::broker::host::{Asked, ConnectionId, Request};
use crate::broker::schema::{self, KINDS, Verdict};
use crate::session::inbound::{error, topic_name};
use crate::shard::Links;
use crate::shard::meta::MetaRefusal;
use crate::store::StoreId;
use crate::wire::pulsar::Command;
use crate::wire::pulsar::proto as p;
use crate::wire::pulsar::proto::{SchemaType, ServerError};
use crate::wire::route::TopicName;
use bytes::Bytes;
use serde_json::{Map, Value};

/// Times that a schema is written anew because another one was faster.
const TRIES_MAX: u32 = 8;

/// A command that waits until its schema is registered.
pub(super) struct Waiting {
    connection: ConnectionId,
    store: StoreId,
    command: Command,
    topic: TopicName,
    schema: p::Schema,
    version: u64,
    tries: u32,
}

impl Embedded {
    /// A command for a host. What brings a schema, or should, is looked at first.
    pub(super) fn forward(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        store: StoreId,
        command: Command,
        entry: Bytes,
    ) {
        let (topic, schema) = match &command {
            Command::Producer(ask) => (&ask.topic, ask.schema.clone()),
            Command::Subscribe(ask) => (&ask.topic, ask.schema.clone()),
            _ => {
                let what = Asked::Command { command, entry };
                return self.request(io, Request { connection, store, what });
            }
        };
        let schema = schema.filter(is_schema);
        let topic = TopicName::parse(topic);
        match (topic, schema) {
            (Ok(topic), Some(schema)) => {
                let waiting = Waiting { connection, store, command, topic, schema, version: 0, tries: 0 };
                self.consider(io, waiting);
            }
            (Ok(topic), None) => self.forward_without_schema(io, connection, store, command, &topic),
            (Err(_), _) => debug_assert!(false, "names of topics were checked"),
        }
    }

    fn forward_without_schema(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        store: StoreId,
        command: Command,
        topic: &TopicName,
    ) {
        if let Command::Producer(ask) = &command
            && self.latest(topic).is_some()
            && self.policies_of(topic).schema_validation_enforced
        {
            let text = "Producers cannot connect or send message without a schema to topics with a schema \
                        when SchemaValidationEnforced is enabled";
            let refused = error(ask.request_id, ServerError::IncompatibleSchema, text);
            return self.refuse(io, connection, refused);
        }
        let what = Asked::Command { command, entry: Bytes::new() };
        self.request(io, Request { connection, store, what });
    }

    /// Forwards a command whose schema is registered, registers it first, or refuses.
    fn consider(&mut self, io: &mut Links, mut waiting: Waiting) {
        let consumes = matches!(waiting.command, Command::Subscribe(_));
        match self.verdict(&waiting.topic, &waiting.schema, io.clock().wall, consumes) {
            Verdict::Known(version) => {
                waiting.version = version;
                self.registered(io, waiting);
            }
            Verdict::New if waiting.tries < TRIES_MAX => {
                let record = record_of(&waiting.schema, io.clock().wall);
                let (version, change) = self.catalogue.plan_schema(&schema_id(&waiting.topic), &record);
                waiting.version = version;
                waiting.tries += 1;
                let ticket = self.tickets.note(asks::Waiting::Schema(Box::new(waiting)));
                self.write(io, ticket, vec![change]);
            }
            Verdict::New => {
                self.schema_refused(io, &waiting, ServerError::ServiceNotReady, "too many schemas at once");
            }
            Verdict::Refused(text) => {
                self.schema_refused(io, &waiting, ServerError::IncompatibleSchema, &text);
            }
        }
    }

    fn verdict(&self, topic: &TopicName, schema: &p::Schema, now: UnixMillis, consumes: bool) -> Verdict {
        let (id, record) = (schema_id(topic), record_of(schema, now));
        let policies = self.policies_of(topic);
        let strategy = policies.schema_compatibility.as_str();
        let verdict = match consumes {
            true => schema::consumer_verdict(&self.catalogue, &id, &record, strategy),
            false => schema::verdict(&self.catalogue, &id, &record, strategy),
        };
        match verdict {
            Verdict::New if !consumes && !policies.schema_auto_update && self.latest(topic).is_some() => {
                Verdict::Refused("Schema not found and schema auto updating is disabled.".to_owned())
            }
            verdict => verdict,
        }
    }

    fn policies_of(&self, topic: &TopicName) -> Effective {
        self.catalogue.effective(topic, &self.config.policies)
    }

    /// The newest version of a topic's schema.
    fn latest(&self, topic: &TopicName) -> Option<(u64, &SchemaRecord)> {
        self.catalogue.schemas(&schema_id(topic)).next_back().filter(|(_, record)| !record.deleted)
    }

    fn registered(&mut self, io: &mut Links, waiting: Waiting) {
        let Waiting { connection, store, command, version, .. } = waiting;
        match &command {
            Command::GetOrCreateSchema(ask) => {
                let answer = p::CommandGetOrCreateSchemaResponse {
                    request_id: ask.request_id,
                    schema_version: Some(version.to_be_bytes().to_vec()),
                    ..Default::default()
                };
                return self.answer(io, connection, Command::GetOrCreateSchemaResponse(answer));
            }
            Command::Producer(ask) => self.note_schema_version(connection, ask.request_id, version),
            _ => {}
        }
        if request_of(&command).is_none_or(|request| !self.is_waiting(connection, request)) {
            return; // closed while its schema was written
        }
        self.request(
            io,
            Request { connection, store, what: Asked::Command { command, entry: Bytes::new() } },
        );
    }

    fn schema_refused(&mut self, io: &mut Links, waiting: &Waiting, code: ServerError, text: &str) {
        match &waiting.command {
            Command::GetOrCreateSchema(ask) => {
                let answer = p::CommandGetOrCreateSchemaResponse {
                    request_id: ask.request_id,
                    error_code: Some(code as i32),
                    error_message: Some(text.to_owned()),
                    ..Default::default()
                };
                self.answer(io, waiting.connection, Command::GetOrCreateSchemaResponse(answer));
            }
            command => {
                if let Some(request) = request_of(command) {
                    self.refuse(io, waiting.connection, error(request, code, text));
                }
            }
        }
    }

    /// The write of a schema to the meta store ended.
    pub(super) fn schema_written(
        &mut self,
        io: &mut Links,
        waiting: Waiting,
        result: Result<(), MetaRefusal>,
    ) {
        match result {
            Ok(()) => self.registered(io, waiting),
            Err(MetaRefusal::Conflict { .. }) => self.consider(io, waiting),
            Err(MetaRefusal::Failed(why)) => {
                self.schema_refused(io, &waiting, ServerError::ServiceNotReady, &why);
            }
        }
    }

    pub(super) fn get_or_create_schema(
        &mut self,
        io: &mut Links,
        connection: ConnectionId,
        ask: p::CommandGetOrCreateSchema,
    ) {
        let (store, schema) = (StoreId(0), ask.schema.clone());
        match topic_name(&ask.topic) {
            Ok(topic) => {
                let command = Command::GetOrCreateSchema(ask);
                let waiting = Waiting { connection, store, command, topic, schema, version: 0, tries: 0 };
                self.consider(io, waiting);
            }
            Err(text) => {
                let answer = p::CommandGetOrCreateSchemaResponse {
                    request_id: ask.request_id,
                    error_code: Some(ServerError::InvalidTopicName as i32),
                    error_message: Some(text),
                    ..Default::default()
                };
                self.answer(io, connection, Command::GetOrCreateSchemaResponse(answer));
            }
        }
    }

    /// GET_SCHEMA.
    pub(super) fn get_schema(&self, ask: &p::CommandGetSchema) -> Command {
        let refused = |code: ServerError, text: String| {
            Command::GetSchemaResponse(p::CommandGetSchemaResponse {
                request_id: ask.request_id,
                error_code: Some(code as i32),
                error_message: Some(text),
                ..Default::default()
            })
        };
        let topic = match topic_name(&ask.topic) {
            Ok(topic) => topic,
            Err(text) => return refused(ServerError::InvalidTopicName, text),
        };
        let id = schema_id(&topic);
        let found = match ask.schema_version.as_deref() {
            None => self.latest(&topic),
            Some([]) => return refused(ServerError::IncompatibleSchema, "Empty schema version".to_owned()),
            Some(version) => {
                let wanted = <[u8; 8]>::try_from(version).map(u64::from_be_bytes).ok();
                let mut versions = self.catalogue.schemas(&id);
                versions.find(|(version, record)| Some(*version) == wanted && !record.deleted)
            }
        };
        let Some((version, record)) = found else {
            let text = format!("Topic not found or no-schema {topic}");
            return refused(ServerError::TopicNotFound, text);
        };
        Command::GetSchemaResponse(p::CommandGetSchemaResponse {
            request_id: ask.request_id,
            schema: Some(schema_of(record, topic.base().local())),
            schema_version: Some(version.to_be_bytes().to_vec()),
            ..Default::default()
        })
    }
}

/// It says something: neither bytes without a form nor "as the topic has it".
fn is_schema(schema: &p::Schema) -> bool {
    let kind = SchemaType::from_wire(schema.r#type);
    !matches!(kind, Some(SchemaType::None | SchemaType::AutoConsume))
}

fn request_of(command: &Command) -> Option<u64> {
    match command {
        Command::Producer(ask) => Some(ask.request_id),
        Command::Subscribe(ask) => Some(ask.request_id),
        _ => None,
    }
}

fn kind_name(number: i32) -> &'static str {
    usize::try_from(number).ok().and_then(|number| KINDS.get(number)).copied().unwrap_or("NONE")
}

fn record_of(schema: &p::Schema, now: UnixMillis) -> SchemaRecord {
    let pairs = schema.properties.iter().map(|pair| (pair.key.clone(), Value::String(pair.value.clone())));
    SchemaRecord {
        kind: kind_name(schema.r#type).to_owned(),
        timestamp: now.0,
        data: schema.schema_data.clone(),
        properties: pairs.collect::<Map<String, Value>>(),
        deleted: false,
    }
}

fn schema_of(record: &SchemaRecord, name: &str) -> p::Schema {
    let number = KINDS.iter().position(|kind| *kind == record.kind).unwrap_or(0);
    let pair = |(key, value): (&String, &Value)| p::KeyValue {
        key: key.clone(),
        value: value.as_str().unwrap_or_default().to_owned(),
    };
    p::Schema {
        name: name.to_owned(),
        schema_data: record.data.clone(),
        r#type: i32::try_from(number).unwrap_or(0),
        properties: record.properties.iter().map(pair).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_the_rest_interface() {
        assert_eq!(kind_name(SchemaType::ProtobufNative as i32), "PROTOBUF_NATIVE");
        assert_eq!(
            (kind_name(SchemaType::Avro as i32), kind_name(-1), kind_name(99)),
            ("AVRO", "NONE", "NONE")
        );
        let properties = vec![p::KeyValue { key: "k".to_owned(), value: "v".to_owned() }];
        let schema = p::Schema { name: "t".to_owned(), schema_data: vec![1], r#type: 2, properties };
        assert_eq!(schema_of(&record_of(&schema, UnixMillis(5)), "t"), schema);
    }
}
