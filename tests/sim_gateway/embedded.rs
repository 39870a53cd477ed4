//! Broker 0 in the process of the gateway: the only one, spoken to by value.

use crate::broker::{Brokers, Link};
use crate::world::World;
use pulsegate::service::gateway::local::{LocalEvent, LocalRequest};
use pulsegate::shard::ConnKey;
use pulsegate::wire::pulsar::{Command, frame};

impl Brokers {
    /// The one link to broker 0 of this process, as new: whatever was made over an earlier one is gone.
    pub(crate) fn embed(&mut self) {
        let mut link = Link::new(ConnKey::from_bits(1 << 32), 0);
        link.greeted = true;
        self.links = vec![link];
        self.embedded = true;
    }

    /// Takes what was said on that link, whole.
    pub(crate) fn take_said(&mut self) -> Vec<(Command, Vec<u8>)> {
        let bytes: Vec<u8> = self.links[0].outgoing.drain(..).collect();
        let (mut said, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some(size) = frame::size(rest, 64 << 20).expect("our own frames") {
            let frame = frame::read(&rest[..size]).expect("our own frames");
            said.push((frame.command, frame.rest.to_vec()));
            rest = &rest[size..];
        }
        said
    }
}

impl World {
    /// The embedded broker speaks: commands by value.
    pub(crate) fn deliver_locally(&mut self) {
        for (command, entry) in self.brokers.take_said() {
            self.note(command.number().to_le_bytes().as_slice());
            self.note(&entry);
            let event = match command {
                Command::Message(command) => LocalEvent::Deliver { command, entry: entry.into() },
                command => LocalEvent::Command(command),
            };
            self.gateway.on_local(&mut self.io, event);
        }
    }

    /// The embedded broker is spoken to.
    pub(crate) fn read_locally(&mut self) {
        while let Some(request) = self.gateway.poll_local() {
            match request {
                LocalRequest::Command { command, entry } => {
                    self.note(&entry);
                    self.brokers.on_command(0, command, &entry, &mut self.prng);
                }
                LocalRequest::Disconnected => self.brokers.embed(),
            }
        }
    }

    /// The embedded broker finds fault with the gateway.
    pub(crate) fn close_local(&mut self) {
        if self.dice(4) {
            self.brokers.take_said();
            self.gateway.on_local(&mut self.io, LocalEvent::Closed { reason: "the model says so" });
        }
    }
}
