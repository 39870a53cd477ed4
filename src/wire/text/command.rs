//! A consumer's or reader's command text (API 4.3).

use crate::wire::pulsar::message_id::MessageId;
use crate::wire::text::json::{JsonError, JsonReader};
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
    pub fn command_text<'a>(&'a mut self, _text: &'a mut [u8]) -> Result<CommandText<'a>, JsonError> {
        unimplemented!()
    }

    /// Reads a consumer's command. Any error closes the session (4003, `Failed to de-serialize from JSON`).
    pub fn consumer_command(&mut self, _text: &mut [u8]) -> Result<ClientCommand, JsonError> {
        unimplemented!()
    }

    /// Reads a reader's command.
    pub fn reader_command(&mut self, _text: &mut [u8]) -> Result<ReaderCommand, JsonError> {
        unimplemented!()
    }
}
