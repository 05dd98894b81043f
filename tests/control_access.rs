//! Who may do what through the control socket. Needs root, to be several users.

mod common;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Folder, command, control::Server, is_root, program, read, skip, succeed, text};

/// Users and groups of nobody's.
const OWNER: u32 = 64001;
const STRANGER: u32 = 64002;
const GROUP: u32 = 64100;

#[derive(Debug, PartialEq, Clone, Copy)]
enum May {
    Everything,
    Queries,
    /// The kernel lets nobody in.
    Nothing,
    /// The daemon closes the connection.
    Closed,
}
use May::*;

struct Clients {
    _folder: Folder,
    client: PathBuf,
    server: Server,
    socket: String,
}

impl Clients {
    fn of(server: Server, socket: &str) -> Self {
        let folder = Folder::new();
        let client = program(&folder, "control_user");
        Clients { _folder: folder, client, server, socket: socket.to_owned() }
    }

    /// None, and said so, where there is only one user.
    fn new(mode: &str, owner: &str, prepare: &[(&str, &str)]) -> Option<Self> {
        if !is_root() {
            skip("needs root");
            return None;
        }
        let server = Server::with(mode, owner, "commit", &mut |command| {
            command.envs(prepare.iter().copied());
        });
        Some(Clients::of(server, "socket"))
    }

    fn says(&self, uid: u32, gid: u32, groups: &str, line: &str) -> String {
        let mut command = Command::new(&self.client);
        command.arg(&self.socket).arg(uid.to_string()).arg(gid.to_string());
        command.args([groups, line]).current_dir(&self.server.folder);
        text(&succeed(&mut command).stdout)
    }

    fn may(&self, uid: u32, gid: u32, groups: &str) -> May {
        let config = self.says(uid, gid, groups, "config commit");
        let help = self.says(uid, gid, groups, "help");
        match config.as_str() {
            "ok\n" => {
                assert!(help.contains(" stop ") && help.contains(" config "), "{help}");
                Everything
            }
            "error the command config is not for you\n" => {
                assert!(!help.contains(" stop ") && !help.contains(" config "), "{help}");
                assert!(help.contains(" words "), "{help}");
                for line in ["stop", "reload", "log-level", "log-level emerg", "reopen-logs"] {
                    let said = self.says(uid, gid, groups, line);
                    assert!(said.ends_with(" is not for you\n"), "{line}: {said}");
                }
                assert_eq!(self.says(uid, gid, groups, "words"), " <words>\nok\n");
                Queries
            }
            "EACCES\n" => Nothing,
            "" | "ECONNRESET\n" => Closed,
            other => panic!("{other}"),
        }
    }
}

/// Of each mode and owner, who may what: owner, a stranger, one in the group, one with it as a supplementary group.
#[track_caller]
fn table(abstract_name: bool, rows: &[(&str, &str, [May; 4])]) {
    for (mode, owner, expected) in rows {
        let name = format!("@rsdaemon-test-{}", std::process::id());
        let clients = if abstract_name {
            on_abstract(&name, mode, owner)
        } else {
            Clients::new(mode, owner, &[])
        };
        let Some(clients) = clients else { return };
        let may = [
            clients.may(OWNER, STRANGER, ""),
            clients.may(STRANGER, STRANGER, ""),
            clients.may(STRANGER, GROUP, ""),
            clients.may(STRANGER, STRANGER, &format!("64555,{GROUP},64556")),
        ];
        assert_eq!(may, *expected, "mode {mode}, owner {owner:?}");
        assert_eq!(clients.may(0, 0, ""), Everything, "mode {mode}, owner {owner:?}: root");
    }
}

fn on_abstract(name: &str, mode: &str, owner: &str) -> Option<Clients> {
    if !is_root() {
        skip("needs root");
        return None;
    }
    let folder = Folder::new();
    let mut start = command(&program(&folder, "control"));
    start.args([name, mode, owner, "commit"]);
    let daemon = common::foreground::Foreground::start(&folder, &mut start, "ready\n");
    let server = Server { daemon, folder, socket: name.into() };
    Some(Clients::of(server, name))
}

#[test]
fn owner_and_group_may_everything_and_others_queries_as_the_mode_lets_them() {
    let owner = format!("{OWNER}:{GROUP}");
    table(
        false,
        &[
            ("0", "", [Nothing; 4]),
            ("0600", &owner, [Everything, Nothing, Nothing, Nothing]),
            ("0660", &owner, [Everything, Nothing, Everything, Everything]),
            ("0666", &owner, [Everything, Queries, Everything, Everything]),
            ("0777", &owner, [Everything, Queries, Everything, Everything]),
            ("0666", "", [Queries, Queries, Queries, Queries]),
            ("0660", &format!(":{GROUP}"), [Nothing, Nothing, Everything, Everything]),
            ("0666", &format!("{OWNER}"), [Everything, Queries, Queries, Queries]),
            ("0606", &owner, [Everything, Queries, Nothing, Nothing]),
        ],
    );
}

#[test]
fn the_same_holds_for_an_abstract_name_which_the_kernel_does_not_guard() {
    let owner = format!("{OWNER}:{GROUP}");
    table(
        true,
        &[
            ("0", "", [Closed; 4]),
            ("0600", &owner, [Everything, Closed, Closed, Closed]),
            ("0660", &owner, [Everything, Closed, Everything, Everything]),
            ("0666", &owner, [Everything, Queries, Everything, Everything]),
            ("0606", &owner, [Everything, Queries, Closed, Closed]),
        ],
    );
}

#[test]
fn names_of_users_and_groups_are_their_numbers() {
    let Some(clients) = Clients::new("0660", "nobody:daemon", &[]) else { return };
    let stat = std::fs::metadata(&clients.server.socket).unwrap();
    let uid_of = |name: &str, file: &str| {
        let text = read(Path::new(file));
        let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        line.split(':').nth(2).unwrap().parse::<u32>().unwrap()
    };
    let ids = (uid_of("nobody", "/etc/passwd"), uid_of("daemon", "/etc/group"));
    use std::os::unix::fs::MetadataExt;
    assert_eq!((stat.uid(), stat.gid()), ids);
    assert_eq!(stat.permissions().mode() & 0o7777, 0o660);
    // A user without a group has its own.
    let Some(clients) = Clients::new("0600", "daemon", &[]) else { return };
    let stat = std::fs::metadata(&clients.server.socket).unwrap();
    assert_eq!(stat.uid(), uid_of("daemon", "/etc/passwd"));
    assert_eq!(stat.gid(), uid_of("daemon", "/etc/group"));
}

#[test]
fn user_65534_is_not_the_owner_also_where_the_daemon_runs_as_that() {
    for (mode, may) in [("0600", Closed), ("0666", Queries)] {
        let as_nobody = [("DROP_TO", "65534")];
        let Some(clients) = Clients::new(mode, "65534:65534", &as_nobody) else { return };
        assert_eq!(clients.may(65534, 65534, ""), may);
        assert_eq!(clients.may(0, 0, ""), Everything);
    }
    let Some(clients) = Clients::new("0660", ":65534", &[]) else { return };
    assert_eq!(clients.may(STRANGER, 65534, ""), Closed);
    assert_eq!(clients.may(STRANGER, STRANGER, "65534"), Closed);
}

/// In a folder of the daemon's user.
fn in_namespace(mode: &str, map: &str) -> Option<Clients> {
    if !is_root() {
        skip("needs root");
        return None;
    }
    let folder = Folder::new();
    std::os::unix::fs::chown(&folder, Some(OWNER), Some(OWNER)).unwrap();
    let mut start = Command::new(program(&folder, "control"));
    let owner = OWNER.to_string();
    start.args(["socket", mode, "", "commit"]).current_dir(&folder);
    start.env("RUN_AS", owner).env("MAP", map);
    let daemon = common::foreground::Foreground::start(&folder, &mut start, "\n");
    if read(&folder.path("output")).contains("no user namespace") {
        skip("no user namespaces");
        return None;
    }
    let socket = folder.path("socket");
    let server = Server { daemon, folder, socket };
    Some(Clients::of(server, "socket"))
}

#[test]
fn root_of_outside_is_nobody_in_a_user_namespace() {
    // Inside, the daemon's own user is root, and the only one that is known.
    let Some(clients) = in_namespace("0600", "0") else { return };
    assert_eq!(clients.may(OWNER, OWNER, ""), Everything);
    assert_eq!(clients.may(0, 0, ""), Closed);
    assert_eq!(clients.says(OWNER, OWNER, "", "who").split(' ').nth(3), Some("uid"));
    let Some(clients) = in_namespace("0666", "0") else { return };
    assert_eq!(clients.may(0, 0, ""), Queries);
    assert_eq!(clients.may(STRANGER, STRANGER, ""), Queries);
    assert!(clients.says(0, 0, "", "who").contains("uid 65534 gid 65534"));
    // Inside it is 65534, as are all others.
    let Some(clients) = in_namespace("0666", "65534") else { return };
    for uid in [0, OWNER, STRANGER] {
        assert_eq!(clients.may(uid, uid, ""), Queries, "{uid}");
    }
}

#[test]
fn who_the_daemon_has_become_may_everything_and_removes_its_files() {
    if !is_root() {
        return skip("needs root");
    }
    let folder = Folder::new();
    std::os::unix::fs::chown(&folder, Some(STRANGER), None).unwrap();
    let mut start = command(&program(&folder, "control"));
    start.args(["socket", "0666", &OWNER.to_string(), "commit"]).current_dir(&folder);
    start.env("DROP_TO", STRANGER.to_string());
    let daemon = common::foreground::Foreground::start(&folder, &mut start, "ready\n");
    let socket = folder.path("socket");
    let server = Server { daemon, folder, socket };
    let clients = Clients::of(server, "socket");
    for uid in [OWNER, STRANGER] {
        assert_eq!(clients.may(uid, uid, ""), Everything);
    }
    assert_eq!(clients.may(64003, 64003, ""), Queries);
    let folder = clients.server.folder;
    clients.server.daemon.stop();
    assert_eq!(folder.names(), ["control", "output"]);
}
