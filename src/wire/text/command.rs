//! A consumer's or reader's command text (API 4.3).

use crate::wire::pulsar::message_id::MessageId;
use crate::wire::text::coerce;
use crate::wire::text::json::{JsonError, JsonReader, Shape, Source, Value};
use std::borrow::Cow;

/// Members of a command text, borrowed.
#[derive(Debug, Default, PartialEq)]
pub struct CommandText<'a> {
    /// `type`, as written.
    pub kind: Option<Cow<'a, str>>,
    /// `messageId`, base64, not yet decoded.
    pub message_id: Option<Cow<'a, str>>,
    /// `permitMessages`; fractions are cut off, numeric strings accepted.
    pub permit_messages: Option<i32>,
}

/// What a consumer session is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommand {
    /// Individual acknowledgement.
    Ack(MessageId),
    /// Negative acknowledgement.
    Nack(MessageId),
    /// Grant messages in pull mode.
    Permit(i32),
    /// Delete the subscription.
    Unsubscribe,
    /// Ask whether the topic is terminated and fully consumed.
    IsEndOfTopic,
}

/// What a reader session is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderCommand {
    /// One more message may be sent; ids are not looked at.
    Ack,
    /// Ask whether the topic is terminated and fully read.
    IsEndOfTopic,
}

impl JsonReader {
    /// Reads the members of a command text. The literal `null`, other values and wrong types are errors.
    pub fn command_text<'a>(&'a mut self, text: &'a mut [u8]) -> Result<CommandText<'a>, JsonError> {
        self.read(text)
    }

    /// Reads a consumer's command. Any error closes the session (4003, `Failed to de-serialize from JSON`).
    pub fn consumer_command(&mut self, text: &mut [u8]) -> Result<ClientCommand, JsonError> {
        let command = self.command_text(text)?;
        let id = |command: &CommandText<'_>| {
            let text = command.message_id.as_deref().ok_or_else(|| lacks("messageId"))?;
            MessageId::from_text(text).map_err(|error| JsonError { message: error.to_string() })
        };
        Ok(match command.kind.as_deref() {
            Some("negativeAcknowledge") => ClientCommand::Nack(id(&command)?),
            Some("permit") => {
                ClientCommand::Permit(command.permit_messages.ok_or_else(|| lacks("permitMessages"))?)
            }
            Some("unsubscribe") => ClientCommand::Unsubscribe,
            Some("isEndOfTopic") => ClientCommand::IsEndOfTopic,
            _ => ClientCommand::Ack(id(&command)?),
        })
    }

    /// Reads a reader's command.
    pub fn reader_command(&mut self, text: &mut [u8]) -> Result<ReaderCommand, JsonError> {
        let command = self.command_text(text)?;
        let ends = command.kind.as_deref() == Some("isEndOfTopic");
        Ok(if ends { ReaderCommand::IsEndOfTopic } else { ReaderCommand::Ack })
    }
}

fn lacks(member: &str) -> JsonError {
    JsonError { message: format!("Missing required {member} field") }
}

impl<'a> Shape<'a> for CommandText<'a> {
    fn read<S: Source<'a>>(source: &mut S) -> Result<Self, S::Error> {
        const CLASS: &str = "org.apache.pulsar.websocket.data.ConsumerCommand";
        match source.value()? {
            Value::Object => {}
            other => return Err(source.refuse(|| coerce::not_a_container(CLASS, &other))),
        }
        let mut command = CommandText::default();
        while let Some(name) = source.name()? {
            match &*name {
                "type" => command.kind = coerce::string(source)?,
                "messageId" => command.message_id = coerce::string(source)?,
                "permitMessages" => command.permit_messages = coerce::int(source)?,
                _ => source.skip()?,
            }
        }
        Ok(command)
    }
}
