//! Host names are looked up by the system's resolver, which blocks: on a few helper threads, each with its own bounded
//! queue. A name always goes to the same thread, so a dead name server for one does not hold up all others.

use crate::shard::links::{Links, Question};
use crate::shard::mesh::{Letter, Mesh, ShardId};
use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const THREADS: usize = 4;
/// Questions waiting for one thread. More are refused: the asker tries again later, as after any failed look-up.
const QUEUE_MAX: usize = 256;

/// The way to the helper threads; they end when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Resolver {
    queues: Vec<SyncSender<(ShardId, Question)>>,
}

impl Resolver {
    pub(crate) fn start(mesh: &Arc<Mesh>) -> io::Result<Resolver> {
        let mut queues = Vec::new();
        for _ in 0..THREADS {
            let (sender, receiver) = sync_channel(QUEUE_MAX);
            let mesh = Arc::clone(mesh);
            // Detached: a look-up may take long, and nobody waits for it at the end.
            std::thread::Builder::new().name("resolver".into()).spawn(move || serve(&receiver, &mesh))?;
            queues.push(sender);
        }
        Ok(Resolver { queues })
    }

    /// Hands on what the links ask; a question that meets a full queue is answered with an error in the next turn.
    pub(crate) fn ask_all(&self, links: &mut Links) {
        for question in std::mem::take(&mut links.questions) {
            if let Err(question) = self.ask(links.shard(), question) {
                let busy = format!("{}: too many look-ups are waiting", question.host);
                links.answers.push((question.token, Err(busy)));
            }
        }
    }

    fn ask(&self, shard: ShardId, question: Question) -> Result<(), Question> {
        let queue = crc32c::crc32c(question.host.as_bytes()) as usize % self.queues.len();
        self.queues[queue].try_send((shard, question)).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full((_, question))
            | std::sync::mpsc::TrySendError::Disconnected((_, question)) => question,
        })
    }
}

fn serve(questions: &Receiver<(ShardId, Question)>, mesh: &Mesh) {
    while let Ok((shard, question)) = questions.recv() {
        let result = match (question.host.as_str(), question.port).to_socket_addrs() {
            Ok(found) => Ok(found.collect::<Vec<_>>()),
            Err(error) => Err(format!("{}: {error}", question.host)),
        };
        let result = match result {
            Ok(found) if found.is_empty() => Err(format!("{}: the name has no address", question.host)),
            other => other,
        };
        mesh.post_waiting(shard, Letter::Resolved { token: question.token, result });
    }
}
