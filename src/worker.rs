//! A worker of `keep_alive`: what it would tell the launcher and the service manager it tells its parent, which does so.

use std::os::fd::{AsRawFd, BorrowedFd};

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

/// How long a parent that does something else may leave messages unread.
const PATIENCE_US: u32 = 5_000_000;

/// The longest request, answer and message. Also in the header.
pub(crate) const MESSAGE_MAX: usize = channel::TEXT_MAX;

struct Worker {
    channel: Kept,
    watchdog_ms: Option<i64>,
    /// A forked child is none.
    generation: u32,
}

static WORKER: Mutex<Option<Worker>> = Mutex::new(None);

/// The number of the latest request. Who has the lock has the answers; nothing else waits for it.
static ASKING: Mutex<i32> = Mutex::new(0);

fn with<T>(act: impl FnOnce(&Worker) -> T) -> Option<T> {
    let mut worker = WORKER.lock();
    // A forked child must not ask: it closes its copy.
    drop(worker.take_if(|worker| worker.generation != generation()));
    worker.as_ref().map(act)
}

/// The channel stays open as long as the worker lives, so nobody needs the lock to use it.
fn channel() -> Option<nix::Result<BorrowedFd<'static>>> {
    with(|worker| {
        let number = worker.channel.get()?.as_raw_fd();
        file::borrowed(number).ok_or(Errno::EBADF)
    })
}

/// A forked child closes its copy of the channel.
pub fn let_go_of_parents() {
    with(|_| ());
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

/// It is ready; none of this, if it is no worker. With the answer comes the lock of a pid file that has just appeared.
pub fn ready() -> Option<Result<Option<OwnedFd>>> {
    let status = status::get().text;
    let word = |number| Word::Ready { pid: number, status: status.as_bytes() };
    Some(exchange(channel()?, &word, &[], &mut []).map(|(_, lock)| lock))
}

/// Whether it is one, and so its parent knows that it gives up.
pub fn gave_up(status: i32, text: &[u8]) -> bool {
    let word = Word::GaveUp { status, text };
    channel().map(|channel| channel.and_then(|channel| channel::send(channel, &word))).is_some()
}

/// For the service manager. With descriptors it is certain then that the manager has them.
pub fn tell(lines: &[&[u8]], fds: &[i32], patience_us: u32) -> nix::Result<()> {
    let mut message = [0; MESSAGE_MAX];
    if lines.iter().map(|line| line.len()).sum::<usize>() > MESSAGE_MAX {
        return Err(Errno::EMSGSIZE);
    }
    let length = text::join(&mut message, lines);
    let lines = message.get(..length).unwrap_or_default();
    let channel = channel().unwrap_or(Err(Errno::ENOTCONN));
    if fds.is_empty() {
        let word = Word::Tell { number: 0, lines };
        return send(channel?, &word, fds, patience_us);
    }
    let deadline = Deadline::after(patience_us.wrapping_div(1000) as i32);
    let word = |number| Word::Tell { number, lines };
    loop {
        match exchange(channel, &word, fds, &mut []) {
            Ok(_) => return Ok(()),
            // The parent has waited a moment for the manager, and then looked for signals.
            Err(Error(Errno::EAGAIN)) if !deadline.is_over() => {}
            Err(Error(errno)) => return Err(errno),
        }
    }
}

fn send(channel: BorrowedFd, word: &Word, fds: &[i32], patience_us: u32) -> nix::Result<()> {
    match channel::send_with_fds(channel, word, fds) {
        Err(Errno::EAGAIN) if patience_us > 0 => {
            file::is_writable_within(channel, patience_us)?;
            channel::send_with_fds(channel, word, fds)
        }
        sent => sent,
    }
}

/// `rsd_ask_parent`: the length of the answer, which may come with a descriptor. The request is not longer than the other.
pub fn ask(request: &[u8], answer: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let Some(channel) = channel() else {
        let why: &[u8] = b"this process is no worker of rsd_keep_alive()";
        return Err(Error::new(Errno::EPERM, &[why]));
    };
    exchange(channel, &|number| Word::Ask { number, request }, &[], answer)
}

/// Sends a request, one at a time, and waits for its answer.
fn exchange<'a>(
    channel: nix::Result<BorrowedFd>,
    word: &dyn Fn(i32) -> Word<'a>,
    fds: &[i32],
    answer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>)> {
    let cannot = "ask the parent";
    let channel = channel.or_cannot(cannot)?;
    let mut latest = ASKING.lock();
    // Not 0, which stands for no answer.
    *latest = latest.wrapping_add(1).max(1);
    let number = *latest;
    match fds {
        [] => channel::send(channel, &word(number)),
        fds => send(channel, &word(number), fds, PATIENCE_US),
    }
    .or_cannot(cannot)?;
    let mut message = Message::new();
    loop {
        let mut passed = None;
        Deadline::after(FOR_EVER).poll(Some(channel), FOR_EVER).or_cannot(cannot)?;
        let received = message.receive_with_fds(channel, &mut |fd| passed = Some(fd));
        if !received.or_cannot(cannot)? {
            return Err(Errno::EPIPE).or_cannot(cannot);
        }
        return match message.word() {
            Some(Word::Answer { number: of, .. }) if of == number && message.has_lost_fds() => {
                Err(Errno::EMFILE).or_cannot("take the descriptor from the parent")
            }
            Some(Word::Answer { number: of, text }) if of == number => {
                if text.len() > answer.len() {
                    let why: &[u8] = b"the answer is longer than there is room for it";
                    return Err(Error::new(Errno::EMSGSIZE, &[why]));
                }
                Ok((text::join(answer, &[text]), passed))
            }
            Some(Word::Refused { number: of, error }) if of == number => Err(error),
            // That of a request which nobody waits for any more.
            _ => continue,
        };
    }
}
