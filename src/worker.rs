//! A worker of `keep_alive`: what it would tell the launcher and the service manager it tells its parent, which does so.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use crate::{
    channel::{self, Message, Word},
    deadline::{Deadline, FOR_EVER},
    error::{Error, OrCannot, Result},
    kept::Kept,
    status,
    sys::{
        file::{self, OwnedFd},
        load,
        process::generation,
        thread::Mutex,
    },
    text,
};

/// The longest request, answer and message. Also in the header.
pub(crate) const MESSAGE_MAX: usize = channel::TEXT_MAX;

struct Worker {
    channel: Kept,
    watchdog_ms: Option<i64>,
    /// A forked child is none.
    generation: u32,
}

static WORKER: Mutex<Option<Worker>> = Mutex::new(None);

fn with<T>(act: impl FnOnce(&Worker) -> T) -> Option<T> {
    let worker = WORKER.lock();
    worker.as_ref().filter(|worker| worker.generation == generation()).map(act)
}

/// This process is one from now on, and the channel is its own.
pub fn become_worker(channel: &OwnedFd, watchdog_ms: Option<i64>) -> Result<()> {
    let fd = channel.as_raw_fd();
    let cannot = "examine the channel to the parent";
    let identity = load::identity(fd).or_cannot(cannot)?;
    let channel = Kept::known(file::owned(fd).or_cannot(cannot)?, identity);
    *WORKER.lock() = Some(Worker { channel, watchdog_ms, generation: generation() });
    Ok(())
}

pub fn is_worker() -> bool {
    with(|_| ()).is_some()
}

/// How often the service manager is to hear of it.
pub fn watchdog_ms() -> Option<i64> {
    with(|worker| worker.watchdog_ms).flatten()
}

/// It is ready; none of this, if it is no worker.
pub fn ready() -> Option<Result<()>> {
    let status = status::get().text;
    let pid = nix::unistd::getpid().as_raw();
    with(|worker| worker.ask(&Word::Ready { pid, status: status.as_bytes() }, &mut [], &mut drop))
        .map(|answered| answered.map(drop))
}

/// Whether it is one, and so its parent knows that it gives up.
pub fn gave_up(status: i32, text: &[u8]) -> bool {
    let word = Word::GaveUp { status, text };
    with(|worker| worker.channel.get().and_then(|channel| channel::send(channel, &word))).is_some()
}

/// For the service manager.
pub fn tell(lines: &[&[u8]], fds: &[i32], patience_us: u32) -> nix::Result<()> {
    let mut message = [0; MESSAGE_MAX];
    if lines.iter().map(|line| line.len()).sum::<usize>() > MESSAGE_MAX {
        return Err(Errno::EMSGSIZE);
    }
    let length = text::join(&mut message, lines);
    let word = Word::Tell(message.get(..length).unwrap_or_default());
    let told = with(|worker| {
        let channel = worker.channel.get()?;
        match channel::send_with_fds(channel, &word, fds) {
            Err(Errno::EAGAIN) if patience_us > 0 => {
                file::is_writable_within(channel, patience_us)?;
                channel::send_with_fds(channel, &word, fds)
            }
            sent => sent,
        }
    });
    told.unwrap_or(Err(Errno::ENOTCONN))
}

/// `rsd_ask_parent`: the length of the answer, which may come with descriptors. The request is not longer than the other.
pub fn ask(request: &[u8], answer: &mut [u8], take: &mut dyn FnMut(OwnedFd)) -> Result<usize> {
    with(|worker| worker.ask(&Word::Ask(request), answer, take)).unwrap_or_else(|| {
        let why: &[u8] = b"this process is no worker of rsd_keep_alive()";
        Err(Error::new(Errno::EPERM, &[why]))
    })
}

impl Worker {
    /// One at a time, under the lock.
    fn ask(&self, word: &Word, answer: &mut [u8], take: &mut dyn FnMut(OwnedFd)) -> Result<usize> {
        let cannot = "ask the parent";
        let channel = self.channel.get().or_cannot(cannot)?;
        channel::send(channel, word).or_cannot(cannot)?;
        let mut message = Message::new();
        Deadline::after(FOR_EVER).poll(Some(channel.as_fd()), FOR_EVER).or_cannot(cannot)?;
        message.receive_with_fds(channel, take).or_cannot(cannot)?;
        match message.word() {
            Some(Word::Answer(text)) if text.len() > answer.len() => {
                let why: &[u8] = b"the answer is longer than there is room for it";
                Err(Error::new(Errno::EMSGSIZE, &[why]))
            }
            Some(Word::Answer(text)) => Ok(text::join(answer, &[text])),
            Some(Word::Failed(error)) => Err(error),
            _ => Err(Errno::EPIPE).or_cannot(cannot),
        }
    }
}
