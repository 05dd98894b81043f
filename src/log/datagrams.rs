//! Syslog and the journal: a socket to which each line is one datagram, and which never makes us wait.

use core::ffi::CStr;
use std::{
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd},
};

use nix::errno::Errno;

use super::{
    descriptor::Descriptor,
    health::Health,
    line::{Header, Line, Whole},
};
use crate::sys::{memory::Buffer, socket, time::Moment};

/// What a line looks like there.
#[derive(Clone, Copy)]
pub enum Protocol {
    /// RFC 3164, in the local form.
    Syslog,
    /// systemd's "Native Journal Protocol".
    Journal,
}

pub struct Datagrams {
    protocol: Protocol,
    descriptor: Descriptor,
    pub health: Health,
}

impl Datagrams {
    /// Whether anybody listens shows later.
    pub fn new(protocol: Protocol) -> Self {
        let datagrams =
            Datagrams { protocol, descriptor: Descriptor::none(), health: Health::new() };
        datagrams.connect();
        datagrams
    }

    fn address(&self) -> &'static CStr {
        match self.protocol {
            Protocol::Syslog => c"/dev/log",
            Protocol::Journal => c"/run/systemd/journal/socket",
        }
    }

    pub fn connect(&self) {
        let _ = self.try_connect();
    }

    fn try_connect(&self) -> nix::Result<()> {
        self.descriptor.exclusively(|| self.descriptor.replace(socket::connect(self.address())?))
    }

    pub fn close(&self) {
        self.descriptor.close();
    }

    pub fn put(&self, line: &Line) {
        self.health.deliver(line, |line| {
            match self.socket(line.now).and_then(|socket| self.send(socket, line)) {
                // Whoever listened is gone; somebody else may listen now.
                Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET)
                | Err(Errno::EBADF | Errno::ENOTSOCK | Errno::EPIPE | Errno::EDESTADDRREQ) => {
                    self.send_anew(line)
                }
                sent => sent,
            }
        });
    }

    fn socket(&self, now: Moment) -> nix::Result<BorrowedFd<'static>> {
        if self.descriptor.is_unseen(now) {
            self.descriptor.see(now)?;
        }
        self.descriptor.get()
    }

    #[cold]
    fn send_anew(&self, line: &Line) -> nix::Result<()> {
        match self.try_connect() {
            Ok(()) => self.send(self.descriptor.get()?, line),
            // Somebody else is at it, who may be what this handler has interrupted.
            Err(Errno::EALREADY) => self.send(socket::connect(self.address())?.as_fd(), line),
            Err(errno) => Err(errno),
        }
    }

    fn send(&self, socket: BorrowedFd, line: &Line) -> nix::Result<()> {
        match self.protocol {
            Protocol::Syslog => {
                let mut whole = Whole::new();
                line.push_for_syslog(&mut whole);
                self.health.patiently(socket, || socket::send(socket, whole.as_bytes()))
            }
            Protocol::Journal => {
                let (header, fields) = (journal_header(line), journal_fields(line));
                let pieces = [header.as_bytes(), line.text, fields.as_bytes()].map(IoSlice::new);
                let sent = self.health.patiently(socket, || socket::send_pieces(socket, &pieces));
                sent.map(drop)
            }
        }
    }
}

/// How many fields, and how many bytes of them, a line has at most.
pub(crate) const FIELDS_MAX: usize = 16;
const FIELD_BYTES_MAX: usize = 2048;

/// The fields that every line has, up to the text.
fn journal_header(line: &Line) -> Header {
    let mut header = Header::new();
    header.push(b"PRIORITY=");
    header.push_number(line.level as u32, 1);
    header.push(b"\nSYSLOG_FACILITY=");
    header.push_number((line.speaker.facility >> 3) as u32, 1);
    header.push(b"\nSYSLOG_PID=");
    header.push_number(line.speaker.pid, 1);
    header.push(b"\nSYSLOG_IDENTIFIER=");
    header.push(line.speaker.name);
    header.push(b"\nMESSAGE=");
    header
}

/// What stands after the text: its newline, and the fields of the program's own.
fn journal_fields(line: &Line) -> Buffer<{ FIELD_BYTES_MAX + 1 }> {
    let mut fields = Buffer::new();
    fields.push(b"\n");
    for field in line.fields {
        let field = field.to_bytes();
        let Some(equals) = field.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = field.split_at_checked(equals).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        if !is_field_name(name) {
            continue;
        }
        let length = fields.as_bytes().len();
        let fits = if value.contains(&b'\n') {
            let size = (value.len() as u64).to_le_bytes();
            [name, b"\n", &size, value, b"\n"].iter().all(|piece| fields.push(piece))
        } else {
            [field, b"\n"].iter().all(|piece| fields.push(piece))
        };
        if !fits {
            fields.truncate(length);
        }
    }
    fields
}

/// What journald takes from a program.
fn is_field_name(name: &[u8]) -> bool {
    let is_allowed =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    name.first().is_some_and(u8::is_ascii_uppercase)
        && name.len() <= 64
        && name.iter().all(is_allowed)
}
