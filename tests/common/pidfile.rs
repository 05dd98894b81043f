//! What may stand where a pid file is to be.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use nix::{
    libc::{EINVAL, EISDIR, ELOOP},
    sys::stat::Mode,
    unistd::mkfifo,
};

/// Puts each kind of file that is no pid file there, one after the other, and has it refused with this errno and
/// sentence. The link leads to `target`.
#[track_caller]
pub fn each_other_kind_at(path: &Path, target: &str, refused: impl Fn(i32, &str)) {
    symlink(target, path).unwrap();
    refused(ELOOP, "cannot use d.pid: it is a symbolic link");
    fs::remove_file(path).unwrap();

    mkfifo(path, Mode::S_IRWXU).unwrap();
    refused(EINVAL, "cannot use d.pid: it is a FIFO");
    fs::remove_file(path).unwrap();

    let socket = UnixListener::bind(path).unwrap();
    refused(EINVAL, "cannot use d.pid: it is a socket");
    drop(socket);
    fs::remove_file(path).unwrap();

    fs::create_dir(path).unwrap();
    refused(EISDIR, "cannot use d.pid: it is a directory");
    fs::remove_dir(path).unwrap();
}
